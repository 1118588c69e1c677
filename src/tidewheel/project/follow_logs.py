"""Read what the steps of a run have printed, line by line, while it is at work too."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tidewheel.errors import NotFound, near_miss
from tidewheel.pipelines.calls import read_calls
from tidewheel.ports.printed import cut_line, read_printed
from tidewheel.project.open import Workspace
from tidewheel.runs.definition import RunRecord, RunStatus
from tidewheel.runs.logs import StepLog

_LOOK_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class WantedLogs:
    """Which lines.

    Parameters
    ----------
    tail
        The last lines of each try; all when there is no number.
    """

    step: str | None = None
    attempt: int | None = None
    tail: int | None = None


@dataclass(frozen=True, slots=True)
class PrintedLine:
    """A line, and who printed it."""

    step: str
    call: int
    attempt: int
    label: str
    line: str


def read_logs(workspace: Workspace, run: RunRecord, wanted: WantedLogs, *, follow: bool = False) -> Iterator[PrintedLine]:
    """Lines by call and try; then, following, the new ones as they come, until the run has ended.

    Raises
    ------
    NotFound
        When the run has no step of that name.
    """
    places: dict[Path, int] = {}
    rests: dict[Path, bytes] = {}
    while True:
        # Looked at before the files are: what a run printed before its end is read after it.
        ended = not follow or workspace.runs.get(run.id).status is not RunStatus.RUNNING
        called = Counter(call.step for call in read_calls(workspace.database, run.id))
        logs = workspace.runs.printed(run.id)
        known = {*called, *(log.step for log in logs)}  # a run that was killed at once has not written down its calls
        if wanted.step is not None and known and wanted.step not in known and ended:
            raise NotFound(
                f"run {run.id} has called no step {wanted.step!r}", where=wanted.step, fix=near_miss(wanted.step, known)
            )
        logs = [each for each in logs if wanted.step in (None, each.step) and wanted.attempt in (None, each.attempt)]
        for log in logs:
            label = _label(log, many=called[log.step] > 1)
            if log.path not in places and wanted.tail is not None:
                yield from (_line(log, label, line) for line in log.text(wanted.tail).splitlines())
                places[log.path] = _end(log.path)
                continue
            yield from _new_lines(log, label, places, rests)
        if ended:
            for log in logs:
                rest = rests.pop(log.path, b"")
                if rest:
                    yield _line(log, _label(log, many=called[log.step] > 1), rest.decode(errors="replace"))
            return
        time.sleep(_LOOK_SECONDS)


def _new_lines(log: StepLog, label: str, places: dict[Path, int], rests: dict[Path, bytes]) -> Iterator[PrintedLine]:
    while True:
        place = places.get(log.path, 0)
        begin, data = read_printed(log.path, place)
        if not data:
            return
        if begin > place:
            yield _line(log, label, cut_line(begin - place).strip())
        places[log.path] = begin + len(data)
        *lines, rests[log.path] = (rests.get(log.path, b"") + data).split(b"\n")
        yield from (_line(log, label, line.decode(errors="replace")) for line in lines)


def _end(path: Path) -> int:
    place = 0
    while True:
        begin, data = read_printed(path, place)
        if not data:
            return place
        place = begin + len(data)


def _label(log: StepLog, *, many: bool) -> str:
    return log.step + (f"#{log.call}" if many else "") + (f" try {log.attempt}" if log.attempt > 1 else "")


def _line(log: StepLog, label: str, line: str) -> PrintedLine:
    return PrintedLine(log.step, log.call, log.attempt, label, line.rstrip("\r"))
