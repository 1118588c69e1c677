"""Triggers and their events, as a project's files declare them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from tidewheel.clock import Micros, format_duration, parse_duration, to_datetime
from tidewheel.errors import Invalid
from tidewheel.ledger.definition import Declaration, declare, node_id, place
from tidewheel.monitors.definition import Monitor
from tidewheel.sources.definition import Source

Missed = Literal["once", "all", "skip"]
"""What becomes of times that passed while no worker was there."""

_MISSED: tuple[Missed, ...] = ("once", "all", "skip")
MAX_RETRIES = 100


@dataclass(frozen=True, slots=True)
class Schedule:
    """Times by the calendar of a place."""

    cron: str
    timezone: str
    missed: Missed

    def __str__(self) -> str:
        return f"{self.cron} {self.timezone}"


@dataclass(frozen=True, slots=True)
class NewData:
    """The content of a source is another one than at the last look."""

    source: str
    every: Micros

    def __str__(self) -> str:
        return f"new data in {self.source}, looked at every {format_duration(self.every)}"


@dataclass(frozen=True, slots=True)
class AlertOpened:
    """A monitor opens an alert."""

    monitor: str

    def __str__(self) -> str:
        return f"an alert of {self.monitor}"


@dataclass(frozen=True, slots=True)
class NewBuild:
    """A node was built that had no such build before."""

    node: object

    def __str__(self) -> str:
        return f"a build of {name_of(self.node)}"


Event = Schedule | NewData | AlertOpened | NewBuild


@dataclass(frozen=True, slots=True)
class Trigger:
    """A node to run, and when.

    Parameters
    ----------
    run
        The definition of the node, or its name.
    on
        ``None``: by hand and over HTTP only.
    retries
        How often a task that failed is tried again.
    parameters
        Arguments of a pipeline, as texts.
    """

    name: str
    run: object
    on: Event | None
    retries: int
    parameters: tuple[tuple[str, str], ...] = ()

    @property
    def event(self) -> str:
        """The event in words.

        Examples
        --------
        >>> Trigger("nightly", "eta", None, 0).event
        'by hand'
        """
        return "by hand" if self.on is None else str(self.on)


def name_of(target: object) -> str:
    """What a definition, or a reference to one, is called.

    Examples
    --------
    >>> name_of("model:eta")
    'model:eta'
    """
    if isinstance(target, str):
        return target
    name = getattr(target, "name", None) or getattr(target, "__name__", None)
    if not isinstance(name, str):
        raise Invalid(f"{target!r:.80} is nothing that can run", where=place(), fix="give a definition or the name of a node")
    return name


def schedule(cron: str, *, timezone: str = "UTC", missed: Missed = "once") -> Schedule:
    """Times by the calendar: five fields of cron, or six with seconds first.

    Clocks that are put forward and back are treated as Debian's cron does. A time that does not exist on a day is taken right
    after the gap; one that exists twice is taken once, the first time; what comes every hour or every few minutes comes by
    the time that really passes.

    A pipeline that takes a partition (one parameter of type ``tw.Partition``, or ``start`` and ``end``) is handed the time from
    the scheduled instant before to its own, however late it runs; so with ``missed="all"`` no time is left out.

    Parameters
    ----------
    cron
        Minute, hour, day of the month, month, day of the week, such as ``"0 6 * * MON-FRI"``, ``"*/15 * * * *"``,
        ``"0 8 L * *"`` (the last day) or ``"0 8 * * MON#1"``.
    timezone
        Name in the IANA database.
    missed
        What becomes of times that passed while no worker was there: ``"once"`` runs for the last of them, ``"all"`` for each
        in its order, ``"skip"`` for none that is more than a minute old.

    Raises
    ------
    Invalid
        For an expression that is no cron, or never comes; an unknown time zone.

    Examples
    --------
    >>> str(schedule("0 6 * * *", timezone="Europe/Berlin"))
    '0 6 * * * Europe/Berlin'
    """
    where = place()
    if missed not in _MISSED:
        raise Invalid(f"missed is {missed!r}", where=where, fix=f"use one of {', '.join(_MISSED)}")
    try:
        zone = ZoneInfo(timezone)
    except (KeyError, ValueError, OSError) as error:
        raise Invalid(f"{timezone!r} is not a time zone", where=where, fix='name one, such as "Europe/Berlin"') from error
    try:
        next(CronSim(cron, to_datetime(0).astimezone(zone)))
    except (CronSimError, StopIteration) as error:
        fix = 'write five fields, such as "0 6 * * *": minute, hour, day, month, day of the week'
        raise Invalid(f"{cron!r} is no schedule: {str(error) or 'it never comes'}", where=where, fix=fix) from error
    return Schedule(cron, timezone, missed)


def new_data(source: Source | str, *, every: str = "1m") -> NewData:
    """New data in a source: a file more or another one, rows pushed, a new snapshot of a table.

    What is there when a worker looks for the first time is no news.

    Parameters
    ----------
    every
        How often to look, a duration.

    Examples
    --------
    >>> str(new_data("trips"))
    'new data in trips, looked at every 1m'
    """
    return NewData(source if isinstance(source, str) else source.name, parse_duration(every))


def alert(monitor: Monitor | str) -> AlertOpened:
    """A monitor opens an alert; once for each, however long it lasts.

    Examples
    --------
    >>> str(alert("eta"))
    'an alert of eta'
    """
    return AlertOpened(monitor if isinstance(monitor, str) else monitor.name)


def built(node: object) -> NewBuild:
    """Another node is built; a build that is found from before is no news.

    Parameters
    ----------
    node
        Its definition or its name.

    Examples
    --------
    >>> str(built("training_set:rides"))
    'a build of training_set:rides'
    """
    name_of(node)
    return NewBuild(node)


def trigger(
    run: object,
    *,
    on: Event | None = None,
    name: str | None = None,
    parameters: Mapping[str, object] = MappingProxyType({}),
    retries: int = 0,
    owner: str | None = None,
    description: str = "",
    tags: Sequence[str] = (),
) -> Trigger:
    """Run a node when something happens, on a worker (``tidewheel work``), with no double start however many workers there are.

    Two tasks of one node are never at work at the same time. A trigger never changes a recipe, so adding one rebuilds nothing.

    Parameters
    ----------
    run
        What to run: a pipeline, a model (with its gate and deployment), a training set, a feature view (materialised), a
        monitor, or any other node that ``tidewheel run`` takes; the definition itself or its name.
    on
        :func:`schedule`, :func:`new_data`, :func:`alert` or :func:`built`; ``None`` for what is started by hand
        (``tidewheel trigger NAME``) or over HTTP (``POST /api/triggers/NAME``) alone, which any trigger can be.
    name
        Default: that of what it runs.
    parameters
        Arguments of a pipeline by name: strings, or plain values.
    retries
        How often a task that failed is tried again, after 30, 60, 120 ... seconds. A worker that dies is not counted:
        its task is taken over by another one, three times at most.

    Examples
    --------
    >>> trigger("eta", on=schedule("0 6 * * *"), name="nightly").name
    'nightly'
    """
    where = place()
    if not 0 <= retries <= MAX_RETRIES:
        raise Invalid(f"retries is {retries}", where=where, fix=f"give 0 to {MAX_RETRIES}")
    target = name_of(run)
    if isinstance(on, NewBuild) and name_of(on.node) == target:
        raise Invalid(f"a build of {target} would start {target} again, for ever", where=where, fix="name another node")
    given = tuple((key, value if isinstance(value, str) else json.dumps(value)) for key, value in parameters.items())
    made = Trigger(name or target.rpartition(":")[2], run, on, retries, given)
    missed = on.missed if isinstance(on, Schedule) else None
    meta: dict[str, object] = {"run": target, "on": made.event, "missed": missed, "retries": retries, "parameters": dict(given)}
    meta |= {"owner": owner, "description": description, "tags": list(tags)}
    declare(Declaration(node_id("trigger", made.name), made, where, meta=meta))
    return made
