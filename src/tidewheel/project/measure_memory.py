"""How much memory there is: the machine's, or what a container leaves of it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_UNKNOWN = 4 << 30
"""What is assumed where no limit can be read."""


def measure_memory(root: Path = Path("/")) -> int:
    """Bytes of memory that this process may use: of the machine, or less where its control group (a container) says so.

    Parameters
    ----------
    root
        Where ``proc`` and ``sys`` are.

    Examples
    --------
    >>> measure_memory() > 0
    True
    """
    limits = list(_group_limits(root))
    with suppress(AttributeError, ValueError, OSError):  # not every system tells
        limits.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    return min(limits, default=_UNKNOWN)


def _group_limits(root: Path) -> Iterator[int]:
    """Limits of the control group and of those around it, in both versions of control groups."""
    mounted = root / "sys/fs/cgroup"
    for line in _lines(root / "proc/self/cgroup"):
        _, controllers, place = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        base, name = (mounted / "memory", "memory.limit_in_bytes") if controllers else (mounted, "memory.max")
        group = base / place.strip("/")
        for folder in (group, *group.parents):
            if folder.is_relative_to(base):
                yield from (int(text) for text in _lines(folder / name) if text.isdigit())


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []
