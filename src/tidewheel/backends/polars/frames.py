"""Turn Arrow tables into Polars frames."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidewheel.errors import MissingExtra

if TYPE_CHECKING:
    import polars
    import pyarrow as pa


def to_frame(table: pa.Table) -> polars.DataFrame:
    """The table as a Polars frame.

    Raises
    ------
    MissingExtra
        When Polars is not installed.

    Examples
    --------
    >>> import pyarrow as pa
    >>> to_frame(pa.table({"n": [1, None]}))["n"].to_list()
    [1, None]
    """
    try:
        import polars as pl
    except ImportError as error:
        raise MissingExtra("Polars is not installed", fix="pip install 'tidewheel[polars]'") from error
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    return frame
