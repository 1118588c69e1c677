"""Which keys hold open versions of an event: so a push finds what it corrects, wherever that stands.

Of a view whose source has an ``event_id`` the store has one more set for each id that is open, under the view's prefix and
``fe``: of each open version the order (event time, created) and the key that holds it. Whoever writes an open row writes its
entry in the same batch, and what is closed or taken out goes from both; an entry without its row says nothing.

A correction that moves an event is settled after it is written, by whoever wrote it: of two that are written at once at least
the later one sees both.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence

from tidewheel.features.online import OnlineLayout, correction_order
from tidewheel.features.rows import RowCodec, split_order
from tidewheel.ports.online_store import OnlineStore
from tidewheel.schema import Schema
from tidewheel.sources.definition import GONE, UNTIL

Item = tuple[bytes, bytes]
NOWHERE = b""
"""In place of the key of a row that has none: a correction has taken its event away."""
_ORDER_BYTES = 16
_NUMBER_BYTES = 4
_WHOLE_BYTES = 23
"""Ids up to this size are keys as they are; of longer ones a hash is, which has one byte more."""


class EventIndex:
    """The entries of one view.

    Examples
    --------
    >>> from tidewheel.features.definition import count, entity, features, view_of
    >>> from tidewheel.schema import DataType, Field
    >>> from tidewheel.sources.definition import source
    >>> @features(source("rides", "r.parquet", time="ts", event_id="ride"), by=entity("driver", driver=int))
    ... class Rides:
    ...     rides = count("1h")
    >>> schema = Schema((Field("driver", DataType.INT64), Field("ride", DataType.STRING)))
    >>> layout = OnlineLayout(view_of(Rides), 1, schema)
    >>> items = layout.numbered([layout.row(5, 0, available=5, values=("a",))])
    >>> [(key[:5].hex(), entry[16:]) for key, entry in EventIndex(layout).entries((b"key", item) for item in items)]
    [('00000001fe', b'key')]
    """

    def __init__(self, layout: OnlineLayout) -> None:
        self._layout = layout
        event_id = layout.view.source.event_id
        assert event_id is not None
        self._prefix = layout.prefix + b"\xfe"
        self._codec = RowCodec(Schema((layout.schema[event_id],)))
        self._changes = layout.view.source.changes is not None

    def key(self, identity: object) -> bytes:
        """Key of the set of an event id."""
        whole = self._codec.canonical([identity])
        short = whole if len(whole) <= _WHOLE_BYTES else hashlib.blake2b(whole, digest_size=_WHOLE_BYTES + 1).digest()
        return self._prefix + short

    def entries(self, items: Iterable[Item]) -> Iterator[Item]:
        """Entries of open rows, each given with its key."""
        for key, item in items:
            identity = self._identity(item)
            if identity is not None:
                yield self.key(identity), item[:_ORDER_BYTES] + key

    def holders(self, store: OnlineStore, ids: Sequence[object]) -> set[bytes]:
        """Keys that hold open versions of some events."""
        found = store.read([], [self.key(one) for one in ids])[1]
        return {entry[_ORDER_BYTES:] for entries in found for entry in entries} - {NOWHERE}

    def settle(self, store: OnlineStore, written: Iterable[Item]) -> int:
        """Make the open versions of events that were just written, and stand at several keys, answer as one event.

        Of a plain source only the latest version stays. Of changes each was true in its time, so all stay, and every key that
        holds one is told of the others.

        Returns
        -------
        How many versions tie with the latest one, and stay: which of them counts is told by columns that are not here.
        """
        own = [(one, key, item) for key, item in written if (one := self._identity(item)) is not None]
        ids = list(dict.fromkeys(one for one, _, _ in own))
        found = dict(zip(ids, store.read([], [self.key(one) for one in ids])[1], strict=True)) if ids else {}
        lost = {(one, item) for one, key, item in own if key == NOWHERE and found[one]}
        leaves = {one for one, _ in lost}
        moved = {
            one: entries
            for one, entries in found.items()
            if one in leaves or len({entry[_ORDER_BYTES:] for entry in entries}) > 1
        }
        if not moved:
            return 0
        keys = sorted({entry[_ORDER_BYTES:] for entries in moved.values() for entry in entries} - {NOWHERE})
        held = dict(zip(keys, store.read([], keys)[1], strict=True))
        told, stale, tied = list[Item](), list[Item](), 0
        for one, versions in self._versions(moved, held).items():
            lines = [(NOWHERE, item) for whose, item in lost if whose == one]
            if self._changes:
                told += self._departures([*versions, *lines], held)
                continue
            told += [(self.key(one), item[:_ORDER_BYTES] + NOWHERE) for _, item in lines]
            lines += [(NOWHERE, entry[:_ORDER_BYTES]) for entry in moved[one] if entry[_ORDER_BYTES:] == NOWHERE]
            if not versions and not lines:
                continue
            latest = max((*versions, *lines), key=lambda version: _correction(version[1]))
            for key, item in versions:
                if key != latest[0] and item[:_ORDER_BYTES] == latest[1][:_ORDER_BYTES]:
                    tied += 1
                elif key != latest[0]:
                    stale += [(key, item), (self.key(one), item[:_ORDER_BYTES] + key)]
        if told:
            store.write([], told)
        if stale:
            store.prune([], stale)
        return tied

    def _versions(
        self, moved: Mapping[object, Sequence[bytes]], held: Mapping[bytes, Sequence[bytes]]
    ) -> dict[object, list[Item]]:
        """Of each event its open versions, with their keys."""
        entries = {(one, entry) for one, own in moved.items() for entry in own}
        found: dict[object, list[Item]] = {one: [] for one in moved}
        for key, items in held.items():
            for item in items:
                identity = self._identity(item)
                if identity in found and (identity, item[:_ORDER_BYTES] + key) in entries:
                    found[identity].append((key, item))
        return found

    def _identity(self, item: bytes) -> object:
        return self._layout.identity(item[:-_NUMBER_BYTES])

    def _departures(self, versions: Sequence[Item], held: Mapping[bytes, Sequence[bytes]]) -> Iterator[Item]:
        """What to tell each key of versions that other keys hold: that the event is not there any more."""
        for key in {key for key, _ in versions} - {NOWHERE}:
            known = set(held[key])
            for place, item in versions:
                departed = self._departed(item)
                if place != key and departed not in known:
                    yield key, departed

    def _departed(self, item: bytes) -> bytes:
        layout = self._layout
        values = list(layout.codec.decode(item[:-_NUMBER_BYTES]).values)
        values[layout.columns.index(GONE)] = True
        values[layout.columns.index(UNTIL)] = None
        return layout.codec.encode(*split_order(item), values) + bytes(_NUMBER_BYTES)


def _correction(item: bytes) -> tuple[bytes, bytes, bytes]:
    return correction_order(item[:_ORDER_BYTES] + item[_ORDER_BYTES:-_NUMBER_BYTES])
