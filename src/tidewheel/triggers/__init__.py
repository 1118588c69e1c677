"""Triggers: what makes a node run without anybody typing it, and the tasks that come of it.

A trigger joins a node to an event: a time by the calendar, new data in a source, an alert of a monitor, a build of another
node, a word by hand or over HTTP. When its event happens, a task is written to the workspace's database, once, and a worker
takes it under a lease. A worker that dies loses its lease, and another one takes the task over.

Examples
--------
>>> from tidewheel.triggers import schedule, trigger
>>> trigger("eta", on=schedule("0 6 * * *", timezone="Europe/Berlin")).event
'0 6 * * * Europe/Berlin'
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidewheel.triggers.definition import Trigger, alert, built, new_data, schedule, trigger

if TYPE_CHECKING:
    from tidewheel.triggers.record import Tasks as Tasks

__all__ = ["Tasks", "Trigger", "alert", "built", "new_data", "schedule", "trigger"]


def __getattr__(name: str) -> object:
    if name == "Tasks":
        from tidewheel.triggers.record import Tasks

        return Tasks
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
