"""CSV and JSON lines as people write them: the right rows, or an error that names file and line."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from tidewheel.clock import parse_instant
from tidewheel.errors import Corrupt, Invalid, MissingTime, MixedTimezones, TidewheelError, TypeMismatch
from tidewheel.sources import source
from tidewheel.sources.definition import Source
from tidewheel.sources.push import PushLog
from tidewheel.sources.read import Sources
from tidewheel.sources.times import TimeUnit, to_utc_micros

TEN = parse_instant("2026-01-01T10:00:00Z")
ZONED, NAIVE = "2026-01-01T10:00:00Z", "2026-01-01T10:00:00"


def read(sources: Sources, made: Source, *columns: str) -> list[tuple[object, ...]]:
    table = sources.scan(made, columns, order_by=["__ts", *columns])
    return list(zip(*(table[name].to_pylist() for name in ("__ts", *columns)), strict=True))


@pytest.mark.parametrize(
    ("name", "texts"),
    [
        ("csv", [f"t,x\n{ZONED},1\n{NAIVE},2\n"]),
        ("csv", [f"t,x\n{ZONED},1\n", f"t,x\n{NAIVE},2\n"]),
        ("csv", [f"t,x\n{ZONED},1\n", "t,x\n2026-01-01,2\n"]),
        ("jsonl", [f'{{"t":"{ZONED}","x":1}}\n{{"t":"{NAIVE}","x":2}}\n']),
        ("jsonl", [f'{{"t":"{ZONED}","x":1}}\n', f'{{"t":"{NAIVE}","x":2}}\n']),
    ],
)
def test_times_with_and_without_a_zone_do_not_mix_within_a_file_or_between_files(
    sources: Sources, tmp_path: Path, name: str, texts: list[str]
) -> None:
    for place, text in enumerate(texts):
        (tmp_path / f"{place}.{name}").write_text(text)
    with pytest.raises(MixedTimezones, match=r"2026-01-01T10:00:00Z.*2026-01-01"):
        sources.scan(source("f", f"*.{name}", time="t"), ["x"])


@pytest.mark.parametrize("name", ["csv", "jsonl"])
@pytest.mark.parametrize("zone", ["Z", "", "+00:00"])
def test_d10_digits_finer_than_a_microsecond_are_rounded_up(sources: Sources, tmp_path: Path, name: str, zone: str) -> None:
    times = [f"2026-01-01T10:00:00{digits}{zone}" for digits in ("", ".000000900", ".0000010", ".000001000001")]
    lines = ["t", *times] if name == "csv" else [f'{{"t":"{time}"}}' for time in times]
    (tmp_path / f"a.{name}").write_text("\n".join(lines) + "\n")
    found = [row[0] for row in read(sources, source("f", f"a.{name}", time="t"))]
    assert found == [TEN, TEN + 1, TEN + 1, TEN + 2]


def test_d10_strings_in_memory_are_rounded_away_from_what_could_leak() -> None:
    column = pa.chunked_array([["1970-01-01T00:00:00.0000009Z", "1969-12-31T23:59:59.9999991Z", "1970-01-01T00:00:01Z", None]])
    assert to_utc_micros(column, name="t", rounding="up").to_pylist() == [1, 0, 1_000_000, None]
    assert to_utc_micros(column, name="t", rounding="down").to_pylist() == [0, -1, 1_000_000, None]


@pytest.mark.parametrize(
    ("unit", "values"),
    [
        ("s", "1767261600,1767261601"),
        ("ms", "1767261600000,1767261601000"),
        ("us", "1767261600000000,1767261601000000"),
        ("ns", "1767261600000000000,1767261600999999001"),
        ("s", "1767261600.0,1767261601"),
        ("s", "1767261600.000000,1767261601.0"),
    ],
)
@pytest.mark.parametrize("name", ["csv", "jsonl", "memory"])
def test_numbers_are_times_by_what_they_count(sources: Sources, tmp_path: Path, name: str, unit: TimeUnit, values: str) -> None:
    one, two = values.split(",")
    data: str | pa.Table = f"a.{name}"
    if name == "csv":
        (tmp_path / "a.csv").write_text(f"t\n{one}\n{two}\n")
    elif name == "jsonl":
        (tmp_path / "a.jsonl").write_text(f'{{"t":{one}}}\n{{"t":{two}}}\n')
    else:
        data = pa.table({"t": [float(one), float(two)] if "." in values else [int(one), int(two)]})
    made = source("f", data, time="t", time_unit=unit)
    assert read(sources, made) == [(TEN,), (TEN + 1_000_000,)]
    assert sources.scan(made, [], start=TEN, end=parse_instant("2026-01-01T10:00:01Z"))["__ts"].to_pylist() == [TEN]
    assert made.version != source("f", data, time="t").version


def test_a_double_of_seconds_is_the_microsecond_that_was_written(sources: Sources) -> None:
    wanted = [TEN + step for step in (0, 1, 2, 3, 123_456, 999_999)]
    table = pa.table({"t": [float(f"{one // 1_000_000}.{one % 1_000_000:06}") for one in wanted]})
    assert [row[0] for row in read(sources, source("f", table, time="t", time_unit="s"))] == wanted


@pytest.mark.parametrize(
    ("value", "unit"), [(1_767_261_600, "s"), (1_767_261_600_000, "ms"), (1_767_261_600_000_000_000, "ns")]
)
def test_numbers_that_cannot_be_microseconds_are_refused_with_the_unit_that_they_are(
    sources: Sources, tmp_path: Path, value: int, unit: TimeUnit
) -> None:
    (tmp_path / "a.csv").write_text(f"t,x\n{value},1\n")
    with pytest.raises(TypeMismatch, match=str(value)) as caught:
        sources.scan(source("f", "a.csv", time="t"), ["x"])
    assert caught.value.fix is not None and f'time_unit="{unit}"' in caught.value.fix
    made = source("f", "a.csv", time="t", time_unit=unit)
    assert read(sources, made, "x") == [(TEN, 1)]
    sources.validate(made, [{"t": value, "x": 2}], now=TEN)
    with pytest.raises(TypeMismatch, match="numbers count"):
        sources.validate(source("f", "a.csv", time="t"), [{"t": value, "x": 2}], now=TEN)


def test_pushed_numbers_are_times_by_what_they_count(sources: Sources, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("t,x\n1767261600,1\n")
    made = source("f", "a.csv", time="t", time_unit="s")
    log = PushLog(tmp_path / "pushes/f")
    log.append(made, sources.validate(made, [{"t": 1_767_261_601, "x": 2}], now=parse_instant("2026-01-01T10:00:02Z")))
    log.close()
    assert read(sources, made, "x") == [(TEN, 1), (TEN + 1_000_000, 2)]
    with pytest.raises(MissingTime):
        sources.validate(made, [{"t": None, "x": 2}], now=TEN)


@pytest.mark.parametrize(
    ("bytes_", "expected"),
    [
        (b"t,x\n", []),
        (b"t,x", []),
        (f"\ufefft,x\n{ZONED},1\n".encode(), [(TEN, 1)]),
        (f"t,x\r\n{ZONED},1\r\n{ZONED},2\r\n".encode(), [(TEN, 1), (TEN, 2)]),
        (f't,x\n{ZONED},"a\nb"\n{ZONED},"say ""so"""\n'.encode(), [(TEN, "a\nb"), (TEN, 'say "so"')]),
        (f"t;x\n{ZONED};1,5\n".encode(), [(TEN, "1,5")]),
        (f"x\tt\n#7\t{ZONED}\n".encode(), [(TEN, "#7")]),
        (f"t,x\n{ZONED},007\n".encode(), [(TEN, "007")]),
        (f"t,x\n{ZONED},18446744073709551617\n".encode(), [(TEN, "18446744073709551617")]),
        (f"t,x\n{ZONED},01/02/2026\n".encode(), [(TEN, "01/02/2026")]),
        (f"t,x\n{ZONED},1\n{ZONED},2.5\n".encode(), [(TEN, 1.0), (TEN, 2.5)]),
        (f"t,x\n{ZONED},true\n{ZONED},\n".encode(), [(TEN, True), (TEN, None)]),
    ],
)
def test_a_csv_file_is_what_it_says(
    sources: Sources, tmp_path: Path, bytes_: bytes, expected: list[tuple[object, ...]]
) -> None:
    (tmp_path / "a.csv").write_bytes(bytes_)
    (tmp_path / "b.csv.gz").write_bytes(gzip.compress(bytes_))
    (tmp_path / "c.csv").write_bytes(b"")  # a file of no bytes has no rows
    assert read(sources, source("f", "a.csv", time="t"), "x") == expected
    assert read(sources, source("f", "b.csv.gz", time="t"), "x") == expected
    assert read(sources, source("f", ["a.csv", "c.csv"], time="t"), "x") == expected


