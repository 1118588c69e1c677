"""Actors, and the lines of the audit trail."""

from __future__ import annotations

from dataclasses import dataclass

from tidewheel.clock import Micros
from tidewheel.errors import Invalid

State = object
"""What was before or after: anything that JSON can hold."""


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts: a person, or a program on its own account.

    Parameters
    ----------
    name
        The user's name, or such as ``monitor:eta-drift`` for what acts by itself.

    Examples
    --------
    >>> Actor("")
    Traceback (most recent call last):
        ...
    tidewheel.errors.Invalid: an actor has a name. Fix: say who acts
    """

    name: str

    def __post_init__(self) -> None:
        if not self.name.strip():
            raise Invalid("an actor has a name", fix="say who acts")

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the audit trail.

    Parameters
    ----------
    number
        Rises with every line.
    verb
        What was done: ``promote``, ``rollback``, ``apply`` ...
    object
        To what: a node's id, an environment, a model's alias.
    before, after
        The state that the verb changed, as plain values; ``None`` where there was or is nothing.

    Examples
    --------
    >>> Entry(1, Micros(0), "ann", "promote", "eta@champion", 3, 4).after
    4
    """

    number: int
    at: Micros
    actor: str
    verb: str
    object: str
    before: State
    after: State
