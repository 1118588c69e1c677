"""Columns, features and outputs of a node that are not what they were. Values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Happening = Literal["added", "removed", "retyped", "changed"]


@dataclass(frozen=True, slots=True)
class Measured:
    """How far old and new values of one column are apart, in the same rows of a sample.

    Parameters
    ----------
    rows
        Of the sample.
    changed
        Rows in which the value is another one; a null that stays one is none.
    share
        Of the rows.
    psi
        Population stability index of the two; ``None`` without a value on one of the sides.
    nulls_before, nulls_after
        Rows without a value.
    """

    rows: int
    changed: int
    share: float
    psi: float | None
    nulls_before: int
    nulls_after: int


@dataclass(frozen=True, slots=True)
class ColumnChange:
    """One column that is not what it was.

    ``changed`` says that what decides its values differs; only ``measured``, where there is one, says whether they do.
    """

    name: str
    what: Happening
    measured: Measured | None = None
