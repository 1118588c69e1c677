"""Index the vectors of a look-up, and search them as of an instant. What is kept is a cache of the rows and never the truth.

A row answers for its key from one instant to another. The index holds each such stretch with its vector, as the history of the
view tells it, so ties, availability, ttl and tombstones are those of every other answer. A search lets the index propose, drops
what does not stand at the instant, and computes the distances of the rest as the exact search does.
"""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tidewheel.digest import digest
from tidewheel.errors import Corrupt
from tidewheel.features.intervals import FOREVER
from tidewheel.features.vectors import distances_to
from tidewheel.ports.vector_index import IndexOpener, Metric, VectorIndex

if TYPE_CHECKING:
    import numpy.typing as npt

    Integers = npt.NDArray[np.int64]
    Doubles = npt.NDArray[np.float64]

VERSION = 1
_SINCE, _UNTIL, _VECTOR = "__since", "__until", "__vector"
_LEAST = 64
_MORE = 4


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which vectors, and how they are kept.

    Parameters
    ----------
    series
        Digest of the look-up and its source's definition.
    content
        Digest of the source's rows.
    """

    technology: str
    metric: Metric
    width: int
    series: str
    content: str

    @property
    def place(self) -> Path:
        """Folder of the cache, below that of all of them."""
        return Path(str(digest([VERSION, self.technology, self.metric, self.width, self.series]))[:24]) / self.content[:24]


@dataclass(frozen=True, slots=True)
class Stretches:
    """Vectors, and from when to when each of them answers for its key.

    Parameters
    ----------
    table
        The key columns, in order of the keys and of time.
    vectors
        One per row, of the width asked for and finite.
    since, until
        ``since <= t < until``.
    odd
        Pairs of the same of what cannot be compared: of another width, with a null in it, not finite.
    """

    table: pa.Table
    vectors: npt.NDArray[np.generic]
    since: Integers
    until: Integers
    odd: Integers


@dataclass(slots=True)
class VectorIndexes:
    """Indexes of one workspace.

    Parameters
    ----------
    folder
        Where they are kept.
    opener
        The index of a technology.
    """

    folder: Path
    opener: Callable[[str], IndexOpener]
    _held: dict[Path, tuple[Stretches, VectorIndex]] = field(default_factory=dict, repr=False)

    def search(
        self, wanted: Wanted, history: Callable[[], pa.Table], query: Doubles, *, k: int, at: int
    ) -> tuple[pa.Table, Doubles] | None:
        """Keys of about the nearest vectors at an instant, and their distances; ``None`` when only a look at all rows will do.

        Parameters
        ----------
        history
            The key columns, ``at`` and the vector, by key and by instant: what changed when. Asked for where nothing is kept.
        """
        stretches, index = self._open(wanted, history)
        if ((stretches.odd[:, 0] <= at) & (at < stretches.odd[:, 1])).any():
            return None
        count, total = max(_MORE * k, _LEAST), len(stretches.since)
        while True:
            everything = count >= total
            places = np.arange(total) if everything else index.search(query.astype(np.float32), count)
            places = np.sort(places[(stretches.since[places] <= at) & (at < stretches.until[places])])
            if everything or len(places) >= k:
                break
            count *= _MORE
        distances = distances_to(stretches.vectors[places], query, wanted.metric)
        order = np.argsort(distances, kind="stable")[:k]
        return stretches.table.take(pa.array(places[order])), distances[order]

    def _open(self, wanted: Wanted, history: Callable[[], pa.Table]) -> tuple[Stretches, VectorIndex]:
        found = self._held.get(wanted.place)
        if found is None:
            found = self._load(wanted) or self._build(wanted, history())
            for other in [place for place in self._held if place.parent == wanted.place.parent]:
                del self._held[other]
            self._held[wanted.place] = found
        return found

    def _load(self, wanted: Wanted) -> tuple[Stretches, VectorIndex] | None:
        place = self.folder / wanted.place
        index = self.opener(wanted.technology)(width=wanted.width, metric=wanted.metric)
        try:
            with pa.memory_map(str(place / "stretches.arrow")) as file:
                table = pa.ipc.open_file(file).read_all()
            index.restore(place / "index")
        except (OSError, pa.ArrowInvalid, Corrupt):
            return None  # absent or damaged: it is made again from the rows
        stretches = _split(table, wanted.width)
        return (stretches, index) if len(index) == len(stretches.since) else None

    def _build(self, wanted: Wanted, history: pa.Table) -> tuple[Stretches, VectorIndex]:
        table = _stretch(history)
        stretches = _split(table, wanted.width)
        index = self.opener(wanted.technology)(width=wanted.width, metric=wanted.metric)
        index.add(stretches.vectors.astype(np.float32))
        place = self.folder / wanted.place
        unfinished = place.with_name(f"{place.name}.{uuid.uuid4().hex[:8]}")
        unfinished.mkdir(parents=True)
        with pa.OSFile(str(unfinished / "stretches.arrow"), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
            writer.write_table(table)
        index.save(unfinished / "index")
        for earlier in [one for one in place.parent.iterdir() if one != unfinished]:
            shutil.rmtree(earlier, ignore_errors=True)  # of rows that have changed since
        unfinished.replace(place)
        return stretches, index


def _stretch(history: pa.Table) -> pa.Table:
    """Vectors with their key, and from when to when each of them answers; in order of the keys and of time."""
    *keys, at, vector = history.column_names
    moments = history[at].cast(pa.int64()).to_numpy()
    codes = np.zeros((len(moments), max(len(keys), 1)), dtype=np.int64)
    for place, name in enumerate(keys):
        codes[:, place] = np.asarray(history[name].combine_chunks().dictionary_encode().indices)
    until = np.full(len(moments), FOREVER, dtype=np.int64)
    same = (codes[1:] == codes[:-1]).all(axis=1)
    until[:-1][same] = moments[1:][same]
    table = history.select(keys)
    table = table.append_column(_SINCE, pa.array(moments)).append_column(_UNTIL, pa.array(until))
    table = table.append_column(_VECTOR, history[vector])
    return table.filter(pc.is_valid(table[_VECTOR])).combine_chunks()


def _split(table: pa.Table, width: int) -> Stretches:
    column = table[_VECTOR].combine_chunks()
    since, until = (table[name].to_numpy() for name in (_SINCE, _UNTIL))
    fits = pc.list_value_length(column).to_numpy(zero_copy_only=False) == width
    values = column.filter(pa.array(fits)).flatten()
    numbers = values.fill_null(np.nan).to_numpy(zero_copy_only=False).reshape(-1, width)
    good = fits.copy()
    good[fits] = np.isfinite(numbers.astype(np.float32)).all(axis=1)
    odd = np.stack([since[~good], until[~good]], axis=1)
    keys = table.filter(pa.array(good)).select([name for name in table.column_names if name not in (_SINCE, _UNTIL, _VECTOR)])
    return Stretches(keys, numbers[good[fits]], since[good], until[good], odd)
