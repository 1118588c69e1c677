"""A small world for tests of the online side: files, pushes, a store, a clock, and both ways to ask for features."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from tests.servers import any_store

from tidewheel.backends.duckdb import DuckDB
from tidewheel.clock import Micros, parse_instant
from tidewheel.database.open import Database
from tidewheel.features.definition import FeatureView, ServiceDefinition
from tidewheel.features.materialize import Materializer, MaterializeReport
from tidewheel.features.prepare import Answer, PreparedFeatures, prepare
from tidewheel.features.push import Pusher, PushReceipt
from tidewheel.features.register import OnlineViews
from tidewheel.features.retrieve import retrieve
from tidewheel.ports.online_store import OnlineStore
from tidewheel.ports.query_engine import QueryEngine
from tidewheel.sources.definition import Source
from tidewheel.sources.push_log import PushLog
from tidewheel.sources.read import Sources

NEW_YEAR = parse_instant("2026-01-01T00:00:00Z")


def clock(text: str, day: str = "2026-01-01") -> Micros:
    """``"08:00"`` of the day of the cases."""
    return parse_instant(f"{day}T{text}Z")


class World:
    """Everything that the online side needs, in one folder and one store."""

    def __init__(
        self, root: Path, store: OnlineStore, database: Database, engine: QueryEngine, *, lateness: int = 86_400_000_000
    ) -> None:
        self.root, self.store, self.database, self.lateness = root, store, database, lateness
        self.now = Micros(parse_instant("2030-01-01"))
        self._memory: dict[str, bytes] = {}
        pushes = root / "pushes"
        self.sources = Sources(root, engine, pushes, self._memory.get, self._memory.__setitem__, lambda: self.now)
        self._logs: dict[str, PushLog] = {}
        self.views = OnlineViews(database, lambda: self.now)

    def file(self, name: str, table: pa.Table) -> None:
        """A new Parquet file."""
        pq.write_table(table, self.root / name)

    def materialize(
        self, view: FeatureView, *, until: int, full: bool = False, store: OnlineStore | None = None
    ) -> MaterializeReport:
        worker = Materializer(self.sources, store or self.store, self.database, lambda: self.now, lateness=self.lateness)
        return worker.materialize(view, until=Micros(until), full=full)

    def pusher(self, *views: FeatureView) -> Pusher:
        name = views[0].source.name
        if name not in self._logs:
            self._logs[name] = PushLog(self.root / "pushes" / name)
        return Pusher(self.sources, self._logs[name], self.store, views, self.database, lambda: self.now)

    def push(self, view: FeatureView, rows: Sequence[Mapping[str, object]]) -> PushReceipt:
        return self.pusher(view).push(view.source, rows)

    def prepare(self, service: ServiceDefinition) -> PreparedFeatures:
        schemas = {view.source.name: self.sources.schema(view.source) for view in service.views}
        return prepare(service, store=self.store, view_ids=self.views.list_ids(), schemas=schemas)

    def answer(self, service: ServiceDefinition, requests: Sequence[Mapping[str, object]], at: Sequence[int]) -> Answer:
        return self.prepare(service).answer(requests, at=[Micros(one) for one in at])

    def offline(
        self, service: ServiceDefinition, requests: Sequence[Mapping[str, object]], at: Sequence[int]
    ) -> list[list[object]]:
        fields = [*service.keys, *service.request]
        columns = {one.name: pa.array([request[one.name] for request in requests], one.type.arrow()) for one in fields}
        spine = pa.table(columns | {"asked_at": pa.array(at, pa.int64())})
        table = retrieve(service, spine, time="asked_at", sources=self.sources).table
        return [list(row) for row in zip(*(column.to_pylist() for column in table.columns), strict=True)]

    def close(self) -> None:
        for log in self._logs.values():
            log.close()


@contextmanager
def world_on(technology: str, root: Path, *, lateness: int = 86_400_000_000) -> Iterator[World]:
    """A world whose store is on one of :data:`tests.servers.STORES`."""
    database, engine = Database.open("sqlite://"), DuckDB()
    with any_store(technology, root) as store:
        made = World(root, store, database, engine, lateness=lateness)
        yield made
        made.close()
    engine.close()
    database.close()


def bits(value: object) -> object:
    """A value such that two are equal when their types and bits are."""
    if isinstance(value, float):
        return ("float", struct.pack(">d", value) if value == value else b"nan")
    return (type(value).__name__, value)


def same_bits(left: Sequence[Sequence[object]], right: Sequence[Sequence[object]]) -> bool:
    return [[bits(one) for one in row] for row in left] == [[bits(one) for one in row] for row in right]


def online_source(name: str, **options: object) -> Source:
    """A source over ``name-*.parquet``."""
    from tidewheel.sources.definition import source

    return source(name, f"{name}-*.parquet", time="ts", **options)  # type: ignore[arg-type]  # options of any test
