"""Compare the files of a source: what each holds is read once and remembered by its content.

Of Parquet the footer is read. Of text files the header and the first rows say what values are; a key that is not among them is
searched for in the bytes, and so are long numbers where a column is one of doubles.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import IO

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as arrow_csv
import pyarrow.parquet as pq

from tidewheel.digest import digest
from tidewheel.ports.query_engine import Files
from tidewheel.sources.agreement import (
    OF_TEXT,
    FileColumns,
    Kind,
    Lost,
    disagreements,
    kinds_of_schema,
    loses_digits,
)
from tidewheel.sources.definition import Source
from tidewheel.sources.snapshot import Snapshot
from tidewheel.text import NUMBER, Header, read_header, type_of_texts

_FIRST = 1_000
"""Rows of a text file whose values are looked at."""
_EXACT = 1 << 53
_LONG = re.compile(rb"[0-9][0-9.]{15,}")
_LONG_TEXT = r"^\s*[+-]?[0-9.]{16,}\s*$"

Recall = Callable[[str], bytes | None]
Remember = Callable[[str, bytes], None]


def compare_files(
    source: Source, snapshot: Snapshot, files: Files, *, united: pa.Schema, recall: Recall, remember: Remember
) -> tuple[str, ...]:
    """What is to be told of the files of a snapshot, as :func:`tidewheel.sources.agreement.disagreements` puts it.

    Parameters
    ----------
    files
        Where the files of the snapshot lie, in its order.
    united
        Columns of all of them as one table.
    """
    kinds = kinds_of_schema(united)
    key = f"agree:2:{digest([source.name, [[file.path, file.digest] for file in snapshot.files], sorted(kinds.items())])}"
    known = recall(key)
    if known is not None:
        return msgspec.json.decode(known, type=tuple[str, ...])
    held = {}
    for file, path in zip(snapshot.files, files.paths, strict=True):
        one = f"columns:2:{files.format}:{file.digest}"
        found = recall(one)
        if found is None:
            found = msgspec.json.encode(_columns(files.format, path))
            remember(one, found)
        held[file.path] = msgspec.json.decode(found, type=FileColumns)
    places = {file.path: path for file, path in zip(snapshot.files, files.paths, strict=True)}
    rounded = {"numbers", "text"} if files.format == "json" else {"numbers"}  # texts of CSV are as they are written
    for name, columns in held.items():
        lost = {column: some for column, some in columns.lost.items() if kinds.get(column) in rounded}
        held[name] = msgspec.structs.replace(columns, lost=lost)
    if files.format == "json":
        held = _with_rare_keys(held, places)
    told = disagreements(source.name, {path: one for path, one in held.items() if one.kinds}, kinds)
    remember(key, msgspec.json.encode(told))
    return told


def _columns(format: str, path: str) -> FileColumns:
    if format == "parquet":
        return _of_parquet(path)
    if format == "json":
        return _of_json(path)
    header = read_header(path)
    return FileColumns({}) if header is None else _of_csv(path, header)


def _of_parquet(path: str) -> FileColumns:
    with pq.ParquetFile(path) as file:
        groups = [file.metadata.row_group(group) for group in range(file.metadata.num_row_groups)]
        chunks = [group.column(place) for group in groups for place in range(group.num_columns)]
        beyond = {chunk.path_in_schema for chunk in chunks if _goes_beyond(chunk)}
        return FileColumns(kinds_of_schema(file.schema_arrow), tuple(sorted(beyond)))


def _goes_beyond(chunk: pq.ColumnChunkMetaData) -> bool:
    """Whether a part of a column has whole numbers that no double holds, as far as its statistics tell."""
    held = chunk.statistics
    if held is None or not held.has_min_max or held.physical_type != "INT64" or held.logical_type.type != "NONE":
        return False
    return bool(held.min_raw < -_EXACT or held.max_raw > _EXACT)


def _of_csv(path: str, header: Header) -> FileColumns:
    with _opened(path) as file:
        rows = csv.reader(io.TextIOWrapper(file, "utf-8-sig", newline=""), delimiter=header.separator)
        try:
            next(rows, None)
            first = [row for row in islice(rows, _FIRST) if len(row) == len(header.names)]
        except (csv.Error, UnicodeDecodeError):  # said by who reads the rows, if it is wrong
            first = []
    values = {name: [row[place] for row in first if row[place]] for place, name in enumerate(header.names)}
    kinds: dict[str, Kind] = {name: OF_TEXT[type_of_texts(found)] if found else "" for name, found in values.items()}
    return FileColumns(kinds, lost=_lost_of_csv(path, header))


def _lost_of_csv(path: str, header: Header) -> dict[str, Lost]:
    """Numbers that a double does not keep: those that a double is not written as, which are few, are looked at one by one."""
    found: dict[str, Lost] = {}
    texts = arrow_csv.ConvertOptions(column_types=dict.fromkeys(header.names, pa.string()))
    parse = arrow_csv.ParseOptions(delimiter=header.separator, newlines_in_values=True)
    read = arrow_csv.ReadOptions(column_names=list(header.names), skip_rows=1)
    try:
        with arrow_csv.open_csv(path, read_options=read, parse_options=parse, convert_options=texts) as batches:
            for batch in batches:
                for name, column in zip(header.names, batch.columns, strict=True):
                    _add(found, name, _unlike_a_double(column))
    except pa.ArrowInvalid:  # said by who reads the rows
        pass
    return found


def _unlike_a_double(column: pa.Array) -> list[str]:
    long = column.filter(pc.match_substring_regex(column, _LONG_TEXT))
    if not len(long):
        return []
    trimmed = pc.utf8_ltrim(pc.utf8_trim_whitespace(long), "+")
    trimmed = trimmed.filter(pc.match_substring_regex(trimmed, NUMBER))
    written = pc.cast(pc.cast(trimmed, pa.float64()), pa.string())
    return list(trimmed.filter(pc.not_equal(trimmed, written)).to_pylist())


def _add(found: dict[str, Lost], column: str, texts: Sequence[str]) -> None:
    for text in texts:
        if loses_digits(text):
            known = found.get(column)
            found[column] = Lost(1, text) if known is None else Lost(known.values + 1, known.example)


def _of_json(path: str) -> FileColumns:
    kinds: dict[str, set[Kind]] = {}
    texts: dict[str, list[str]] = {}
    with _opened(path) as file:
        for line in islice(file, _FIRST):
            for column, value in _leaves(_parsed(line)):
                found = kinds.setdefault(column, set())
                if isinstance(value, str):
                    texts.setdefault(column, []).append(value)
                elif value is not None:
                    found.add(_kind_of_json(value))
    for column, values in texts.items():
        told = OF_TEXT[type_of_texts(values)]
        kinds[column].add(told if told in ("days", "times", "times with a zone") else "text")
    return FileColumns({column: _one(found) for column, found in kinds.items()}, lost=_lost_of_json(path))


class _Number(msgspec.Struct):
    """A number of JSON as it is written."""

    text: str


def _parsed(line: bytes) -> object:
    try:
        return json.loads(line.decode("utf-8-sig"), parse_float=_Number, parse_int=_Number)
    except ValueError:  # said by who reads the rows
        return None


def _leaves(value: object, path: str = "") -> Iterator[tuple[str, object]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _leaves(inner, f"{path}.{name}" if path else str(name))
    elif path:
        yield path, value


def _kind_of_json(value: object) -> Kind:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, _Number):
        return "numbers" if any(mark in value.text for mark in ".eE") else "whole numbers"
    return "others"


def _one(kinds: set[Kind]) -> Kind:
    """The kind that all values are; of several that are no numbers text, as an engine reads them."""
    if len(kinds) > 1:
        return "numbers" if kinds == {"numbers", "whole numbers"} else "text"
    return next(iter(kinds), "")


def _with_rare_keys(held: Mapping[str, FileColumns], places: Mapping[str, str]) -> dict[str, FileColumns]:
    """The files with keys that none of their first rows has: sought in the bytes, since rows may leave keys out."""
    everywhere = dict.fromkeys(column for one in held.values() for column in one.kinds)
    found = {}
    for path, one in held.items():
        absent = [column for column in everywhere if column not in one.kinds] if one.kinds else []
        seen = _sought(places[path], absent) if absent else set()
        kinds: dict[str, Kind] = one.kinds | dict.fromkeys((column for column in absent if column in seen), "")
        found[path] = msgspec.structs.replace(one, kinds=kinds)
    return found


def _sought(path: str, columns: Sequence[str]) -> set[str]:
    wanted = {column: json.dumps(column.rpartition(".")[2], ensure_ascii=False).encode() for column in columns}
    seen: set[str] = set()
    with _opened(path) as file:
        for line in islice(file, _FIRST, None):
            seen.update(column for column, key in wanted.items() if key in line)
            if len(seen) == len(wanted):
                break
    return seen


def _lost_of_json(path: str) -> dict[str, Lost]:
    """Numbers that a double does not keep; a line with none that looks like one is not parsed."""
    found: dict[str, Lost] = {}
    with _opened(path) as file:
        for line in file:
            if any(loses_digits(text.decode()) for text in _LONG.findall(line)):
                for column, value in _leaves(_parsed(line)):
                    if isinstance(value, _Number):
                        _add(found, column, [value.text])
    return found


def _opened(path: str) -> IO[bytes]:
    return gzip.open(path) if path.endswith(".gz") else Path(path).open("rb")  # type: ignore[return-value]
