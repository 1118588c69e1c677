"""Artifacts: content-addressed bytes, tables made of them, and append-only journals.

An artifact's name is the digest of its content, so writing is idempotent, nothing is ever overwritten, and what is read is what
was written or is reported as corrupt. It lives on local disk, S3, GCS or Azure by way of obstore. A :class:`Table` is a typed
handle to content-addressed Parquet; a :class:`Journal` keeps records that must survive a killed process.

Examples
--------
>>> from tidewheel.artifacts import ArtifactStore
>>> store = ArtifactStore.open("memory:///")
>>> digest = store.put(b"model bytes")
>>> store.get(digest)
b'model bytes'
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tidewheel.artifacts.journal import Journal as Journal
    from tidewheel.artifacts.journal import read_journal as read_journal
    from tidewheel.artifacts.store import ArtifactStore as ArtifactStore
    from tidewheel.artifacts.table import Table as Table

__all__ = ["ArtifactStore", "Journal", "Table", "read_journal"]

_HOMES = {"ArtifactStore": "store", "Journal": "journal", "Table": "table", "read_journal": "journal"}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"tidewheel.artifacts.{_HOMES[name]}"), name)
