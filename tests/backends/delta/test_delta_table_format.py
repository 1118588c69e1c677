"""The table format port on Delta Lake: the contract, and what Delta has of its own."""

from __future__ import annotations

import base64
import json
import struct
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from pyroaring import BitMap

from tidewheel.backends.delta import DeltaFormat, open_table_format
from tidewheel.errors import NotFound
from tidewheel.testing.table_format import TableFormatContract, rides, zones_of


class DeltaWorld:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def open(self, name: str = "rides") -> DeltaFormat:
        return open_table_format(f"delta://{self.folder / name}", {})

    def append(self, rows: pa.Table) -> None:
        write_deltalake(str(self.folder / "rides"), rows, mode="append", schema_mode="merge")

    def rewrite(self, rows: pa.Table) -> None:
        write_deltalake(str(self.folder / "rides"), rows, mode="overwrite")

    def delete(self, zone: int) -> None:
        DeltaTable(str(self.folder / "rides")).delete(f"zone = {zone}")


@pytest.fixture
def world(tmp_path: Path) -> DeltaWorld:
    return DeltaWorld(tmp_path)


class TestDelta(TableFormatContract):
    pass


def test_columns_of_the_partition_come_from_the_log(tmp_path: Path) -> None:
    rows = rides(1, 2, 1).append_column("day", pa.array([5, 6, None], pa.int32()))
    write_deltalake(str(tmp_path), rows, partition_by=["zone", "day"])
    table = DeltaFormat(str(tmp_path), {})
    version = table.version()
    assert all(part.path is None for part in version.parts)
    found = pa.concat_tables([table.stream(version, part).read_all() for part in version.parts])
    expected = DeltaTable(str(tmp_path)).to_pyarrow_table()
    assert found.sort_by([("zone", "ascending"), ("day", "ascending")]).equals(
        expected.cast(found.schema).sort_by([("zone", "ascending"), ("day", "ascending")])
    )


def test_a_plain_local_file_is_read_where_it_lies(tmp_path: Path) -> None:
    write_deltalake(str(tmp_path), rides(1, 2))
    (part,) = DeltaFormat(str(tmp_path), {}).version().parts
    assert part.path is not None
    assert Path(part.path).is_relative_to(tmp_path)


def test_rows_under_a_deletion_vector_are_gone(tmp_path: Path) -> None:
    write_deltalake(str(tmp_path), rides(1, 2, 3, 4), configuration={"delta.enableDeletionVectors": "true"})
    table = DeltaFormat(str(tmp_path), {})
    before = table.version()
    delete_places(tmp_path, [1, 3], version=1)
    after = DeltaFormat(str(tmp_path), {}).version()
    assert zones_of(DeltaFormat(str(tmp_path), {}), after) == [1, 3]
    assert before.parts[0].name != after.parts[0].name
    assert after.parts[0].path is None
    delete_places(tmp_path, [1, 2, 3], version=2)
    newest = DeltaFormat(str(tmp_path), {})
    assert zones_of(newest, newest.version()) == [1]
    assert zones_of(newest, newest.version("1")) == [1, 3]


def delete_places(folder: Path, places: list[int], *, version: int) -> None:
    """A commit that puts an inline deletion vector on the table's one file, as Delta's protocol says."""
    previous = json.loads((folder / "_delta_log" / f"{version - 1:020}.json").read_text().splitlines()[-1])["add"]
    bitmap = BitMap(places).serialize()
    data = struct.pack("<I", 1681511377) + struct.pack("<Q", 1) + struct.pack("<I", 0) + bitmap
    data += b"\0" * (-len(data) % 4)
    vector = {"storageType": "i", "pathOrInlineDv": z85(data), "sizeInBytes": len(data), "cardinality": len(places)}
    remove = {"path": previous["path"], "dataChange": True, "deletionTimestamp": 1, "size": previous["size"]}
    if "deletionVector" in previous:
        remove["deletionVector"] = previous["deletionVector"]
    lines = [json.dumps({"remove": remove}), json.dumps({"add": {**previous, "deletionVector": vector}})]
    (folder / "_delta_log" / f"{version:020}.json").write_text("\n".join(lines) + "\n")


def z85(data: bytes) -> str:
    """ZeroMQ's base 85, by Python's: the same digits in another alphabet."""
    theirs = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~"
    ours = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"
    return base64.b85encode(data).decode().translate(str.maketrans(theirs, ours))


def test_a_folder_without_a_log_is_no_table(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no Delta table"):
        DeltaFormat(str(tmp_path), {}).version()
