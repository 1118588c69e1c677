"""Tiles of one key as bytes, and back: what an online store keeps."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING, TypeAlias

import msgspec
import numpy as np
import pyarrow as pa

from tidewheel.errors import Corrupt
from tidewheel.features import row_kernel
from tidewheel.features.encoding import ranks, sorted_unique
from tidewheel.features.maps import Maps
from tidewheel.features.plan import TileGroup, WindowPlan
from tidewheel.features.tiles import Tiles, holds_rank, ranked_again
from tidewheel.schema import DataType

if TYPE_CHECKING:
    import numpy.typing as npt

    Integers = npt.NDArray[np.int64]
    Floats = npt.NDArray[np.float64]

_Part: TypeAlias = "tuple[Integers, Integers, Integers, Floats, list[object], Maps | None]"
"""Tiles of one key: starts, when known, integers, floats, the values that ranks point into, maps."""

_COUNT = struct.Struct("<I")
_WORD = np.dtype("<i8")
_REAL = np.dtype("<f8")
_PLAIN: dict[DataType, Callable[[object], object]] = {DataType.DECIMAL: str}
_BACK: dict[DataType, Callable[[str], Decimal]] = {DataType.DECIMAL: Decimal}


def pack_tiles(plan: WindowPlan, tiles: Sequence[Tiles], key: int) -> bytes:
    """The tiles of one key, all groups, as bytes; equal tiles have equal bytes on every machine."""
    parts = []
    for group, one in zip(plan.groups, tiles, strict=True):
        lo, hi = int(one.offsets[key]), int(one.offsets[key + 1])
        ints, words = one.ints[lo:hi], []
        maps = None if one.maps is None else one.maps.pick(np.arange(lo, hi))
        if one.dictionary is not None:
            used = np.unique(ints[:, 1:][holds_rank(ints)] if maps is None else maps.keys)
            moved = np.searchsorted(used, np.arange(len(one.dictionary) + 1))
            ints, maps = ranked_again(ints, moved), None if maps is None else maps.moved(moved)
            convert = _PLAIN.get(group.kind, lambda value: value) if group.kind is not None else str
            words = [convert(value) for value in one.dictionary.take(pa.array(used)).to_pylist()]
        parts.append(_COUNT.pack(hi - lo))
        parts.extend(array[lo:hi].astype(_WORD).tobytes() for array in (one.start, one.known))
        parts.append(ints.astype(_WORD).tobytes())
        parts.append(one.floats[lo:hi].astype(_REAL).tobytes())
        if maps is not None:
            parts.extend(array.astype(_WORD).tobytes() for array in (maps.sizes, maps.keys, maps.counts))
        if one.dictionary is not None:
            data = msgspec.msgpack.encode(words)
            parts.extend((_COUNT.pack(len(data)), data))
    return b"".join(parts)


def pack_many(plan: WindowPlan, tiles: Sequence[Tiles], *, low: int, high: int) -> list[bytes]:
    """:func:`pack_tiles` of the keys from ``low`` up to ``high``."""
    if any(one.dictionary is not None or one.maps is not None for one in tiles):  # parts of other sizes follow
        return [pack_tiles(plan, tiles, key) for key in range(low, high)]
    groups = []
    for one in tiles:
        ends = np.ascontiguousarray(one.offsets[low : high + 1])
        first, last = int(ends[0]), int(ends[-1])
        columns: list[tuple[npt.NDArray[np.generic], np.dtype[np.generic]]] = [
            (one.start, _WORD),
            (one.known, _WORD),
            (one.ints, _WORD),
            (one.floats, _REAL),
        ]
        packed = [column[first:last].astype(kind).tobytes() for column, kind in columns]
        widths = [8, 8, 8 * one.ints.shape[1], 8 * one.floats.shape[1]]
        groups.append(row_kernel.pack_ranges(ends, columns=packed, widths=widths))
    return groups[0] if len(groups) == 1 else [b"".join(parts) for parts in zip(*groups, strict=True)]


def unpack_tiles(plan: WindowPlan, packed: Sequence[bytes | None], *, groups: Sequence[int] | None = None) -> list[Tiles]:
    """Tiles of many keys from their bytes; ``None`` for a key that has none. Key ``k`` is the ``k``-th of those given.

    Parameters
    ----------
    groups
        Which groups, by their numbers in ascending order; ``None``: all.

    Raises
    ------
    Corrupt
        When the bytes are not of this plan.
    """
    readers = [TileReader(one or b"") for one in packed]
    made = []
    for number, group in enumerate(plan.groups):
        if groups is None or number in groups:
            made.append(_stacked(group, [reader.group(group) for reader in readers]))
        else:
            for reader in readers:
                reader.skip(group)
    for reader in readers:
        reader.finished()
    return made


@dataclass(slots=True)
class TileReader:
    """Reads the groups of one key, one after the other."""

    data: bytes
    at: int = 0

    def group(self, group: TileGroup) -> _Part:
        if not self.data:
            return self._empty(group)
        (count,) = self._count()
        start, known = self._words(count), self._words(count)
        ints = self._words(count * group.state.ints).reshape(count, group.state.ints)
        floats = self._reals(count * group.state.floats).reshape(count, group.state.floats)
        maps = self._maps(count) if group.state.merge is not None else None
        values: list[object] = []
        if group.state.encoding == "ranked":
            (size,) = self._count()
            values = msgspec.msgpack.decode(self.data[self.at : self.at + size])
            self.at += size
        return start, known, ints, floats, values, maps

    def skip(self, group: TileGroup) -> None:
        """Go on behind a group."""
        if not self.data:
            return
        (count,) = self._count()
        self._step(count * (2 + group.state.ints + group.state.floats))
        if group.state.merge is not None:
            self._step(2 * int(self._words(count).sum()))
        if group.state.encoding == "ranked":
            self.at += self._count()[0]

    def _maps(self, count: int) -> Maps:
        sizes = self._words(count)
        total = int(sizes.sum())
        return Maps.sized(sizes, self._words(total), self._words(total))

    def finished(self) -> None:
        if self.at != len(self.data):
            raise Corrupt(f"stored tiles have {len(self.data)} bytes, {self.at} expected", fix="materialise the view again")

    def _empty(self, group: TileGroup) -> _Part:
        none = np.empty(0, dtype=np.int64)
        maps = Maps.of([]) if group.state.merge is not None else None
        return none, none, np.empty((0, group.state.ints), dtype=np.int64), np.empty((0, group.state.floats)), [], maps

    def _count(self) -> tuple[int]:
        if self.at + _COUNT.size > len(self.data):
            raise Corrupt("stored tiles are cut short", fix="materialise the view again")
        found: tuple[int] = _COUNT.unpack_from(self.data, self.at)
        self.at += _COUNT.size
        return found

    def _words(self, count: int) -> Integers:
        words: Integers = np.frombuffer(self.data, dtype=_WORD, count=count, offset=self._step(count))
        return words

    def _reals(self, count: int) -> Floats:
        reals: Floats = np.frombuffer(self.data, dtype=_REAL, count=count, offset=self._step(count))
        return reals

    def _step(self, count: int) -> int:
        at = self.at
        self.at += count * 8
        if self.at > len(self.data):
            raise Corrupt("stored tiles are cut short", fix="materialise the view again")
        return at


def _stacked(group: TileGroup, parts: Sequence[_Part]) -> Tiles:
    counts = np.array([len(part[0]) for part in parts], dtype=np.int64)
    none = np.empty(0, dtype=np.int64)
    ints = np.concatenate([np.empty((0, group.state.ints), dtype=np.int64), *(part[2] for part in parts)])
    maps = None if group.state.merge is None else Maps.joined([part[5] for part in parts if part[5] is not None])
    dictionary = None
    if group.state.encoding == "ranked":
        dictionary, moved, begins = _one_dictionary(group, [part[4] for part in parts])
        shift = np.repeat(begins, counts)
        ints[:, 1:] += np.where(holds_rank(ints), shift[:, None], 0)
        ints = ranked_again(ints, moved)
        if maps is not None:
            entries = np.concatenate([[0], np.cumsum(maps.sizes)])[np.concatenate([[0], np.cumsum(counts)])]
            maps = replace(maps, keys=moved[maps.keys + np.repeat(begins, np.diff(entries))])
    return Tiles(
        offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        start=np.concatenate([none, *(part[0] for part in parts)]),
        known=np.concatenate([none, *(part[1] for part in parts)]),
        first=np.full(int(counts.sum()), -1, dtype=np.int64),
        ints=ints,
        floats=np.concatenate([np.empty((0, group.state.floats)), *(part[3] for part in parts)]),
        dictionary=dictionary,
        maps=maps,
    )


def _one_dictionary(group: TileGroup, words: Sequence[list[object]]) -> tuple[pa.Array, Integers, Integers]:
    """One dictionary for many keys; where the words of all of them, in a row, stand in it; where those of each begin."""
    assert group.kind is not None
    back = _BACK.get(group.kind)
    flat = [back(str(one)) if back else one for own in words for one in own]
    column = pa.array(flat, group.kind.arrow())
    dictionary = sorted_unique([column])
    sizes = np.array([len(one) for one in words], dtype=np.int64)
    return dictionary, ranks(column, dictionary), np.cumsum(sizes) - sizes
