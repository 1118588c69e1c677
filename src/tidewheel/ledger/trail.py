"""Trails: what was asked for after a recipe, so that a pipeline that runs again is looked up in one query."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from tidewheel.database.open import Database
from tidewheel.database.statement import Statement
from tidewheel.digest import Digest
from tidewheel.ledger.build import Build
from tidewheel.ledger.build_row import load_build
from tidewheel.ledger.tables import builds, trails

_FOLLOW = Statement(
    sa.select(builds).join(trails, trails.c.recipe == builds.c.live).where(trails.c.first == sa.bindparam("first"))
)


class Trails:
    """The recipes that were asked for in one go, in their order; the first of them is the trail's name.

    A trail says what to look up, never what is true: a recipe that has no build is missing from the answer, and one that the
    trail does not know is asked for by itself.

    Examples
    --------
    >>> from tidewheel.digest import digest
    >>> trails = Trails(Database.open("sqlite://"))
    >>> trails.put([digest("a"), digest("b")])
    >>> trails.find(digest("a"))
    {}
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(self, first: Digest) -> dict[Digest, Build]:
        """The builds of a recipe and of all that was asked for after it, the last time, in one query."""
        with self._database.read() as connection:
            found = map(load_build, _FOLLOW.run(connection, {"first": first}))
        return {build.recipe: build for build in found}

    def put(self, asked: Sequence[Digest]) -> None:
        """Keep what was asked for, at least one recipe, each once."""
        rows = [{"first": asked[0], "place": place, "recipe": recipe} for place, recipe in enumerate(asked)]
        with self._database.write() as connection:
            connection.execute(trails.delete().where(trails.c.first == asked[0]))
            connection.execute(trails.insert(), rows)
