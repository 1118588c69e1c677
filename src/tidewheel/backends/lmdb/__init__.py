"""LMDB: the embedded online store. One memory-mapped folder that the server and the materialiser share."""

from tidewheel.backends.lmdb.online_store import LmdbOnlineStore, open_online_store

__all__ = ["LmdbOnlineStore", "open_online_store"]
