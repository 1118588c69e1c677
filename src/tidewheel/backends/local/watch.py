"""Look at the processes of a job from outside: whether they work, are silent, or stand still."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

_PAGE = os.sysconf("SC_PAGE_SIZE")
_LOOK_SECONDS = 1.0

SILENT_SECONDS = 3.0
"""A job that has used no processor and printed nothing for so long is said to be silent."""
STOPPED = "its process is stopped (SIGSTOP)"


@dataclass(frozen=True, slots=True)
class Sight:
    """For how long a job has used no processor and printed nothing, 0 when it is not silent; and what else is seen of it."""

    silent_seconds: float = 0.0
    note: str = ""


class Watch:
    """Tells long work from silence, whatever the job is at: a heartbeat from within would go on while the job waits for ever.

    Parameters
    ----------
    group
        The job's process group.
    log
        The file that it prints to.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.NamedTemporaryFile() as log:
    ...     Watch(os.getpgid(0), Path(log.name)).look()
    Sight(silent_seconds=0.0, note='')
    """

    def __init__(self, group: int, log: Path) -> None:
        self._group, self._log = group, log
        self._looked_at = self._moved_at = time.monotonic()
        self._seen: tuple[int, int] | None = None
        self._sight = Sight()

    def look(self) -> Sight:
        """How it is now, at most a second ago."""
        now = time.monotonic()
        if now - self._looked_at < _LOOK_SECONDS:
            return self._sight
        self._looked_at = now
        ticks, stopped = group_work(self._group)
        seen = ticks, self._log.stat().st_size if self._log.exists() else 0
        if seen != self._seen:
            self._seen, self._moved_at = seen, now
        silent = now - self._moved_at
        self._sight = Sight(silent, STOPPED if stopped else "") if stopped or silent >= SILENT_SECONDS else Sight()
        return self._sight


def group_work(group: int) -> tuple[int, bool]:
    """Processor time of a process group, in ticks, and whether its first process is stopped."""
    ticks, stopped = 0, False
    for fields, number in _members(group):
        ticks += int(fields[11]) + int(fields[12])
        stopped = stopped or (number == group and fields[0] in "Tt")
    return ticks, stopped


def group_memory(group: int, *, exact: bool = False) -> int:
    """Bytes of memory that a process group holds.

    Parameters
    ----------
    group
        Number of the group, which is that of its first process.
    exact
        Share out what processes share, which takes time; otherwise it counts for each.

    Examples
    --------
    >>> group_memory(os.getpgid(0)) > 1_000_000
    True
    """
    held = 0
    for fields, number in _members(group):
        if not exact:
            held += int(fields[21]) * _PAGE
            continue
        try:
            rollup = Path(f"/proc/{number}/smaps_rollup").read_text()
        except OSError:
            continue  # it has ended meanwhile
        held += next((int(line.split()[1]) << 10 for line in rollup.splitlines() if line.startswith("Pss:")), 0)
    return held


def _members(group: int) -> list[tuple[list[str], int]]:
    """What the system tells of each process of a group, from its state on, and its number."""
    found = []
    for entry in os.scandir("/proc") if Path("/proc/self/stat").exists() else ():
        if not entry.name.isdigit():
            continue
        try:
            fields = Path(entry.path, "stat").read_text(errors="replace").rpartition(")")[2].split()
        except OSError:
            continue  # it has ended meanwhile
        if int(fields[2]) == group:
            found.append((fields, int(entry.name)))
    return found
