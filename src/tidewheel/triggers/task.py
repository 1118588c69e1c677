"""Tasks: one run of a node that a trigger asked for, from the event to its outcome. Values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

from tidewheel.clock import Micros

State = Literal["waiting", "running", "done", "failed", "skipped"]
"""``skipped``: a newer task of the same trigger took its place before it began."""

Ending = Literal["done", "failed", "lost", "returned"]
"""How an attempt ended: ``lost`` when its worker died, ``returned`` when its worker was told to stop."""


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What a task is to be.

    Parameters
    ----------
    key
        Tells this event from all others of the trigger: a second order with the same key is no second task.
    lane
        Tasks of one lane run one after the other.
    replaces
        Tasks of the trigger that have not begun are skipped: this one does for all.
    """

    trigger: str
    key: str
    target: str
    environment: str
    lane: str
    due_at: Micros
    reason: str
    actor: str
    parameters: Mapping[str, str] = {}
    retries: int = 0
    replaces: bool = False


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """One task as it is.

    Parameters
    ----------
    token
        Rises with every worker that takes the task; only the holder of the newest may say how it ended.
    failures, deaths
        Attempts that failed, and those whose worker died.
    outcome
        One line for a person.
    run
        What it left: version of the environment, or identity of a build.
    """

    id: str
    trigger: str
    key: str
    target: str
    environment: str
    lane: str
    state: State
    due_at: Micros
    created_at: Micros
    reason: str
    actor: str
    parameters: dict[str, str]
    retries: int
    failures: int
    deaths: int
    token: int
    owner: str
    lease_until: Micros
    started_at: Micros | None
    ended_at: Micros | None
    outcome: str
    run: str
    error: str

    @property
    def over(self) -> bool:
        """Whether nothing more will come of it."""
        return self.state in ("done", "failed", "skipped")


class Attempt(msgspec.Struct, frozen=True):
    """One worker's try at a task; ``ending`` is ``None`` while it lasts."""

    token: int
    owner: str
    started_at: Micros
    ended_at: Micros | None
    ending: Ending | None
    error: str


class Outcome(msgspec.Struct, frozen=True):
    """What came of a task that succeeded."""

    text: str
    run: str = ""