@pytest.mark.parametrize(
    ("name", "bytes_", "told"),
    [
        ("a.csv", f"t,x\n{ZONED},1\n{ZONED},1,5\n".encode(), "a.csv:3: expected number of columns: 2 found: 3"),
        ("a.csv", f"t,x\n{ZONED},1\n{ZONED}\n".encode(), "a.csv:3: expected number of columns: 2 found: 1"),
        ("a.csv", f"t,x\n{ZONED},caf\xe9\n".encode("latin-1"), "a.csv:2: not UTF-8"),
        ("a.csv", "caf\xe9,x\n".encode("latin-1"), "a.csv:1 is not UTF-8"),
        ("a.csv", f't,x\n{ZONED},"open\n{ZONED},2\n'.encode(), "a.csv:2: a quote that does not end"),
        ("a.csv", b"", "there is no header in .*a.csv"),
        ("a.csv", b"t,x,T\n", "a.csv has two columns 't'"),
        ("a.csv.gz", b"t,x\n1,2\n", "a.csv.gz: Not a gzipped file"),
        ("a.csv.gz", gzip.compress(b"t,x\n" + bytes(range(48, 58)) * 99, mtime=0)[:30], "a.csv.gz"),
        ("a.jsonl", b"", "there are no rows in .*a.jsonl"),
        ("a.jsonl", b"\n \n", "there are no rows in .*a.jsonl"),
        ("a.jsonl", b'{"t":"2026-01-01T10:00:00Z"}\n\n{"t":\n', "a.jsonl:3: not JSON"),
        ("a.jsonl", b'{"t":"caf\xe9"}\n', "a.jsonl:1: not UTF-8"),
    ],
)
def test_a_text_file_that_cannot_be_read_is_named_with_the_line(
    sources: Sources, tmp_path: Path, name: str, bytes_: bytes, told: str
) -> None:
    (tmp_path / name).write_bytes(bytes_)
    with pytest.raises(TidewheelError, match=told) as caught:
        sources.scan(source("f", name, time="t"), [])
    assert isinstance(caught.value, Corrupt | Invalid)
    assert caught.value.fix


