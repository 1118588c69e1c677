"""Words of SQL that need no parser: what only answers online knows sources too, and loads none."""

from __future__ import annotations

DIALECT = "duckdb"
"""Sources are written in this dialect, whatever engine runs them."""


def quoted(name: str) -> str:
    """A name as an SQL identifier.

    Examples
    --------
    >>> print(quoted('a "b" c'))
    "a ""b"" c"
    """
    return '"' + name.replace('"', '""') + '"'
