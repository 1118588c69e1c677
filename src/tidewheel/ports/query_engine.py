"""Port: what scans, filters, projects and sorts tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Files:
    """Files of one format, read as one table. Columns are matched by name; one absent from a file is null there.

    ``json`` is one object per line.
    """

    format: Literal["parquet", "csv", "json"]
    paths: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class InMemory:
    """An Arrow table that is already here."""

    table: pa.Table


Relation = Files | InMemory


class QueryEngine(Protocol):
    """Runs SQL over named relations and hands back Arrow. Semantics of features are not its business."""

    @property
    def dialect(self) -> str:
        """SQLGlot's name of the engine's SQL dialect."""
        ...

    def schema(self, sql: str, relations: Mapping[str, Relation]) -> pa.Schema:
        """Columns and types that the query would give; reads no rows."""
        ...

    def stream(
        self, sql: str, relations: Mapping[str, Relation], *, order_by: Sequence[str] = (), batch_rows: int = 1_000_000
    ) -> pa.RecordBatchReader:
        """Run the query; answer batches, sorted ascending with nulls last by the named columns when any are given.

        Timestamps come as microseconds: with time zone UTC where the column has a zone, without zone where it has none.
        Spills to disk rather than outgrow its memory limit. Durations and time zones follow UTC, never the machine.
        """
        ...

    def close(self) -> None:
        """Release memory and files; idempotent."""
        ...


OWN = "__own"
"""Boolean column that the right table of a co-group has last: false for rows that belong to another stretch of their key."""


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two tables of a co-grouping.

    Parameters
    ----------
    sql, relations
        The query that gives its raw rows, in the engine's dialect.
    keys
        Its key columns after ``prepare``, in the order of the other side's and of the same types.
    time
        Column after ``prepare``, int64 microseconds and never null: on the left, the instant that a row asks about; on the
        right, the instant from which a row can be seen.
    schema
        Of what ``prepare`` gives.
    prepare
        Makes rows of some raw rows, wherever they are cut; ``None`` takes the query's columns as they are.
    reach
        On the right. A left row at ``t`` needs the rows of its key with ``t - reach <= time <= t``, and of the earlier ones
        those that ``condense`` keeps. ``None``: all rows of the key, which then cannot be split by time.
    condense
        On the right. Of rows that can all be seen, those that can matter to any later instant; at least one of any.

    Examples
    --------
    >>> import pyarrow as pa
    >>> rows = InMemory(pa.table({"uid": [1, 2], "t": [10, 20]}))
    >>> Side("SELECT * FROM spine", {"spine": rows}, keys=("uid",), time="t", schema=rows.table.schema).keys
    ('uid',)
    """

    sql: str
    relations: Mapping[str, Relation]
    keys: tuple[str, ...]
    time: str
    schema: pa.Schema
    prepare: Callable[[pa.Table], pa.Table] | None = None
    reach: int | None = None
    condense: Callable[[pa.Table], pa.Table] | None = None


@runtime_checkable
class CoGroups(Protocol):
    """Optional ability of a query engine: a function of ours over all rows of some keys, near the data.

    What does not fit in memory never has to: the engine hands over a bucket of keys at a time, and a stretch of time of a key
    that has very many rows. Functions must be importable where the engine runs them, and what they close over must pickle.
    """

    def cogroup(
        self, left: Side, right: Side, function: Callable[[pa.Table, pa.Table], pa.Table], *, schema: pa.Schema
    ) -> Relation:
        """Call the function for every bucket of keys; answer all that it gave, in no order, as a relation of this engine.

        Every left row is in exactly one call, together with every right row that it needs (see :class:`Side`). Null keys
        equal nothing; rows with one are still handed over, somewhere, once. ``OWN`` is true in exactly one call for each
        right row. A call may have no left rows, or no right ones. The answer lives until :meth:`QueryEngine.close`.

        Parameters
        ----------
        function
            Takes the left and the right rows, gives a table of ``schema``. It must be pure: an engine may call it twice.
        """
        ...
