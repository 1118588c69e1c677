"""Fetch what lies outside of the project: one face for object stores, tables with versions, and queries."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tidewheel.errors import Invalid
from tidewheel.ports.query_engine import Files, QueryEngine
from tidewheel.ports.table_format import TableFormat
from tidewheel.sources.definition import Source
from tidewheel.sources.fetch_objects import ObjectFetcher, OpenStore, open_object_store
from tidewheel.sources.fetch_query import QueryFetcher
from tidewheel.sources.fetch_table import OpenTable, TableFetcher
from tidewheel.sources.keep import Kept
from tidewheel.sources.location import Location, Query
from tidewheel.sources.snapshot import Snapshot


def no_tables(url: str, options: Mapping[str, str]) -> TableFormat:
    """What opens tables where nobody said how."""
    raise Invalid(f"{url} is a table, and no table formats are known here", where=url, fix="open the source by its workspace")


@dataclass(frozen=True, slots=True)
class Outside:
    """How to reach what lies outside of the project.

    Parameters
    ----------
    folder
        Where fetched files are kept, by content.
    environment
        Where references to secrets are looked up.
    open_table, open_store
        Open a table by its URL, and a bucket.
    """

    folder: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    open_table: OpenTable = no_tables
    open_store: OpenStore = open_object_store


class Fetcher:
    """Snapshots of sources outside of the project, and local files with what they held."""

    def __init__(
        self,
        outside: Outside,
        *,
        root: Path,
        engine: QueryEngine,
        recall: Callable[[str], bytes | None],
        remember: Callable[[str, bytes], None],
    ) -> None:
        kept, environment = Kept(outside.folder), outside.environment
        self._tables = TableFetcher(root, kept, environment, outside.open_table, recall, remember)
        self._objects = ObjectFetcher(kept, environment, recall, remember, outside.open_store)
        self._queries = QueryFetcher(root, kept, engine, environment, recall, remember)
        self._seen: dict[object, Snapshot] = {}

    def snapshot(self, source: Source) -> Snapshot:
        """What the source holds now, pushes left out; what is new is fetched."""
        data = source.data
        if isinstance(data, Query):
            found = Snapshot(source.name, files=self._queries.snapshot(data))
        elif isinstance(data, Location) and data.is_table:
            parts, version = self._tables.snapshot(data)
            found = Snapshot(source.name, files=parts, version=version)
        else:
            assert isinstance(data, Location)
            found = Snapshot(source.name, files=self._objects.snapshot(data))
        self._seen[data] = found
        return found

    def known(self, source: Source) -> Snapshot:
        """A snapshot of before, where only the columns matter."""
        return self._seen.get(source.data) or self.snapshot(source)

    def files(self, source: Source, snapshot: Snapshot) -> Files:
        """Local files with the rows of a snapshot.

        Raises
        ------
        Conflict
            When they are gone here, and the place does not hold them any more.
        """
        data = source.data
        if isinstance(data, Query):
            paths = self._queries.files(data, snapshot.files)
        elif isinstance(data, Location) and data.is_table:
            paths = self._tables.files(data, snapshot.files, snapshot.version or "")
        else:
            assert isinstance(data, Location)
            paths = self._objects.files(data, snapshot.files)
        return Files(source.file_format, tuple(str(path) for path in paths))
