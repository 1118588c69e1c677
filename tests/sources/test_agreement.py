"""Files of one source that do not agree: what is read of them, and what is told."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from tidewheel.cli import cli
from tidewheel.errors import Corrupt, Invalid, TypeMismatch
from tidewheel.sources import source
from tidewheel.sources.agreement import loses_digits
from tidewheel.sources.read import Sources

Rows = dict[str, list[object]]


def write(folder: Path, format: str, *tables: Rows) -> str:
    """Files ``0.csv`` and so on; answers the pattern of all."""
    for place, rows in enumerate(tables):
        path = folder / f"{place}.{format}"
        if format == "parquet":
            pq.write_table(pa.table(rows), path)
            continue
        lines = [dict(zip(rows, values, strict=True)) for values in zip(*rows.values(), strict=True)]
        if format == "jsonl":
            path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        else:
            path.write_text("\n".join([",".join(rows), *(",".join(map(str, line.values())) for line in lines)]) + "\n")
    return f"*.{format}"


@pytest.mark.parametrize("format", ["parquet", "csv", "jsonl"])
def test_a_renamed_column_is_told_with_its_files_and_its_new_name(sources: Sources, tmp_path: Path, format: str) -> None:
    old: Rows = {"t": [1], "fare": [1.5]}
    pattern = write(tmp_path, format, old, old, {"t": [2], "fares": [2.5]}, {"t": [3], "fares": [3.5]})
    assert sources.compare_files(source("trips", pattern, time="t")) == (
        f"source trips: column fare is missing in 2 of 4 files, first 2.{format}, and null there; "
        "is it fares there, which is only in those 2 files?",
    )


@pytest.mark.parametrize("format", ["parquet", "csv", "jsonl"])
def test_an_absent_column_is_told_and_one_without_values_is_not(sources: Sources, tmp_path: Path, format: str) -> None:
    empty: Rows = {"t": [2], "fare": [None]} if format == "parquet" else {"t": [2], "fare": [None if format == "jsonl" else ""]}
    pattern = write(tmp_path, format, {"t": [1], "fare": [1.5]}, empty, {"t": [3]})
    (found,) = sources.compare_files(source("trips", pattern, time="t"))
    assert found == f"source trips: column fare is missing in 1 of 3 files, first 2.{format}, and null there"


def test_a_key_that_a_row_far_down_has_is_not_missing(sources: Sources, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"t": 1, "fare": 2.5}\n')
    (tmp_path / "b.jsonl").write_text('{"t": 1}\n' * 3_000 + '{"t": 2, "fare": 3.5}\n')
    assert sources.compare_files(source("trips", "*.jsonl", time="t")) == ()


@pytest.mark.parametrize("format", ["parquet", "csv", "jsonl"])
def test_a_column_that_is_text_because_of_one_file_is_told(sources: Sources, tmp_path: Path, format: str) -> None:
    pattern = write(tmp_path, format, {"t": [1], "zone": [7]}, {"t": [2], "zone": ["north"]}, {"t": [3], "zone": [8]})
    (found,) = sources.compare_files(source("trips", pattern, time="t"))
    assert found.startswith("source trips: column zone is read as text: it holds whole numbers in 2 of 3 files, first 0.")
    assert f"and text in 1.{format}" in found


def test_fields_of_objects_are_compared_too(sources: Sources, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"t": 1, "item": {"price": 2, "id": 1}}\n')
    (tmp_path / "b.jsonl").write_text('{"t": 1, "item": {"id": 1}}\n')
    (found,) = sources.compare_files(source("trips", "*.jsonl", time="t"))
    assert "column item.price is missing in 1 of 2 files, first b.jsonl" in found


@pytest.mark.parametrize(
    "text",
    ['{"t": 1, "Zone": 1}\n{"t": 2, "zone": 2}\n', '{"t": 1, "a": {"Zone": 1}}\n{"t": 2, "a": {"Zone": 1, "zone": 2}}\n'],
)
def test_keys_that_differ_only_in_capitals_are_refused_for_one_would_be_null(
    sources: Sources, tmp_path: Path, text: str
) -> None:
    (tmp_path / "a.jsonl").write_text(text)
    with pytest.raises(Invalid, match=r"[Zz]one.*capitals"):
        sources.scan(source("trips", "a.jsonl", time="t"), ["t"])


def test_a_key_with_a_number_behind_it_is_no_other_writing(sources: Sources, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"t": 1, "zone": 1, "Zone_1": 5, "zone_2": 6}\n')
    assert sources.scan(source("trips", "a.jsonl", time="t"), ["Zone_1", "zone_2"]).to_pylist()[0]["Zone_1"] == 5


@pytest.mark.parametrize("format", ["parquet", "csv"])
def test_a_column_with_other_capitals_is_the_same_column(sources: Sources, tmp_path: Path, format: str) -> None:
    pattern = write(tmp_path, format, {"t": [1], "Zone": [7]}, {"t": [2], "zone": [8]})
    trips = source("trips", pattern, time="t")
    assert sources.scan(trips, ["Zone"], order_by=["__ts"])["Zone"].to_pylist() == [7, 8]
    assert sources.compare_files(trips) == ()


@pytest.mark.parametrize(("format", "ending"), [("csv", "csv"), ("jsonl", "jsonl")])
def test_digits_that_no_double_keeps_are_told(sources: Sources, tmp_path: Path, format: str, ending: str) -> None:
    texts = ["12345678901234567.89", "0.30000000000000004", "1.5", "0.10000000000000000555", "9007199254740993"]
    lines = [f'{{"t": 1, "id": 9007199254740993, "fare": {text}}}' for text in texts]
    text = "\n".join(lines if format == "jsonl" else ["t,id,fare", *(f'1,9007199254740993,"{one}"' for one in texts)])
    (tmp_path / f"a.{ending}").write_text(text + "\n")
    (found,) = sources.compare_files(source("trips", f"a.{ending}", time="t"))
    assert "2 values of column fare have more digits than a double keeps, such as 12345678901234567.89 in a." in found


def test_whole_numbers_that_are_doubles_in_another_file_are_told_where_they_do_not_fit(
    sources: Sources, tmp_path: Path
) -> None:
    near: Rows = {"t": [1], "id": [7]}
    write(tmp_path, "parquet", near, {"t": [2], "id": [7.5]})
    trips = source("trips", "*.parquet", time="t")
    assert sources.compare_files(trips) == ()
    write(tmp_path, "parquet", {"t": [1], "id": [9007199254740993]})
    (found,) = sources.compare_files(trips)
    assert "column id is read as doubles" in found and "1 of 2 files, first 0.parquet" in found


def test_decimals_that_are_doubles_in_another_file_are_told(sources: Sources, tmp_path: Path) -> None:
    write(tmp_path, "parquet", {"t": [1], "fare": [Decimal("12345678901234567.89")]}, {"t": [2], "fare": [7.5]})
    (found,) = sources.compare_files(source("trips", "*.parquet", time="t"))
    assert "column fare is read as doubles, which keep 15 digits of the decimals in 1 of 2 files, first 0.parquet" in found


@pytest.mark.parametrize(("one", "other"), [("text", {"x": 1}), ({"x": 1}, 5), ({"x": {"y": 1}}, {"x": "text"})])
def test_objects_are_not_read_with_what_is_none(sources: Sources, tmp_path: Path, one: object, other: object) -> None:
    pattern = write(tmp_path, "parquet", {"t": [1], "item": [one]}, {"t": [2], "item": [other]})
    path = "item.x.y" if isinstance(other, dict) and other["x"] == "text" else "item.x"
    trips = source("trips", pattern, time="t", select=f"SELECT t, {path} AS x FROM this")
    with pytest.raises(
        TypeMismatch, match=r"column item(\.x)? of source trips holds objects in .*\.parquet and something else in"
    ):
        sources.scan(trips, ["x"])


def test_a_line_far_down_that_is_no_object_is_named(sources: Sources, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"t": 1, "fare": 2}\n' * 3 + "[1, 2]\n")
    with pytest.raises(Corrupt, match=r"a\.jsonl:4: no JSON object"):
        sources.scan(source("trips", "a.jsonl", time="t"), ["fare"])


def test_what_a_double_keeps() -> None:
    kept = [
        "1e300",
        "-0.0",
        "0.1",
        "12345678901234567",
        "1.7976931348623157e308",
        "3.141592653589793115997963468544185161590576171875",
    ]
    assert [loses_digits(text) for text in (*kept[:3], *kept[4:])] == [False] * 5
    assert loses_digits(kept[3]) and loses_digits("-12345678901234567")


def test_plan_apply_and_check_tell_it(tmp_path: Path) -> None:
    (tmp_path / "tidewheel.toml").write_text('project = "trips"\n')
    (tmp_path / "features.py").write_text(
        "import tidewheel as tw\n"
        'trips = tw.source("trips", "*.csv", time="t")\n'
        '@tw.features(trips, by=tw.entity("zone", zone=int))\n'
        "class Pace:\n"
        '    fare = tw.lookup("fare")\n'
    )
    write(tmp_path, "csv", {"t": [1], "zone": [7], "fare": [1.5]}, {"t": [2], "zone": [7], "fares": [2.5]})
    told = "column fare is missing in 1 of 2 files, first 1.csv"
    run = CliRunner()
    for arguments in (["plan"], ["plan", "--json"], ["apply", "--yes"], ["apply", "--yes", "--json"], ["plan"], ["check"]):
        found = run.invoke(cli, [*arguments, "--project", str(tmp_path)], standalone_mode=False)
        assert told in found.output, (arguments, found.output)
