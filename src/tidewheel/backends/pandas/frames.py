"""Turn Arrow tables into pandas frames."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidewheel.errors import MissingExtra

if TYPE_CHECKING:
    import pandas
    import pyarrow as pa


def to_frame(table: pa.Table) -> pandas.DataFrame:
    """The table as a pandas frame.

    Columns without nulls have NumPy's types. Integers and booleans with nulls have pandas' nullable types, because as floats
    9007199254740993 would be another number.

    Raises
    ------
    MissingExtra
        When pandas is not installed.

    Examples
    --------
    >>> import pyarrow as pa
    >>> to_frame(pa.table({"n": [9007199254740993, None]}))["n"].tolist()
    [9007199254740993, <NA>]
    """
    try:
        import pandas as pd
    except ImportError as error:
        raise MissingExtra("pandas is not installed", fix="pip install 'tidewheel[pandas]'") from error
    import pyarrow as pa

    frame: pandas.DataFrame = table.to_pandas(integer_object_nulls=True)
    nullable = {pa.bool_(): pd.BooleanDtype()}
    for bits in (8, 16, 32, 64):
        nullable[getattr(pa, f"int{bits}")()] = getattr(pd, f"Int{bits}Dtype")()
        nullable[getattr(pa, f"uint{bits}")()] = getattr(pd, f"UInt{bits}Dtype")()
    for name, column in zip(table.column_names, table.columns, strict=True):
        if column.null_count and column.type in nullable:
            frame[name] = frame[name].astype(nullable[column.type])
    return frame
