"""Changes of a table as a source: what a change-data feed says of each row before and after."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tidewheel.errors import Invalid


@dataclass(frozen=True, slots=True)
class Changes:
    """How a source's rows say what changed. Made by :func:`changes`.

    Parameters
    ----------
    op
        Column with the kind of the change.
    before, after
        Columns with the row's images; without them a row is its own image.
    writes, deletes
        What ``op`` says of a row that there now is, and of one that is gone. Rows that say something else are no changes.
    """

    op: str
    before: str | None = None
    after: str | None = None
    writes: tuple[str, ...] = ("c", "u", "r")
    deletes: tuple[str, ...] = ("d",)

    @property
    def parameters(self) -> list[object]:
        """What is part of a recipe, as plain values."""
        return [self.op, self.before, self.after, list(self.writes), list(self.deletes)]


def changes(
    op: str,
    *,
    before: str | None = None,
    after: str | None = None,
    writes: Sequence[str] = ("c", "u", "r"),
    deletes: Sequence[str] = ("d",),
) -> Changes:
    """Declare a change-data feed: Debezium's shape with its images as structs, or one row per change.

    The source's ``event_id`` names the column that identifies a row of the table, and ``created`` what orders its changes.
    A look-up sees the images as they were known at its time. A window folds each row as it is by now: a correction corrects, a
    deletion takes the row out.

    Parameters
    ----------
    op
        Column with the kind of the change. Where a ``select`` picks columns it must be among them.
    before, after
        Struct columns with the row's images, whose fields become columns of the source. Without them the columns are there
        already, and a deletion carries those of the row that is gone.

    Examples
    --------
    >>> changes("op", before="before", after="after").deletes
    ('d',)
    """
    if (before is None) != (after is None):
        raise Invalid(
            "changes have one image of two", where=op, fix='name both: tw.changes("op", before="before", after="after")'
        )
    if set(writes) & set(deletes) or not writes:
        raise Invalid(
            "changes cannot tell writes from deletes", where=op, fix='give two lists: writes=["c", "u"], deletes=["d"]'
        )
    return Changes(op, before, after, tuple(writes), tuple(deletes))
