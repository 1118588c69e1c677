from __future__ import annotations

import pytest

from tidewheel.backends.memory.vector_index import open_vector_index
from tidewheel.ports.vector_index import IndexOpener
from tidewheel.testing.vector_index import VectorIndexContract


class TestMemory(VectorIndexContract):
    RECALL = 1.0

    @pytest.fixture
    def opener(self) -> IndexOpener:
        return open_vector_index
