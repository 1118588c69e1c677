"""Columns of text files: what a header says, and the one type that all of a column's values fit. Engines count, this decides.

A value that only looks like a number or a time is text: ``007`` (a code), ``12345678901234567890`` (an id that no 64 bits
hold), ``01/02/2026`` (a day in January or in February), times of which some have a zone and some have none.
"""

from __future__ import annotations

import csv
import gzip
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tidewheel.errors import Corrupt, Invalid

TextType = Literal["boolean", "int64", "double", "date", "timestamp", "instant", "string"]
"""``timestamp`` has no zone, ``instant`` has one."""

BOOLEAN = r"^(true|false|TRUE|FALSE|True|False)$"
WHOLE = r"^\s*[+-]?(0|[1-9][0-9]*)\s*$"
NUMBER = r"^\s*[+-]?((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?\s*$"
NOT_FINITE = r"^\s*([nN][aA][nN]|[+-]?([iI]nf|INF|[iI]nfinity|INFINITY))\s*$"
_DAY = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
_CLOCK = r"[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]+)?)?"
DAY = rf"^\s*{_DAY}\s*$"
LOCAL = rf"^\s*{_DAY}{_CLOCK}\s*$"
ZONED = rf"^\s*{_DAY}{_CLOCK} ?(Z|UTC|[+-][0-9]{{2}}(:?[0-9]{{2}})?)\s*$"
FINE = r"\.[0-9]{6}[0-9]*[1-9]"
"""Digits of a time behind its microseconds that are not all zero."""

_SEPARATORS = ",;\t|"


@dataclass(frozen=True, slots=True)
class Seen:
    """How many values of a column there are, and how many of them are what; a value counts only if the engine can make it that.

    Examples
    --------
    >>> Seen(values=2, wholes=1, numbers=2).type
    'double'
    >>> Seen(values=2, zoned=1, local=1).type
    'string'
    """

    values: int = 0
    booleans: int = 0
    wholes: int = 0
    digits: int = 0
    numbers: int = 0
    days: int = 0
    local: int = 0
    zoned: int = 0
    fine: int = 0

    @property
    def type(self) -> TextType:
        """The type that all values fit; of a column without values ``string``."""
        if not self.values:
            return "string"
        told: tuple[tuple[TextType, int], ...] = (
            ("boolean", self.booleans),
            ("int64", self.wholes),
            ("double", 0 if self.digits == self.values else self.numbers),  # whole, but too long for 64 bits
            ("date", self.days),
            ("timestamp", self.days + self.local),
            ("instant", self.zoned),
        )
        return next((kind for kind, count in told if count == self.values), "string")


def type_of_texts(values: Sequence[str]) -> TextType:
    """The type that some values fit: the same rules as an engine's, for the few values that are looked at without one.

    Examples
    --------
    >>> type_of_texts(["1", "2.5"]), type_of_texts(["007"]), type_of_texts(["2026-01-01T10:00Z"])
    ('double', 'string', 'instant')
    """
    seen = Seen(
        values=len(values),
        booleans=_matching(BOOLEAN, values),
        wholes=sum(-(1 << 63) <= int(one) < 1 << 63 for one in values if re.search(WHOLE, one)),
        digits=_matching(WHOLE, values),
        numbers=_matching(NUMBER, values) + _matching(NOT_FINITE, values),
        days=_matching(DAY, values),
        local=_matching(LOCAL, values),
        zoned=_matching(ZONED, values),
    )
    return seen.type


def _matching(pattern: str, values: Sequence[str]) -> int:
    return sum(re.search(pattern, one) is not None for one in values)


@dataclass(frozen=True, slots=True)
class Header:
    """Columns of a CSV file, and what separates them."""

    names: tuple[str, ...]
    separator: str


def parse_header(line: str, path: str) -> Header:
    """The first line of a CSV file: names, and as the separator the one of ``, ; tab |`` that stands in it most often.

    Raises
    ------
    Invalid
        When two columns have one name; capitals make no difference, since they make none in SQL.

    Examples
    --------
    >>> parse_header('\\ufeffended;"zone; name"', "a.csv")
    Header(names=('ended', 'zone; name'), separator=';')
    """
    line = line.removeprefix("\ufeff").rstrip("\r\n")
    outside = "".join(line.split('"')[::2])
    separator = max(_SEPARATORS, key=lambda mark: (outside.count(mark), -_SEPARATORS.index(mark)))
    names = next(csv.reader([line], delimiter=separator, strict=True), [])
    names = [name or f"column{place}" for place, name in enumerate(names)]
    known = [name.lower() for name in names]
    twice = next((name for name in names if known.count(name.lower()) > 1), None)
    if twice is not None:
        raise Invalid(f"{path} has two columns {twice!r}", where=f"{path}:1", fix="give each column a name of its own")
    return Header(tuple(names), separator)


def read_header(path: str) -> Header | None:
    """The header of a CSV file, packed or not; ``None`` for a file of no bytes.

    Raises
    ------
    Corrupt
        When the file is not UTF-8, or not packed as its name says.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp(), "a.csv")
    >>> _ = path.write_text("ended,zone\\n")
    >>> read_header(str(path))
    Header(names=('ended', 'zone'), separator=',')
    """
    try:
        with gzip.open(path) if path.endswith(".gz") else Path(path).open("rb") as file:
            line = file.readline()
            while line.count(b'"') % 2 and (more := file.readline()):  # a name may hold a line break
                line += more
            text = line.replace(b"\r\n", b"\n").partition(b"\r")[0].decode()
        return parse_header(text, path) if line else None
    except UnicodeDecodeError as error:
        fix = "save the file as UTF-8"
        raise Corrupt(f"a file cannot be read: {path}:1 is not UTF-8", where=f"{path}:1", fix=fix) from error
    except (csv.Error, EOFError, OSError) as error:
        fix = "write the file again, or remove it from the source"
        raise Corrupt(f"a file cannot be read: {path}: {error}", where=path, fix=fix) from error


def grouped(paths: Sequence[str]) -> dict[Header, list[str]]:
    """CSV files by their headers, in order; files of no bytes are in none.

    Raises
    ------
    Invalid
        When no file has a header.

    Examples
    --------
    >>> grouped([])
    Traceback (most recent call last):
    tidewheel.errors.Invalid: there is no header in no files. Fix: start the files with the names of their columns
    """
    found: dict[Header, list[str]] = {}
    for path in paths:
        header = read_header(path)
        if header is not None:
            found.setdefault(header, []).append(path)
    if not found:
        what = f"there is no header in {', '.join(paths[:3]) or 'no files'}"
        raise Invalid(what, where=paths[0] if paths else None, fix="start the files with the names of their columns")
    return found
