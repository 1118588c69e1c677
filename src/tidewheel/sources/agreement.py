"""Whether the files of one source agree: what each holds, and what is told where they do not.

Files are read as one table by the names of their columns. That is quiet about a column that a newer file names otherwise (null
there), about one that holds numbers in one file and words in another (text in all), and about digits that no double keeps.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Literal

import msgspec
import pyarrow as pa

from tidewheel.text import TextType

Kind = Literal[
    "", "text", "boolean", "whole numbers", "numbers", "decimals", "days", "times", "times with a zone", "bytes", "others"
]
"""What the values of a column are; empty where it has none."""

OF_TEXT: Mapping[TextType, Kind] = {
    "boolean": "boolean",
    "int64": "whole numbers",
    "double": "numbers",
    "date": "days",
    "timestamp": "times",
    "instant": "times with a zone",
    "string": "text",
}
_SHOWN = 10


class Lost(msgspec.Struct, frozen=True):
    """Numbers of a column that have more digits than a double keeps: how many, and one of them as it is written."""

    values: int
    example: str


class FileColumns(msgspec.Struct, frozen=True):
    """What one file holds.

    Parameters
    ----------
    kinds
        Of each column, in any depth of objects: ``item.price``.
    beyond
        Columns with whole numbers that no double holds.
    lost
        Columns with numbers whose digits a double does not keep.
    """

    kinds: dict[str, Kind]
    beyond: tuple[str, ...] = ()
    lost: dict[str, Lost] = {}


def loses_digits(text: str) -> bool:
    """Whether a number, as it is written, is another one once it is a double.

    What a program writes of a double, be it with too many digits, is that double again.

    Examples
    --------
    >>> loses_digits("12345678901234567.89"), loses_digits("0.30000000000000004"), loses_digits("0.10000000000000000555")
    (True, False, False)
    """
    try:
        double = float(text)
        if repr(double) == text:
            return False
        exact = Decimal(text)
        if not exact.is_finite() or double in (float("inf"), float("-inf")):
            return False
        exponent = exact.as_tuple().exponent
        places = max(0, -exponent) if isinstance(exponent, int) else 0
        return Decimal(f"{double:.{places}f}") != exact and "e" not in text.lower()
    except (ArithmeticError, ValueError):
        return False


def kind_of_arrow(type_: pa.DataType) -> Kind:
    """What the values of an Arrow column are.

    Examples
    --------
    >>> kind_of_arrow(pa.dictionary(pa.int32(), pa.string())), kind_of_arrow(pa.int8())
    ('text', 'whole numbers')
    """
    kind = type_.value_type if pa.types.is_dictionary(type_) else type_
    simple = pa.types
    if simple.is_timestamp(kind):
        return "times" if kind.tz is None else "times with a zone"
    told: tuple[tuple[Kind, bool], ...] = (
        ("", simple.is_null(kind)),
        ("text", simple.is_string(kind) or simple.is_large_string(kind) or simple.is_string_view(kind)),
        ("boolean", simple.is_boolean(kind)),
        ("whole numbers", simple.is_integer(kind)),
        ("numbers", simple.is_floating(kind)),
        ("decimals", simple.is_decimal(kind)),
        ("days", simple.is_date(kind)),
        ("bytes", simple.is_binary(kind) or simple.is_large_binary(kind) or simple.is_binary_view(kind)),
    )
    return next((name for name, holds in told if holds), "others")


def kinds_of_schema(schema: pa.Schema) -> dict[str, Kind]:
    """Of each column, the fields of structs by their paths.

    Examples
    --------
    >>> kinds_of_schema(pa.schema([("zone", pa.int64()), ("item", pa.struct([("price", pa.float64())]))]))
    {'zone': 'whole numbers', 'item.price': 'numbers'}
    """

    def inside(path: str, kind: pa.DataType) -> Iterator[tuple[str, Kind]]:
        if pa.types.is_struct(kind):
            for place in range(kind.num_fields):
                yield from inside(f"{path}.{kind.field(place).name}", kind.field(place).type)
        else:
            yield path, kind_of_arrow(kind)

    return dict(one for field in schema for one in inside(field.name, field.type))


def disagreements(name: str, files: Mapping[str, FileColumns], united: Mapping[str, Kind]) -> tuple[str, ...]:
    """What is to be told of the files of a source, one sentence for each column.

    Parameters
    ----------
    name
        Of the source.
    files
        What each holds, by the path that a person knows it by.
    united
        What the columns are, all files taken as one table.

    Examples
    --------
    >>> old, new = FileColumns({"fare": "numbers"}), FileColumns({"fares": "numbers"})
    >>> print(*disagreements("trips", {"a": old, "b": new}, {"fare": "numbers", "fares": "numbers"}), sep="\\n")
    source trips: column fare is missing in 1 of 2 files, first b, and null there; is it fares there, which is only in b?
    """
    found = [*_missing(files), *_mixed(files, united), *_lost(files, united)]
    told = [f"source {name}: {one}" for one in found[:_SHOWN]]
    if len(found) > _SHOWN:
        told.append(f"source {name}: {len(found) - _SHOWN} more columns on which the files do not agree")
    return tuple(told)


def _missing(files: Mapping[str, FileColumns]) -> Iterator[str]:
    """A column that some files lack; of two names of one column, one sentence."""
    shown: dict[str, str] = {}
    has: dict[str, list[str]] = {}
    for path, held in files.items():
        for column in held.kinds:
            shown.setdefault(column.lower(), column)
            has.setdefault(column.lower(), []).append(path)
    partial = [column for column, paths in has.items() if len(paths) < len(files)]
    told: set[str] = set()
    for column in partial:
        if column in told:
            continue
        without = [path for path in files if path not in has[column]]
        fills = {other for other in partial if other != column and has[other] == without}
        close = difflib.get_close_matches(column, sorted(fills), n=1)
        other = next(iter(close or (fills if len(fills) == 1 else ())), None)
        text = f"column {shown[column]} is missing in {_count(without, files)}, and null there"
        if other is not None:
            told.add(other)
            only = without[0] if len(without) == 1 else f"those {len(without)} files"
            text += f"; is it {shown[other]} there, which is only in {only}?"
        yield text


def _mixed(files: Mapping[str, FileColumns], united: Mapping[str, Kind]) -> Iterator[str]:
    """A column that is text because some files hold text, and one of doubles that cannot hold what some files hold."""
    for column, kind in united.items():
        held = {path: _of(one.kinds, column) for path, one in files.items()}
        if kind == "text":
            others = {path: own for path, own in held.items() if own not in ("", "text")}
            for own in dict.fromkeys(others.values()):
                paths = [path for path, one in others.items() if one == own]
                text = next((path for path, one in held.items() if one != own and one != ""), None)
                if text is not None:
                    what = (
                        f"column {column} is read as text: it holds {own} in {_count(paths, files)}, and {held[text]} in {text}"
                    )
                    yield f"{what}; write it alike in all, or cast it in select"
                    break
        elif kind == "numbers":
            paths = [path for path, one in files.items() if column.lower() in (name.lower() for name in one.beyond)]
            exact = [path for path, own in held.items() if own == "decimals"]
            if exact:
                what = f"column {column} is read as doubles, which keep 15 digits of the decimals in {_count(exact, files)}"
                yield f"{what}; write it as decimals in all files"
            if paths:
                what = f"column {column} is read as doubles, which do not hold the whole numbers beyond 2^53"
                yield f"{what} in {_count(paths, files)}; write it as whole numbers in all files, or as text"


def _lost(files: Mapping[str, FileColumns], united: Mapping[str, Kind]) -> Iterator[str]:
    for column in united:
        found = {path: one.lost[column] for path, one in files.items() if column in one.lost}
        if found:
            first = next(iter(found))
            count = sum(one.values for one in found.values())
            what = f"{count} values of column {column} have more digits than a double keeps, such as {found[first].example}"
            yield f"{what} in {first}: the rest is rounded off; keep them as decimals in Parquet, or as strings in JSON"


def _of(kinds: Mapping[str, Kind], column: str) -> Kind:
    return next((kind for name, kind in kinds.items() if name.lower() == column.lower()), "")


def _count(paths: Sequence[str], files: Mapping[str, FileColumns]) -> str:
    return f"{len(paths)} of {len(files)} files, first {paths[0]}"
