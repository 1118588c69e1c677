from __future__ import annotations

from collections.abc import Iterator

import pytest

from tidewheel.backends.memory.online_store import open_online_store
from tidewheel.ports.online_store import OnlineStore
from tidewheel.testing.online_store import OnlineStoreContract


class TestMemory(OnlineStoreContract):
    @pytest.fixture
    def store(self) -> Iterator[OnlineStore]:
        store = open_online_store("memory://")
        yield store
        store.close()
