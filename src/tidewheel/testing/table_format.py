"""The contract of the table format port: subclass it in the backend's tests and give it a fixture ``world``.

Examples
--------
>>> class TestMine(TableFormatContract):
...     pass  # and a pytest fixture called world
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Protocol

import pyarrow as pa
import pytest

from tidewheel.errors import NotFound, TidewheelError
from tidewheel.ports.table_format import TableFormat, TableVersion


class TableWorld(Protocol):
    """A table that a test writes to by the format's own library, and opens as we do."""

    def open(self, name: str = "rides") -> TableFormat:
        """Open a table, also one that is not there."""
        ...

    def append(self, rows: pa.Table) -> None:
        """Add rows; makes the table when it is not there. A new column is added to the table."""
        ...

    def rewrite(self, rows: pa.Table) -> None:
        """Put rows in place of all that there are."""
        ...

    def delete(self, zone: int) -> None:
        """Delete the rows of a zone."""
        ...


def rides(*zones: int) -> pa.Table:
    """Rows of a zone and a time."""
    moment = datetime(2026, 1, 1, 10, tzinfo=UTC)
    columns = {
        "zone": pa.array(zones, pa.int64()),
        "ended": pa.array([moment] * len(zones), pa.timestamp("us", "UTC")),
        "note": pa.array([f"to {zone}" for zone in zones], pa.string()),
    }
    return pa.table(columns)


def zones_of(table: TableFormat, version: TableVersion) -> list[int]:
    """The zones in a version, sorted."""
    found: list[int] = []
    for part in version.parts:
        found += table.stream(version, part).read_all()["zone"].to_pylist()
    return sorted(found)


class TableFormatContract:
    """What every table format answers alike."""

    def test_an_appended_part_leaves_the_others_as_they_are(self, world: TableWorld) -> None:
        world.append(rides(1, 2))
        table = world.open()
        before = table.version()
        world.append(rides(3))
        after = table.version()
        assert after.id != before.id
        assert {part.name for part in before.parts} < {part.name for part in after.parts}
        assert zones_of(table, before) == [1, 2]
        assert zones_of(table, after) == [1, 2, 3]

    def test_an_earlier_version_can_be_had_again_by_another_reader(self, world: TableWorld) -> None:
        world.append(rides(1))
        id = world.open().version().id
        world.rewrite(rides(7, 8))
        table = world.open()
        assert zones_of(table, table.version()) == [7, 8]
        assert zones_of(table, table.version(id)) == [1]
        assert table.version(id).id == id

    def test_deleted_rows_are_gone_and_their_part_has_another_name(self, world: TableWorld) -> None:
        world.append(rides(1, 2, 3))
        table = world.open()
        before = table.version()
        world.delete(2)
        after = table.version()
        assert zones_of(table, after) == [1, 3]
        assert zones_of(table, before) == [1, 2, 3]
        assert not {part.name for part in before.parts} & {part.name for part in after.parts}

    def test_rows_come_in_the_same_order_with_the_types_of_the_schema(self, world: TableWorld) -> None:
        world.append(rides(3, 1, 2))
        table = world.open()
        version = table.version()
        (part,) = version.parts
        first, second = (table.stream(version, part).read_all() for _ in range(2))
        assert first.equals(second)
        assert first.schema.equals(version.schema)
        assert version.schema.field("ended").type == pa.timestamp("us", "UTC")
        assert first["zone"].to_pylist() == [3, 1, 2]

    def test_a_local_file_that_is_named_holds_just_the_rows(self, world: TableWorld) -> None:
        import pyarrow.parquet as pq

        world.append(rides(1, 2))
        table = world.open()
        version = table.version()
        for part in version.parts:
            if part.path is not None:
                assert pq.read_table(part.path, partitioning=None).equals(table.stream(version, part).read_all())

    def test_a_column_that_came_later_is_null_in_older_parts(self, world: TableWorld) -> None:
        world.append(rides(1))
        world.append(rides(2).append_column("fare", pa.array([2.5])))
        table = world.open()
        version = table.version()
        fares = [value for part in version.parts for value in table.stream(version, part).read_all()["fare"].to_pylist()]
        assert sorted(fares, key=str) == [2.5, None]

    def test_a_table_or_version_that_is_not_there_is_not_found(self, world: TableWorld) -> None:
        with pytest.raises(NotFound) as caught:
            world.open("strangers").version()
        assert caught.value.fix
        world.append(rides(1))
        with pytest.raises(TidewheelError):
            world.open().version("999999")

    def test_close_twice_is_once(self, world: TableWorld) -> None:
        table = world.open()
        table.close()
        table.close()
