from __future__ import annotations

import pytest

from tidewheel.backends.usearch import open_vector_index
from tidewheel.ports.vector_index import IndexOpener
from tidewheel.testing.vector_index import VectorIndexContract


class TestUsearch(VectorIndexContract):
    RECALL = 0.99

    @pytest.fixture
    def opener(self) -> IndexOpener:
        return open_vector_index
