"""Port: what scans, filters, projects and sorts tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Files:
    """Files of one format, read as one table. Columns are matched by name; one absent from a file is null there."""

    format: Literal["parquet", "csv"]
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
