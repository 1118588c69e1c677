"""Describe a run: its state, and the graph of the steps that it has called so far."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from tidewheel.clock import SECOND, Micros, format_instant
from tidewheel.pipelines.calls import Call, read_calls
from tidewheel.project.open import Workspace
from tidewheel.runs.beat import BEAT_SECONDS
from tidewheel.runs.definition import RunRecord, RunStatus
from tidewheel.runs.observe import is_stopped

_ID = re.compile(r"[0-9a-f]{4,32}")


@dataclass(slots=True)
class Group:
    """All calls of one step from one place: of the run's own code, or of calls of another step.

    Parameters
    ----------
    calls
        How many there are.
    states
        How many are in which state; ``stopped`` are those that were not finished when the process died.
    seconds
        From the first start to the last end, or until now.
    inputs
        Steps whose answers are among the arguments.
    error
        The last line of the newest error, of tries that were repeated too.
    silent_seconds
        The longest for which one of its calls has used no processor and printed nothing, as far as workers can be seen.
    note
        What a call waits for, or what is seen of its process.
    """

    step: str
    calls: int = 0
    states: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    tries: int = 0
    inputs: list[str] = field(default_factory=list)
    error: str = ""
    silent_seconds: float = 0.0
    note: str = ""
    inner: list[Group] = field(default_factory=list)

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        told = {name: getattr(self, name) for name in self.__slots__ if name != "inner"}
        return told | {"inner": [each.to_json() for each in self.inner]}


@dataclass(frozen=True, slots=True)
class RunDescription:
    """A run with its steps, in the order of their first calls.

    Parameters
    ----------
    note
        What is seen of the process of a run that is at work and gives no sign of life.
    """

    run: RunRecord
    seconds: float
    steps: tuple[Group, ...]
    note: str = ""

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        run = self.run
        return {
            "run": run.id,
            "name": run.tags.get("node", run.name),
            "status": run.status.value,
            "actor": run.actor,
            "started": format_instant(run.started_at),
            "ended": None if run.ended_at is None else format_instant(run.ended_at),
            "seconds": self.seconds,
            "parameters": dict(run.parameters),
            "error": run.error,
            "note": self.note,
            "steps": [each.to_json() for each in self.steps],
        }


def find_run(workspace: Workspace, text: str) -> RunRecord | None:
    """The run that a text means: its id, its first four characters or more, or ``last``; ``None`` when it means no run."""
    if text == "last":
        return next(iter(workspace.runs.search(limit=1).runs), None)
    return workspace.runs.find(text) if _ID.fullmatch(text) else None


def describe_run(workspace: Workspace, run: RunRecord) -> RunDescription:
    """A run as it is now, at work or finished."""
    calls = read_calls(workspace.database, run.id)
    until = run.ended_at or workspace.clock()
    if run.status is RunStatus.INTERRUPTED:  # it ended at its last sign of life, which its calls may have given since
        until = max([until, *(at for call in calls for at in (call.started_at, call.ended_at) if at is not None)])
    stopped = run.status is not RunStatus.RUNNING
    groups = tuple(_groups(calls, until=Micros(until), stopped=stopped))
    return RunDescription(run, (until - run.started_at) / 1e6, groups, "" if stopped else _look(run, until - run.heartbeat_at))


def _look(run: RunRecord, silent: int) -> str:
    """What is seen of a run's process: one that is at work gives a sign of life every ten seconds, whatever its steps do."""
    stopped = "its process is stopped (SIGSTOP or Ctrl-Z)" if is_stopped(run.process) else ""
    silence = f"no sign of life for {silent / 1e6:.0f} s" if silent > 2 * BEAT_SECONDS * SECOND else ""
    return ", ".join(part for part in (stopped, silence) if part)


def _groups(calls: Sequence[Call], *, until: Micros, stopped: bool) -> list[Group]:
    top: list[Group] = []
    by_key: dict[tuple[int | None, str], Group] = {}
    of_call: dict[int, Group] = {}
    spans: dict[int, tuple[Micros, Micros]] = {}
    for call in calls:
        above = None if call.caller is None else of_call[call.caller]
        key = (None if above is None else id(above), call.step)
        group = by_key.get(key)
        if group is None:
            group = by_key[key] = Group(call.step)
            (top if above is None else above.inner).append(group)
        of_call[call.ordinal] = group
        state = "stopped" if stopped and call.ended_at is None else call.state
        group.calls += 1
        group.states = dict(Counter(group.states) + Counter([state]))
        group.tries = max(group.tries, call.tries)
        group.error = call.error.strip().rpartition("\n")[2] or group.error
        if state in ("waiting", "running", "retrying"):
            group.note = call.note or group.note
            if call.silent_since is not None:
                group.silent_seconds = max(group.silent_seconds, (until - call.silent_since) / 1e6)
        group.inputs = list(dict.fromkeys([*group.inputs, *(calls[each].step for each in call.inputs)]))
        if call.started_at is not None:
            first, last = spans.get(id(group), (call.started_at, call.started_at))
            last = max(last, call.ended_at or until)
            spans[id(group)] = min(first, call.started_at), last
            group.seconds = (last - min(first, call.started_at)) / 1e6
    return top
