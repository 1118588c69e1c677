"""CSV and JSON lines on DuckDB: read as text, with the types that :mod:`tidewheel.text` decides.

DuckDB's own detection is quick and guesses: it drops lines before the longest stretch of equal ones, takes lines with ``#`` for
comments, a header alone for a row, ``01/02/2026`` for a day in February, naive times among others for UTC, and cuts off what is
finer than a microsecond. So it is asked for strings by the names in the header, and each is cast to what all of them are.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Sequence
from pathlib import Path

import duckdb

from tidewheel.errors import Corrupt, Invalid, TidewheelError
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
_TEXTS = ("VARCHAR", "DATE", "TIMESTAMP", "TIMESTAMP WITH TIME ZONE", "TIME", "UUID")
_LINE = re.compile(r"CSV Error on Line: (\d+)")
_FILE = re.compile(r"^\s*file = (.+)$", re.MULTILINE)
_WHY = re.compile(
    r"^(Expected Number of Columns: \d+ Found: \d+|Invalid unicode|Value with unterminated quote|.*maximum)", re.MULTILINE
)
_PLAIN = {"Invalid unicode": "not UTF-8", "Value with unterminated quote": "a quote that does not end"}
_JSON = re.compile(r'Malformed JSON in file "(.+)", at byte')


def text_reader(cursor: duckdb.DuckDBPyConnection, files: Files) -> str:
    """A query for the rows of text files, each column in its type; reads the values once to know it."""
    if files.format == "csv":
        parts = [_csv(paths, header.names, header.separator) for header, paths in grouped(files.paths).items()]
        rows = f"({' UNION ALL BY NAME '.join(parts)})"
        columns = dict.fromkeys(cursor.sql(f"SELECT * FROM {rows}").columns, "VARCHAR")
    else:
        paths = _listed([path for path in files.paths if _has_lines(path)])
        if paths == "[]":
            fix = "write a row, or name other files"
            raise Invalid(f"there are no rows in {', '.join(files.paths[:3])}", where=files.paths[0], fix=fix)
        lines = f"read_json({paths}, format = 'newline_delimited'"
        found = cursor.sql(f"SELECT * FROM {lines}, union_by_name = true, sample_size = -1)")
        columns = {name: str(kind) for name, kind in zip(found.columns, found.types, strict=True)}
        told = {name: "VARCHAR" if kind in _TEXTS else kind for name, kind in columns.items()}
        rows = f"{lines}, auto_detect = false, columns = {_struct(told)})"
        columns = told
    texts = [name for name, kind in columns.items() if kind == "VARCHAR"]
    seen = _look(cursor, rows, texts, only_times=files.format == "json")
    return f"SELECT {', '.join(_cast(name, seen.get(name)) for name in columns)} FROM {rows}"


def explained_text(error: Exception) -> TidewheelError | None:
    """What is wrong with which line of a text file; ``None`` for errors of another kind."""
    text = str(error)
    line, file, json_file = _LINE.search(text), _FILE.search(text), _JSON.search(text)
    fix = "correct the line, or remove the file from the source"
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


def _look(cursor: duckdb.DuckDBPyConnection, rows: str, names: Sequence[str], *, only_times: bool) -> dict[str, Seen]:
    """What the values of text columns are; strings of JSON may be times, and are no numbers."""
    if not names:
        return {}
    numbers = (
        "count_if(regexp_matches({0}, {boolean}))",
        "count_if(regexp_matches({0}, {whole}) AND TRY_CAST({0} AS BIGINT) IS NOT NULL)",
        "count_if(regexp_matches({0}, {whole}))",
        "count_if((regexp_matches({0}, {number}) OR regexp_matches({0}, {other})) AND TRY_CAST({0} AS DOUBLE) IS NOT NULL)",
    )
    counts = (
        "count({0})",
        *(("0",) * 4 if only_times else numbers),
        "count_if(regexp_matches({0}, {day}) AND TRY_CAST({0} AS DATE) IS NOT NULL)",
        "count_if(regexp_matches({0}, {local}) AND TRY_CAST({0} AS TIMESTAMP) IS NOT NULL)",
        "count_if(regexp_matches({0}, {zoned}) AND TRY_CAST({0} AS TIMESTAMPTZ) IS NOT NULL)",
        "count_if(regexp_matches({0}, {fine}))",
    )
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
    asked = ", ".join(count.format(_quoted(name), **literals) for name in names for count in counts)
    answer = [int(one or 0) for one in cursor.execute(f"SELECT {asked} FROM {rows}").fetchone() or ()]  # of no rows null
    width = len(counts)
    return {name: Seen(*answer[place * width : (place + 1) * width]) for place, name in enumerate(names)}


def _cast(name: str, seen: Seen | None) -> str:
    quoted = _quoted(name)
    if seen is None or seen.type == "string":
        return quoted
    made = f"CAST({quoted} AS {_SQL[seen.type]})"
    if seen.fine and seen.type in ("timestamp", "instant"):  # a cast cuts digits off: what happened is never early
        made = (
            f"{made} + CASE WHEN regexp_matches({quoted}, {_literal(FINE)}) THEN to_microseconds(1) ELSE to_microseconds(0) END"
        )
    return f"{made} AS {quoted}"


def _has_lines(path: str) -> bool:
    with gzip.open(path) if path.endswith(".gz") else Path(path).open("rb") as file:
        try:
            return any(line.strip() for line in file)
        except (EOFError, OSError):
            return True  # the engine says what is wrong


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
