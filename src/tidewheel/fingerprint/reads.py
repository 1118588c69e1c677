"""What a function read while it ran."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

ReadKind = Literal["file", "listing", "env", "state", "link", "code"]


@dataclass(frozen=True, slots=True)
class Read:
    """One thing from outside that was read, and what it was.

    Parameters
    ----------
    kind
        ``file`` for the bytes of a file, ``listing`` for the names in a directory, ``env`` for an environment variable,
        ``state`` for what was asked about a path without opening it: whether it is there, its type, its size and whether it
        may be run, ``link`` for where a link leads, ``code`` for all code of the project, after a module that could not be
        foreseen was loaded.
    name
        The path, relative to the project's root where it lies under it, or the variable's name; ``*`` for all.
    value
        Digest of what was read; ``None`` when it was not there. Never the content itself, which may be a secret.

    Examples
    --------
    >>> Read("file", "data/zones.csv", None).component
    'read:data/zones.csv'
    >>> Read("env", "TZ", None).component
    'env:TZ'
    """

    kind: ReadKind
    name: str
    value: str | None

    @property
    def component(self) -> str:
        """Name of the recipe's component that holds this read."""
        if self.kind in ("env", "code"):
            return f"{self.kind}:{self.name}"
        return f"read:{self.name}" + _SUFFIXES.get(self.kind, "")


_SUFFIXES: Mapping[ReadKind, str] = {"listing": "/", "state": "?", "link": "@"}
