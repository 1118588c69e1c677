"""CSV and JSON lines on DuckDB: read as text, with the types that :mod:`tidewheel.text` decides.

DuckDB's own detection is quick and guesses: it drops lines before the longest stretch of equal ones, takes lines with ``#`` for
comments, a header alone for a row, ``01/02/2026`` for a day in February, naive times among others for UTC, and cuts off what is
finer than a microsecond. So it is asked for strings by the names in the header, and each is cast to what all of them are.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path

import duckdb

from tidewheel.backends.duckdb.leaves import Leaf, as_text, converted, counted, find_leaves, most
from tidewheel.errors import Corrupt, Invalid, TidewheelError, TypeMismatch
from tidewheel.ports.query_engine import Files
from tidewheel.text import BOOLEAN, DAY, FINE, LOCAL, NOT_FINITE, NUMBER, WHOLE, ZONED, Seen, TextType, grouped

_SQL: dict[TextType, str] = {
    "boolean": "BOOLEAN",
    "int64": "BIGINT",
    "double": "DOUBLE",
    "date": "DATE",
    "timestamp": "TIMESTAMP",
    "instant": "TIMESTAMPTZ",
}
_NUMBERS = (
    "regexp_matches({0}, {boolean})",
    "regexp_matches({0}, {whole}) AND TRY_CAST({0} AS BIGINT) IS NOT NULL",
    "regexp_matches({0}, {whole})",
    "(regexp_matches({0}, {number}) OR regexp_matches({0}, {other})) AND TRY_CAST({0} AS DOUBLE) IS NOT NULL",
)
_TIMES = (
    "regexp_matches({0}, {day}) AND TRY_CAST({0} AS DATE) IS NOT NULL",
    "regexp_matches({0}, {local}) AND TRY_CAST({0} AS TIMESTAMP) IS NOT NULL",
    "regexp_matches({0}, {zoned}) AND TRY_CAST({0} AS TIMESTAMPTZ) IS NOT NULL",
    "regexp_matches({0}, {fine})",
)
_LINE = re.compile(r"CSV Error on Line: (\d+)")
_FILE = re.compile(r"^\s*file = (.+)$", re.MULTILINE)
_WHY = re.compile(
    r"^(Expected Number of Columns: \d+ Found: \d+|Invalid unicode|Value with unterminated quote|.*maximum)", re.MULTILINE
)
_PLAIN = {"Invalid unicode": "not UTF-8", "Value with unterminated quote": "a quote that does not end"}
_JSON = re.compile(r'Malformed JSON in file "(.+)", at byte')
_TWICE = re.compile(r'Duplicate name "+([^"]+)"+ in struct')
_RENAMED = re.compile(r"_[0-9]+$")
_ONE_WRITING = "write the key in one way in all rows: to SQL both are the same column"
_OBJECT = re.compile(r'JSON transform error in file "(.+)", in line (\d+): (.+)')


def text_reader(cursor: duckdb.DuckDBPyConnection, files: Files) -> str:
    """A query for the rows of text files, each column in its type; reads the values once to know it."""
    if files.format == "csv":
        parts = [_csv(paths, header.names, header.separator) for header, paths in grouped(files.paths).items()]
        rows = f"({' UNION ALL BY NAME '.join(parts)})"
        columns = cursor.sql(f"SELECT * FROM {rows}").columns
        seen = _look(cursor, rows, [Leaf((name,), _quoted(name), "varchar") for name in columns], only_times=False)
        return f"SELECT {', '.join(_cast(name, seen) for name in columns)} FROM {rows}"
    return _json(cursor, files.paths)


def _json(cursor: duckdb.DuckDBPyConnection, files: Sequence[str]) -> str:
    """JSON lines: strings in any depth are what all of them are, numbers and objects what the engine takes them for."""
    paths = _listed([path for path in files if _has_lines(path)])
    if paths == "[]":
        fix = "write a row, or name other files"
        raise Invalid(f"there are no rows in {', '.join(files[:3])}", where=files[0], fix=fix)
    lines = f"read_json({paths}, format = 'newline_delimited'"
    try:
        found = cursor.sql(f"SELECT * FROM {lines}, union_by_name = true, sample_size = -1)")
    except duckdb.NotImplementedException as error:
        if (twice := _TWICE.search(str(error))) is None:
            raise
        what = f"objects in {', '.join(files[:3])} have the key {twice[1]!r} and the same with other capitals"
        raise Invalid(what, where=twice[1], fix=_ONE_WRITING) from error
    _refuse_capitals(cursor, paths, found.columns)
    kinds = dict(zip(found.columns, found.types, strict=True))
    if list(kinds) == ["json"] and (wrong := _first_no_object(files)) is not None:
        fix = 'write one object, such as {"column": value}, in each line'
        raise Corrupt(f"a file cannot be read: {wrong}: no JSON object", where=wrong, fix=fix)
    told = {name: as_text(kind) for name, kind in kinds.items()}
    rows = f"{lines}, auto_detect = false, columns = {_struct(told)})"
    leaves = [leaf for name, kind in kinds.items() for leaf in find_leaves((name,), _quoted(name), kind)]
    _refuse_wide(cursor, rows, [leaf for leaf in leaves if leaf.is_wide], files=files)
    seen = _look(cursor, rows, [leaf for leaf in leaves if leaf.is_text], only_times=True)
    made = {name: converted((name,), _quoted(name), kind=kind, make=partial(_made, seen)) for name, kind in kinds.items()}
    columns = [told if told == _quoted(name) else f"{told} AS {_quoted(name)}" for name, told in made.items()]
    return f"SELECT {', '.join(columns)} FROM {rows}"


def _refuse_capitals(cursor: duckdb.DuckDBPyConnection, paths: str, columns: Sequence[str]) -> None:
    """Keys that differ only in capitals: the engine gives one of them another name, and null for its values.

    Keys are asked for only where a name can be such a one.
    """
    lower = [name.lower() for name in columns]
    if not any(_RENAMED.sub("", name) in lower for name in lower if _RENAMED.search(name)):
        return
    each = f"SELECT filename, unnest(json_keys(json)) AS key FROM read_json_objects({paths}, format = 'newline_delimited')"
    asked = f"SELECT key, min(filename) FROM ({each}) GROUP BY key ORDER BY lower(key), min(filename), key"
    found = cursor.execute(asked).fetchall()
    for (one, path), (other, place) in pairwise(found):
        if one.lower() == other.lower():
            what = f"the keys {one!r} (first in {path}) and {other!r} (first in {place}) differ only in capitals"
            raise Invalid(what, where=str(one), fix=_ONE_WRITING)


def _refuse_wide(cursor: duckdb.DuckDBPyConnection, rows: str, leaves: Sequence[Leaf], *, files: Sequence[str]) -> None:
    """A column with a negative number is taken for 128 bits wide, also where all of them fit in 64."""
    if not leaves:
        return
    asked = ", ".join(most(leaf) for leaf in leaves)
    for leaf, bounds in zip(leaves, cursor.execute(f"SELECT {asked} FROM {rows}").fetchone() or (), strict=True):
        for value in bounds or ():
            if value is not None and not -(1 << 63) <= value < 1 << 63:
                name = ".".join(leaf.path).replace(".[", "[")
                what = f"column {name} holds {value}, a whole number beyond 64 bits, in {', '.join(files[:3])}"
                raise TypeMismatch(what, where=name, fix="write such numbers as strings in the JSON")


def explained_text(error: Exception) -> TidewheelError | None:
    """What is wrong with which line of a text file; ``None`` for errors of another kind."""
    text = str(error)
    line, file, json_file = _LINE.search(text), _FILE.search(text), _JSON.search(text)
    fix = "correct the line, or remove the file from the source"
    if json_object := _OBJECT.search(text):
        where = f"{json_object[1]}:{json_object[2]}"
        return Corrupt(f"a file cannot be read: {where}: {json_object[3]}", where=where, fix=fix)
    if json_file:
        where, why = _first_wrong_line(json_file[1])
        return Corrupt(f"a file cannot be read: {where}: {why}", where=where, fix=fix)
    if file and "Error" in text:
        found = _WHY.search(text)
        why = (
            "its lines do not end alike, or a quote is out of place"
            if found is None
            else _PLAIN.get(found[1], found[1].lower())
        )
        where = f"{file[1]}:{line[1]}" if line else file[1]
        return Corrupt(f"a file cannot be read: {where}: {why}", where=where, fix=fix)
    if "GZIP stream" in text:
        return Corrupt(
            f"a file cannot be read: {text.splitlines()[0]}", fix="write the file again, or remove it from the source"
        )
    return None


def _csv(paths: Sequence[str], names: Sequence[str], separator: str) -> str:
    options = "auto_detect = false, header = true, quote = '\"', escape = '\"', strict_mode = true, comment = ''"
    columns = _struct(dict.fromkeys(names, "VARCHAR"))
    return f"SELECT * FROM read_csv({_listed(paths)}, {options}, delim = {_literal(separator)}, columns = {columns})"


def _look(
    cursor: duckdb.DuckDBPyConnection, rows: str, leaves: Sequence[Leaf], *, only_times: bool
) -> dict[tuple[str, ...], Seen]:
    """What the values of texts are; strings of JSON may be times, and are no numbers."""
    if not leaves:
        return {}
    patterns = {
        "boolean": BOOLEAN,
        "whole": WHOLE,
        "number": NUMBER,
        "other": NOT_FINITE,
        "day": DAY,
        "local": LOCAL,
        "zoned": ZONED,
        "fine": FINE,
    }
    literals = {name: _literal(pattern) for name, pattern in patterns.items()}
    tests = ("{0} IS NOT NULL", *((None,) * 4 if only_times else _NUMBERS), *_TIMES)
    asked = ", ".join(
        "0" if test is None else counted(leaf, partial(test.format, **literals)) for leaf in leaves for test in tests
    )
    answer = [int(one or 0) for one in cursor.execute(f"SELECT {asked} FROM {rows}").fetchone() or ()]  # of no rows null
    width = len(tests)
    return {leaf.path: Seen(*answer[place * width : (place + 1) * width]) for place, leaf in enumerate(leaves)}


def _cast(name: str, seen: Mapping[tuple[str, ...], Seen]) -> str:
    quoted = _quoted(name)
    made = _made(seen, (name,), quoted)
    return quoted if made == quoted else f"{made} AS {quoted}"


def _made(seen: Mapping[tuple[str, ...], Seen], path: tuple[str, ...], text: str) -> str:
    """A text as what all texts of its place are."""
    found = seen.get(path)
    if found is None or found.type == "string":
        return text
    made = f"CAST({text} AS {_SQL[found.type]})"
    if found.fine and found.type in ("timestamp", "instant"):  # a cast cuts digits off: what happened is never early
        return (
            f"{made} + CASE WHEN regexp_matches({text}, {_literal(FINE)}) THEN to_microseconds(1) ELSE to_microseconds(0) END"
        )
    return made


def _has_lines(path: str) -> bool:
    with gzip.open(path) if path.endswith(".gz") else Path(path).open("rb") as file:
        try:
            return any(line.strip() for line in file)
        except (EOFError, OSError):
            return True  # the engine says what is wrong


def _first_no_object(paths: Sequence[str]) -> str | None:
    """The first line that is no object; what is no JSON is told by the engine."""
    for path in paths:
        with gzip.open(path) if path.endswith(".gz") else Path(path).open("rb") as file:
            for number, line in enumerate(file, 1):
                if line.strip() and not line.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"{"):
                    return f"{path}:{number}"
    return None


def _first_wrong_line(path: str) -> tuple[str, str]:
    """Where JSON lines cease to be JSON; the engine counts bytes of what it happens to hold."""
    with gzip.open(path) if path.endswith(".gz") else Path(path).open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                if line.strip():
                    json.loads(line.decode("utf-8-sig" if number == 1 else "utf-8"))
            except UnicodeDecodeError:
                return f"{path}:{number}", "not UTF-8"
            except ValueError as error:
                return f"{path}:{number}", f"not JSON: {error}"
    return path, "not JSON"


def _struct(columns: dict[str, str]) -> str:
    return "{" + ", ".join(f"{_literal(name)}: {_literal(kind)}" for name, kind in columns.items()) + "}"


def _listed(paths: Sequence[str]) -> str:
    return f"[{', '.join(_literal(path) for path in paths)}]"


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