def test_json_lines_with_crlf_blank_lines_and_an_empty_file_beside_them(sources: Sources, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(f'{{"t":"{ZONED}","x":1}}\r\n\r\n{{"t":"{ZONED}","x":2.5,"y":"a\\nb"}}\r\n'.encode())
    (tmp_path / "b.jsonl").write_bytes(b"")
    (tmp_path / "d.jsonl").write_bytes(f'\ufeff{{"t":"{ZONED}","y":"zz"}}\n'.encode())  # a byte order mark
    (tmp_path / "c.ndjson.gz").write_bytes(gzip.compress(f'{{"y":"late","t":"{ZONED}"}}'.encode()))
    made = source("f", ["a.jsonl", "b.jsonl", "c.ndjson.gz", "d.jsonl"], time="t")
    assert read(sources, made, "x", "y") == [(TEN, 1.0, None), (TEN, 2.5, "a\nb"), (TEN, None, "late"), (TEN, None, "zz")]


@pytest.mark.parametrize("name", ["csv", "jsonl"])
def test_a_file_that_is_written_again_is_looked_at_again(sources: Sources, tmp_path: Path, name: str) -> None:
    file, made = tmp_path / f"a.{name}", source("f", f"a.{name}", time="t")
    for value, kind in (("1", int), ("1.5", float), ("1", int)):
        file.write_text(f"t,x\n{ZONED},{value}\n" if name == "csv" else f'{{"t":"{ZONED}","x":{value}}}\n')
        assert isinstance(read(sources, made, "x")[0][1], kind)


def test_a_column_added_later_and_one_that_became_wider_are_one_column(sources: Sources, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(f"t,n\n{ZONED},1\n")
    (tmp_path / "b.csv").write_text(f"n|extra|t\n2.5|x|{ZONED}\n")
    made = source("f", "*.csv", time="t")
    assert read(sources, made, "n", "extra") == [(TEN, 1.0, None), (TEN, 2.5, "x")]


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("2026-01-01T10:00:00.0000009Z", "2026-01-01T10:00:01+0200"),
        ("2026-01-01T10:00:00.0000009", "2026-01-02"),
        ("2026-01-01T10:00:00Z", "2026-01-01T10:00:00"),
        ("10:00:00", "11:00:00"),
        ("1", 2),
        (-1, None),
    ],
)
def test_a_value_in_an_object_or_in_a_list_of_json_is_what_it_would_be_outside(
    sources: Sources, tmp_path: Path, one: object, two: object
) -> None:
    shapes: dict[str, tuple[Callable[[object], object], str]] = {
        "plain": (lambda x: x, "x"),
        "object": (lambda x: {"a": {"b": x}}, "x.a.b"),
        "list": (lambda x: [x], "x[1]"),
        "both": (lambda x: {"a": [{"b": x}]}, "x.a[1].b"),
    }
    found = {}
    for name, (shape, path) in shapes.items():
        rows = [{"t": ZONED, "n": place, "x": shape(value)} for place, value in enumerate((one, two))]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        made = source(name, f"{name}.jsonl", time="t", select=f"SELECT t, n, {path} AS x FROM this")
        found[name] = sources.scan(made, ["n", "x"], order_by=["n"]).select(["x"])
    assert all(table == found["plain"] for table in found.values())


