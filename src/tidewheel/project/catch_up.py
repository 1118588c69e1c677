"""Bring online what is kept of pushes and came no further: the process died, or the store could not be written.

A push is in the journal before it is in the store, so a row is never lost, and between the two it counts offline alone. Its
sender was never told that it is accepted. The next materialisation brings it; these bring it as soon as somebody serves again.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

from tidewheel.artifacts.journal import list_abandoned
from tidewheel.errors import TidewheelError
from tidewheel.features.definition import FeatureView
from tidewheel.features.register import OnlineViews
from tidewheel.project.open import Workspace


def catch_up(workspace: Workspace, views: Iterable[FeatureView]) -> bool:
    """Materialise what has arrived for some views, those alone that were materialised before, and no further in time than then.

    Returns
    -------
    Whether all is well. What goes wrong is logged: rows that wait are no reason to serve nothing.
    """
    known = OnlineViews(workspace.database, workspace.clock)
    well = True
    for view in {view.online_version: view for view in views}.values():
        bookmark = known.find_bookmark(view)
        if bookmark is None:
            continue
        try:
            workspace.materializer.materialize(view, until=bookmark.until)
        except TidewheelError as error:
            logging.getLogger("tidewheel").warning("view %s may lack rows that were pushed: %s", view.name, error)
            well = False
    return well


def catch_up_with_the_dead(workspace: Workspace, views: Iterable[FeatureView]) -> None:
    """Do so for the views of sources whose pushes a process was keeping when it was killed."""
    by_source: dict[str, list[FeatureView]] = {}
    for view in views:
        by_source.setdefault(view.source.name, []).append(view)
    for source, fed in by_source.items():
        if list_abandoned(workspace.sources.pushes / source):
            names = ", ".join(sorted({view.name for view in fed}))
            logging.getLogger("tidewheel").warning(
                "a process was killed while it took pushes to %s: bringing %s up to date", source, names
            )
            catch_up(workspace, fed)
