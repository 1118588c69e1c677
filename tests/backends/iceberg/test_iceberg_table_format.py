"""The table format port on Apache Iceberg, with an SQL catalog on SQLite."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from pyiceberg.catalog import Catalog, load_catalog
from pyiceberg.exceptions import NoSuchTableError

from tidewheel.backends.iceberg import IcebergFormat, open_table_format
from tidewheel.errors import NotFound, Unavailable
from tidewheel.testing.table_format import TableFormatContract, rides, zones_of


class IcebergWorld:
    def __init__(self, folder: Path) -> None:
        self.options = {"type": "sql", "uri": f"sqlite:///{folder}/catalog.db", "warehouse": f"file://{folder}/warehouse"}
        self.catalog: Catalog = load_catalog("shop", **self.options)
        self.catalog.create_namespace("sales")

    def open(self, name: str = "rides") -> IcebergFormat:
        return open_table_format(f"iceberg://shop/sales.{name}", self.options)

    def append(self, rows: pa.Table) -> None:
        try:
            table = self.catalog.load_table("sales.rides")
        except NoSuchTableError:
            table = self.catalog.create_table("sales.rides", schema=rows.schema)
        with table.update_schema() as change:
            change.union_by_name(rows.schema)
        self.catalog.load_table("sales.rides").append(rows)

    def rewrite(self, rows: pa.Table) -> None:
        self.catalog.load_table("sales.rides").overwrite(rows)

    def delete(self, zone: int) -> None:
        self.catalog.load_table("sales.rides").delete(f"zone = {zone}")


@pytest.fixture
def world(tmp_path: Path) -> IcebergWorld:
    return IcebergWorld(tmp_path)


class TestIceberg(TableFormatContract):
    pass


def test_a_table_without_a_snapshot_has_columns_and_no_rows(world: IcebergWorld) -> None:
    world.catalog.create_table("sales.rides", schema=rides().schema)
    version = world.open().version()
    assert version.parts == ()
    assert version.schema.names == ["zone", "ended", "note"]
    assert world.open().version(version.id).parts == ()


def test_a_renamed_column_is_read_under_its_new_name(world: IcebergWorld) -> None:
    world.append(rides(1, 2))
    with world.catalog.load_table("sales.rides").update_schema() as change:
        change.rename_column("note", "remark")
    table = world.open()
    version = table.version()
    assert version.schema.names == ["zone", "ended", "remark"]
    assert [part.path for part in version.parts] == [None]
    assert table.stream(version, version.parts[0]).read_all()["remark"].to_pylist() == ["to 1", "to 2"]


def test_a_catalog_that_is_not_there_says_what_to_check(tmp_path: Path) -> None:
    with pytest.raises(Unavailable) as caught:
        open_table_format("iceberg://nowhere/sales.rides", {}).version()
    assert "catalog" in str(caught.value.fix)


def test_a_snapshot_that_is_gone_is_not_found(world: IcebergWorld) -> None:
    world.append(rides(1))
    table = world.open()
    assert zones_of(table, table.version()) == [1]
    with pytest.raises(NotFound, match="12345"):
        world.open().version("12345")
