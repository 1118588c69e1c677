"""Register views with the online side, and keep their bookmarks."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import delete, insert, select, update

from tidewheel.clock import Clock, Micros
from tidewheel.database.open import Database
from tidewheel.digest import Digest
from tidewheel.features.definition import FeatureView
from tidewheel.features.keys import view_prefix
from tidewheel.features.tables import online_bookmarks, online_runs, online_views
from tidewheel.ports.online_store import OnlineStore
from tidewheel.sources.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Bookmark:
    """How far a view is materialised: every row of ``snapshot`` is online, and tiles before ``closed`` are closed."""

    revision: int
    until: Micros
    closed: Micros
    snapshot: Snapshot
    at: Micros


class OnlineViews:
    """Numbers of views in the online store, and their bookmarks.

    A view's number belongs to what its rows are (:attr:`FeatureView.online_version`), so two versions of one view whose rows
    differ live side by side and never see each other's.

    Examples
    --------
    >>> from tidewheel.features.definition import entity, features, lookup, view_of
    >>> from tidewheel.sources.definition import source
    >>> @features(source("ratings", "r.parquet", time="ts"), by=entity("driver", driver=int))
    ... class Rating:
    ...     rating = lookup("rating")
    >>> views = OnlineViews(Database.open("sqlite://"), lambda: Micros(0))
    >>> views.ensure(view_of(Rating)) == views.ensure(view_of(Rating))
    True
    >>> views.find_bookmark(view_of(Rating)) is None
    True
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def ensure(self, view: FeatureView) -> int:
        """The view's number; a new one when its version has none yet."""
        version = view.online_version
        with self._database.write() as connection:
            found = connection.execute(select(online_views.c.id).where(online_views.c.version == version)).scalar()
            if found is not None:
                return int(found)
            values = {"version": version, "name": view.name, "created_at": self._clock(), "revision": 0}
            key = connection.execute(insert(online_views).values(values)).inserted_primary_key
            assert key is not None
            return int(key[0])

    def renew(self, view: FeatureView) -> int:
        """A new number for a view, because its columns have other types now.

        What stands under the old one is of no view any more, and stays as it is for who reads it, until it is collected: rows
        of two types are never mixed.
        """
        with self._database.write() as connection:
            mine = online_views.c.version == view.online_version
            number = connection.execute(select(online_views.c.id).where(mine)).scalar_one()
            connection.execute(update(online_views).where(mine).values(version=f"{view.online_version}~{number}"))
            connection.execute(delete(online_runs).where(online_runs.c.view == number))
        return self.ensure(view)

    def list_ids(self) -> dict[Digest, int]:
        """Online version and number of every view that has been materialised to the end at least once."""
        query = select(online_views.c.version, online_views.c.id).join(online_bookmarks)
        with self._database.read() as connection:
            return {Digest(version): int(number) for version, number in connection.execute(query)}

    def list_numbers(self) -> dict[Digest, int]:
        """Online version and number of every view that has a number, materialised or about to be."""
        with self._database.read() as connection:
            rows = connection.execute(select(online_views.c.version, online_views.c.id))
            return {Digest(version): int(number) for version, number in rows}

    def list_names(self) -> dict[Digest, tuple[str, int]]:
        """Online version, name and number of every view that has been materialised to the end at least once."""
        query = select(online_views.c.version, online_views.c.name, online_views.c.id).join(online_bookmarks)
        with self._database.read() as connection:
            return {Digest(version): (name, int(number)) for version, name, number in connection.execute(query)}

    def forget(self, view: int, store: OnlineStore) -> int:
        """Drop what the store holds of a view, which keeps its number; how many keys went.

        The bookmark goes first, so nobody begins to serve what is half gone, and whoever materialises the version again, or
        was killed here, begins from nothing.
        """
        with self._database.write() as connection:
            connection.execute(delete(online_bookmarks).where(online_bookmarks.c.view == view))
            connection.execute(delete(online_runs).where(online_runs.c.view == view))
        return store.delete(view_prefix(view))

    def begin(self, view: int) -> int:
        """A revision for one run of materialisation: greater than that of any run that began before."""
        with self._database.write() as connection:
            bumped = update(online_views).where(online_views.c.id == view).values(revision=online_views.c.revision + 1)
            connection.execute(bumped)
            return int(connection.execute(select(online_views.c.revision).where(online_views.c.id == view)).scalar_one())

    def find_bookmark(self, view: FeatureView) -> Bookmark | None:
        """How far the view's version is materialised, if it ever was."""
        query = select(online_bookmarks).join(online_views).where(online_views.c.version == view.online_version)
        with self._database.read() as connection:
            row = connection.execute(query).mappings().first()
        if row is None:
            return None
        snapshot = Snapshot.from_json(row["snapshot"].encode())
        return Bookmark(int(row["revision"]), Micros(row["until"]), Micros(row["closed"]), snapshot, Micros(row["at"]))

    def advance(self, view: int, *, revision: int, until: Micros, closed: Micros, snapshot: Snapshot) -> bool:
        """Move the bookmark, at the end of a run; a run that began earlier than the one recorded moves nothing."""
        values = {
            "revision": revision,
            "until": until,
            "closed": closed,
            "snapshot": snapshot.to_json().decode(),
            "at": self._clock(),
        }
        table = online_bookmarks
        with self._database.write() as connection:
            held = connection.execute(select(table.c.revision).where(table.c.view == view)).scalar()
            if held is None:
                connection.execute(insert(table).values(view=view, **values))
            elif held < revision:
                connection.execute(update(table).where(table.c.view == view).values(values))
            else:
                return False
        return True
