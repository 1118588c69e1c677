"""Port: a table that keeps its own versions, such as Delta or Iceberg.

A version is a list of parts, and the rows of a part never change under its name. That is all that a snapshot needs: what two
versions share is read once, and what was appended is told from what was rewritten without comparing a row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class TablePart:
    """Rows that never change under this name: mostly one data file, less the rows that are deleted from it.

    Parameters
    ----------
    name
        Of these very rows within the table: one file with other deletions is another part.
    size_bytes
        Of the data file.
    path
        Local Parquet file that holds just these rows under the columns of the version's schema; ``None`` when there is none.
    """

    name: str
    size_bytes: int
    path: str | None = None


@dataclass(frozen=True, slots=True)
class TableVersion:
    """What the table held at one moment.

    Parameters
    ----------
    id
        What one asks for to get it again.
    """

    id: str
    schema: pa.Schema
    parts: tuple[TablePart, ...]


class TableFormat(Protocol):
    """One open table. Read only: tidewheel never writes to a source."""

    def version(self, id: str | None = None) -> TableVersion:
        """The newest version, or an earlier one.

        Raises
        ------
        NotFound
            When there is no such table, or no such version any more.
        Unavailable
            When the table cannot be reached, or not with these credentials.
        """
        ...

    def stream(self, version: TableVersion, part: TablePart) -> pa.RecordBatchReader:
        """Rows of one part, always in the same order, with the columns and types of the version's schema.

        Raises
        ------
        Conflict
            When the files of the part are gone.
        """
        ...

    def close(self) -> None:
        """Let go of connections; idempotent."""
        ...
