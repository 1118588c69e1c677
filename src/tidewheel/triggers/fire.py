"""Fire triggers: look whether their events have happened, and write a task for each that has."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from tidewheel.clock import MINUTE, Clock, Micros, format_instant
from tidewheel.errors import TidewheelError
from tidewheel.monitors.alert import Alert
from tidewheel.triggers.calendar import due_between, last_due
from tidewheel.triggers.definition import AlertOpened, NewBuild, NewData, Schedule, Trigger
from tidewheel.triggers.record import Tasks
from tidewheel.triggers.task import Order

LATE = MINUTE
"""Under ``missed="skip"`` a time that is older than this has been missed."""

MOST = 1_000
"""Under ``missed="all"`` at most so many times of one schedule are made up for, the newest ones."""


@dataclass(frozen=True, slots=True)
class Armed:
    """A trigger with the node that it runs, and the node that it waits for, found in a project's graph.

    Parameters
    ----------
    spans
        Of a pipeline that is run for a span of time: its arguments, as texts, for one.
    """

    trigger: Trigger
    target: str
    waits_for: str = ""
    spans: Callable[[Micros, Micros], Mapping[str, str]] | None = None

    def parameters(self, due: Micros) -> dict[str, str]:
        """Arguments of the task for a time that is due.

        Examples
        --------
        >>> from tidewheel.triggers.definition import schedule, trigger
        >>> hourly = trigger("etl", on=schedule("0 * * * *"))
        >>> Armed(hourly, "pipeline:etl", spans=lambda start, end: {"span": f"{start}-{end}"}).parameters(Micros(7_200_000_000))
        {'span': '3600000000-7200000000'}
        """
        own = dict(self.trigger.parameters)
        event = self.trigger.on
        if self.spans is None or not isinstance(event, Schedule):
            return own
        begin = last_due(event, due)
        return own if begin is None else {**self.spans(begin, due), **own}


@dataclass(frozen=True, slots=True)
class Eyes:
    """How to see what has happened.

    Parameters
    ----------
    content
        Of a source by name: something that differs when its data does.
    alerts
        Of a monitor by name, the newest first.
    build
        Of a node: identity of its newest build, ``None`` when it has none.
    """

    content: Callable[[str], str]
    alerts: Callable[[str], Sequence[Alert]]
    build: Callable[[str], str | None]


class _Seen(msgspec.Struct, frozen=True):
    """How far a trigger has looked; what it looks at is part of it, since a trigger that is edited begins anew."""

    event: str
    mark: str


class Watch:
    """Looks at the events of triggers, for one environment.

    How far each has looked is in the database, so several watches of one workspace make one task of an event between them, and
    what happened while nobody watched is seen later. A trigger that was not there before begins now.

    Examples
    --------
    >>> from tidewheel.database.open import Database
    >>> from tidewheel.triggers.definition import schedule, trigger
    >>> now = [Micros(0)]
    >>> tasks = Tasks(Database.open("sqlite://"), lambda: now[0])
    >>> watch = Watch(tasks, [Armed(trigger("eta", on=schedule("* * * * *")), "model:eta")], environment="dev")
    >>> first = watch.fire_schedules()  # begins to watch
    >>> now[0] = Micros(180_000_000)
    >>> first, watch.fire_schedules(), watch.fire_schedules()
    (0, 1, 0)
    """

    def __init__(self, tasks: Tasks, armed: Sequence[Armed], *, environment: str, eyes: Eyes | None = None) -> None:
        self.tasks = tasks
        self.environment = environment
        self.troubles: dict[str, str] = {}
        """By trigger, why its event could not be looked at the last time."""
        self._armed = list(armed)
        self._eyes = eyes
        self._looked: dict[str, Micros] = {}

    @property
    def _clock(self) -> Clock:
        return self.tasks.clock

    def fire(self) -> int:
        """Look at all events; answer how many tasks are new. What cannot be looked at is in :attr:`troubles`."""
        return self.fire_schedules() + sum(self._fire_safely(one) for one in self._armed)

    def fire_schedules(self) -> int:
        """Look at the calendar only: quick, so it goes on while a task is at work. Answers how many tasks are new."""
        return sum(self._fire_schedule(one, one.trigger.on) for one in self._armed if isinstance(one.trigger.on, Schedule))

    def _fire_schedule(self, one: Armed, schedule: Schedule) -> int:
        now = self._clock()
        known = self._mark(one)
        # A clock that was put back: what comes in the time that comes once more has its tasks, which are not made again.
        ahead = known is not None and int(known) > now + LATE
        due = [] if known is None or ahead else due_between(schedule, int(known), now, limit=MOST)
        if known is not None and not due and not ahead:
            return 0
        with self.tasks.database.write():
            if self._mark(one) != known:
                return 0  # another watch was faster
            if not due:
                return self._look(one, str(now))
            orders = [
                msgspec.structs.replace(
                    self._order(one, format_instant(at), at, f"schedule, {format_instant(at)}"), parameters=one.parameters(at)
                )
                for at in due
            ]
            if schedule.missed == "once":
                more = f" and {len(due) - 1} missed before it" if len(due) > 1 else ""
                orders = [msgspec.structs.replace(orders[-1], reason=orders[-1].reason + more, replaces=True)]
            elif schedule.missed == "skip":
                orders = [order for order in orders if order.due_at >= now - LATE]
            return self._look(one, str(due[-1]), orders)

    def _fire_safely(self, one: Armed) -> int:
        """A source that cannot be read must not keep the triggers of others from firing."""
        try:
            fired = self._fire_other(one)
        except TidewheelError as error:
            self.troubles[one.trigger.name] = str(error)
            return 0
        self.troubles.pop(one.trigger.name, None)
        return fired

    def _fire_other(self, one: Armed) -> int:
        event, eyes = one.trigger.on, self._eyes
        if event is None or isinstance(event, Schedule) or eyes is None:
            return 0
        now = self._clock()
        every = event.every if isinstance(event, NewData) else Micros(0)
        if 0 <= now - self._looked.get(one.trigger.name, Micros(now - every)) < every:
            return 0
        self._looked[one.trigger.name] = now
        if isinstance(event, AlertOpened):
            return self._fire_alerts(one, eyes.alerts(event.monitor))
        mark = eyes.content(event.source) if isinstance(event, NewData) else eyes.build(one.waits_for) or ""
        return self._fire_news(one, event, mark)

    def _fire_news(self, one: Armed, event: NewData | NewBuild, mark: str) -> int:
        if mark == self._mark(one):
            return 0
        with self.tasks.database.write():
            known = self._mark(one)
            if known is None or known == mark:
                return self._look(one, mark)
            what = f"new data in {event.source}" if isinstance(event, NewData) else f"a new build of {one.waits_for}"
            now = self._clock()
            order = self._order(one, f"{known[-16:]} {mark[-16:]} {format_instant(now)}", now, what)
            return self._look(one, mark, [msgspec.structs.replace(order, replaces=True)])

    def _fire_alerts(self, one: Armed, alerts: Sequence[Alert]) -> int:
        """The mark is the alerts that were seen, and no instant: they may be opened by machines whose clocks differ."""
        known = self._mark(one)
        seen = set() if known is None else set(known.split())
        new = [] if known is None else [alert for alert in alerts if alert.id not in seen]
        if known is not None and not new:
            return 0
        new.sort(key=lambda alert: (alert.opened_at, alert.id))
        orders = [self._order(one, alert.id, self._clock(), f"alert {alert.id}: {alert.render()}") for alert in new]
        return self._look(one, " ".join(alert.id for alert in alerts), orders)

    def _mark(self, one: Armed) -> str | None:
        text = self.tasks.seen(one.trigger.name, environment=self.environment)
        seen = None if text is None else msgspec.json.decode(text, type=_Seen)
        return None if seen is None or seen.event != one.trigger.event else seen.mark

    def _look(self, one: Armed, mark: str, orders: Sequence[Order] = ()) -> int:
        seen = msgspec.json.encode(_Seen(one.trigger.event, mark)).decode()
        return self.tasks.look(one.trigger.name, environment=self.environment, seen=seen, orders=orders)

    def _order(self, one: Armed, key: str, due: Micros, reason: str) -> Order:
        return order_of(one, key, environment=self.environment, due_at=due, reason=reason, actor=f"trigger:{one.trigger.name}")


def order_of(one: Armed, key: str, *, environment: str, due_at: Micros, reason: str, actor: str) -> Order:
    """What a trigger's task is to be.

    Examples
    --------
    >>> from tidewheel.triggers.definition import trigger
    >>> one = Armed(trigger("eta"), "model:eta")
    >>> order_of(one, "k", environment="dev", due_at=Micros(0), reason="by hand", actor="ann").lane
    'model:eta'
    """
    return Order(
        trigger=one.trigger.name,
        key=key,
        target=one.target,
        environment=environment,
        lane=one.target,
        due_at=due_at,
        reason=reason,
        actor=actor,
        parameters=dict(one.trigger.parameters),
        retries=one.trigger.retries,
    )