def test_an_offset_without_a_colon_is_one(sources: Sources, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(f"t,x\n{ZONED},2026-01-01T12:30:00.000000+0230\n")  # as Polars writes it
    found = sources.scan(source("f", "a.csv", time="t"), ["x"])["x"]
    assert found.cast(pa.int64()).to_pylist() == [TEN]


@pytest.mark.parametrize(
    ("line", "refusal", "words"),
    [
        ('{"t":"%s","x":{"id":18446744073709551615}}', TypeMismatch, "column x.id holds 18446744073709551615"),
        ('{"t":"%s","x":[-1,9223372036854775808]}', TypeMismatch, r"column x\[\] holds 9223372036854775808"),
        ('[{"t":"%s","x":1}]', Corrupt, "a.jsonl:1: no JSON object"),
        ('{"t":"%s","x":1,"x":2}', Corrupt, "a.jsonl:1: .*duplicate key"),
    ],
)
def test_lines_of_json_that_are_no_row_are_named(
    sources: Sources, tmp_path: Path, line: str, refusal: type[TidewheelError], words: str
) -> None:
    (tmp_path / "a.jsonl").write_text(line % ZONED + "\n")
    with pytest.raises(refusal, match=words):
        sources.scan(source("f", "a.jsonl", time="t"), ["x"])
