"""Cases I5 and K1 of features.md: a long history costs a read nothing; served rows are held to what is computed again."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pytest
import sqlalchemy as sa
from tests.features.online_world import NEW_YEAR, World, online_source

from tidewheel.backends.duckdb import DuckDB
from tidewheel.backends.memory.online_store import MemoryOnlineStore
from tidewheel.clock import MINUTE, Micros
from tidewheel.database.open import Database
from tidewheel.digest import Digest, digest
from tidewheel.features.definition import count, entity, features, lookup, service, view_of
from tidewheel.features.register import OnlineViews
from tidewheel.features.retrieve import retrieve
from tidewheel.features.tables import online_bookmarks
from tidewheel.ledger.definition import NodeId
from tidewheel.ledger.record import Ledger
from tidewheel.ledger.tables import builds, moves
from tidewheel.project.parity import compare_features, spine_of
from tidewheel.schema import Schema
from tidewheel.sources.snapshot import Snapshot

USER = entity("user", uid=int)


@pytest.fixture
def database() -> Iterator[Database]:
    database = Database.open("sqlite://")
    yield database
    database.close()


def steps(database: Database, read: Callable[[], object]) -> int:
    """Instructions that SQLite's machine runs for a read: a measure of work that no other load can disturb."""
    counted = 0

    def step() -> int:
        nonlocal counted
        counted += 1
        return 0

    with database.write() as connection:  # reads inside of it go over its connection
        raw = connection.connection.driver_connection
        assert raw is not None
        raw.set_progress_handler(step, 1)
        try:
            read()
        finally:
            raw.set_progress_handler(None, 0)
    return counted


@pytest.mark.slow
def test_i5_ten_thousand_runs_neither_grow_a_definition_nor_slow_a_read(database: Database) -> None:
    @features(online_source("trips"), by=USER)
    class F:
        x = lookup("x")

    view, node, clock = view_of(F), NodeId("view:F"), lambda: Micros(0)
    ledger, views = Ledger(database, clock), OnlineViews(database, clock)
    number, version = views.ensure(view), view.version

    def runs(start: int, end: int) -> None:
        with database.write() as connection:
            connection.execute(builds.insert(), [row(run) for run in range(start, end)])
            connection.execute(
                moves.insert(),
                [
                    {"environment": "dev", "version": run + 2, "at": 0, "actor": "a", "reason": "", "changes": "{}"}
                    for run in range(start, end)
                ],
            )

    def row(run: int) -> dict[str, object]:
        recipe = digest(["run", run])
        return {
            "id": str(run),
            "recipe": recipe,
            "live": recipe,
            "node": node,
            "content": recipe,
            "output": b"{}",
            "trace": "[]",
            "started_at": run,
            "ended_at": run + 1,
            "actor": "a",
        }

    for revision in range(1, 201):
        assert views.begin(number) == revision
        views.advance(number, revision=revision, until=Micros(revision), closed=Micros(0), snapshot=Snapshot("trips"))
    ledger.move("dev", {node: digest("recipe")}, expected=0, actor="a", reason="first")
    reads: dict[str, Callable[[], object]] = {
        "the bookmark": lambda: views.find_bookmark(view),
        "the numbers of views": views.list_ids,
        "the last builds": lambda: ledger.list_builds(node, limit=5),
        "a build by its recipe": lambda: ledger.find_build(Digest(digest(["run", 7]))),
        "an environment": lambda: ledger.environment("dev"),
    }
    runs(0, 100)
    before = {name: steps(database, read) for name, read in reads.items()}
    runs(100, 10_000)
    after = {name: steps(database, read) for name, read in reads.items()}
    assert all(count > 0 for count in before.values())
    assert after == pytest.approx(before, rel=0.1)
    assert view.version == version
    assert views.ensure(view) == number
    last = ledger.list_builds(node, limit=1)[0]
    assert last.started_at == 9_999
    with database.read() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(online_bookmarks)).scalar() == 1


def test_k1_a_thousand_served_rows_are_computed_again_and_the_one_that_was_changed_is_named(
    database: Database, tmp_path: Path
) -> None:
    engine = DuckDB()
    world = World(tmp_path, MemoryOnlineStore(), database, engine)

    @features(online_source("sold"), by=USER)
    class Sold:
        x = lookup("x")
        many = count("1h")

    view, inputs = view_of(Sold), service("sold_inputs", Sold)
    rows = [{"uid": n % 37, "ts": NEW_YEAR + n * MINUTE, "x": n / 7} for n in range(1_500)]
    kind = pa.schema([("uid", pa.int64()), ("ts", pa.int64()), ("x", pa.float64())])
    world.file("sold-0.parquet", pa.Table.from_pylist(rows, schema=kind))
    world.materialize(view, until=NEW_YEAR + 1_500 * MINUTE)
    at = [NEW_YEAR + (1_500 + n % 50) * MINUTE for n in range(1_000)]
    asked = [{"uid": n % 40} for n in range(1_000)]
    served = world.answer(inputs, asked, at).values
    log = pa.table(
        {
            "prediction_id": [f"p{n}" for n in range(1_000)],
            "at": pa.array(at, pa.int64()),
            "inputs": [json.dumps(one) for one in asked],
            "f.x": pa.array([row[0] for row in served], pa.float64()),
            "f.many": pa.array([row[1] for row in served], pa.int64()),
        }
    )
    spine = spine_of(log, Schema((*inputs.keys, *inputs.request)))
    computed = retrieve(inputs, spine, time="at", sources=world.sources).table
    assert list(compare_features(log, computed, inputs.names)) == []
    wrong = log["f.x"].to_pylist()
    wrong[617] += 1e-9
    changed = log.set_column(log.column_names.index("f.x"), "f.x", pa.array(wrong, pa.float64()))
    (found,) = compare_features(changed, computed, inputs.names)
    assert (found.prediction_id, found.feature, found.at) == ("p617", "x", at[617])
    assert (found.served, found.computed, json.loads(found.keys)) == (wrong[617], served[617][0], asked[617])
    world.close()
    engine.close()
