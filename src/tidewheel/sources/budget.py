"""How much memory work on tables may take, and where what does not fit goes meanwhile."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from tidewheel.errors import Invalid

_UNITS = {
    "": 1,
    "K": 1000,
    "M": 1000**2,
    "G": 1000**3,
    "T": 1000**4,
    "KI": 1 << 10,
    "MI": 1 << 20,
    "GI": 1 << 30,
    "TI": 1 << 40,
}


@dataclass(frozen=True, slots=True)
class Budget:
    """How many bytes of tables may be held at once, and the folder for what is more than that.

    It is an aim, met by estimates from numbers of rows and widths of columns: what is asked of one key at one time cannot be
    divided.

    Examples
    --------
    >>> Budget(parse_size("1.5GB"), Path("spill")).size_bytes
    1500000000
    """

    size_bytes: int
    folder: Path


def parse_size(text: str, *, where: str = "memory_limit") -> int:
    """Bytes that a text such as ``"4GB"`` (powers of 1000) or ``"512MiB"`` (powers of 1024) means.

    Raises
    ------
    Invalid
        When it is no size above zero.

    Examples
    --------
    >>> parse_size("4GB"), parse_size("1.5 KiB")
    (4000000000, 1536)
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(?:([KMGT]I?)B|B)\s*", text, re.IGNORECASE)
    size = 0 if found is None else int(float(found[1]) * _UNITS[(found[2] or "").upper()])
    if size <= 0:
        raise Invalid(
            f"{text!r} is no size of memory", where=where, fix='give a number with its unit, such as "4GB" or "512MiB"'
        )
    return size
