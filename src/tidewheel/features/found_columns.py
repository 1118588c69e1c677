"""Look-ups of many questions as Arrow columns, from the rows that were found for them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from tidewheel.features.row_arrays import ArrayDecoder
from tidewheel.features.rows import RowCodec


class FoundColumns:
    """Columns of some of a row's values.

    Parameters
    ----------
    looks
        Of every column its place in the row, and what stands for null.
    ttl
        Microseconds for which a row stays good; ``None``: for ever.

    Examples
    --------
    >>> from tidewheel.schema import DataType, Field, Schema
    >>> codec = RowCodec(Schema((Field("zone", DataType.STRING), Field("trips", DataType.INT64))))
    >>> columns = FoundColumns(codec, [(1, 0), (0, None)], ttl=10)
    >>> [one.to_pylist() for one in columns.decode([codec.encode(5, 0, ("Harlem", 3)), None], [6, 6])]
    [[3, 0], ['Harlem', None]]
    """

    def __init__(self, codec: RowCodec, looks: Sequence[tuple[int, object]], *, ttl: int | None) -> None:
        places = list(dict.fromkeys(place for place, _ in looks))
        fields = [codec.schema.fields[place] for place in places]
        self._decoder = ArrayDecoder(codec, [one.name for one in fields])
        kinds = {place: one.type.arrow() for place, one in zip(places, fields, strict=True)}
        self._looks = [
            (places.index(place), None if default is None else pa.array([default], kinds[place])[0]) for place, default in looks
        ]
        self._ttl = ttl

    def decode(self, found: Sequence[bytes | None], times: Sequence[int]) -> list[pa.Array]:
        """One column per look-up, one value per row found; null, or what stands for it, where there is none or it is too old.

        Raises
        ------
        Corrupt
            When a row is of another layout or another schema.
        """
        there = np.array([row is not None for row in found], dtype=np.bool_)
        ts, table = self._decoder.decode([row for row in found if row is not None])
        good = there.copy()
        if self._ttl is not None:
            good[there] = np.array(times, dtype=np.int64)[there] - ts <= self._ttl
        columns = [column.combine_chunks() for column in table.columns]
        if not good.all():
            rows = pa.array(np.cumsum(there) - 1, mask=~good)
            columns = [column.take(rows) for column in columns]
        return [columns[number] if default is None else columns[number].fill_null(default) for number, default in self._looks]
