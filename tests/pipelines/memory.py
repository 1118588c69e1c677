"""How much memory processes of this machine hold, and have held at most."""

from __future__ import annotations

from pathlib import Path


def held_bytes(pid: int | str = "self") -> int:
    """What a process holds now."""
    return _status(pid, "VmRSS:")


def peak_bytes(pid: int | str = "self") -> int:
    """The most that a process has held, since :func:`reset_peak` for this one."""
    return _status(pid, "VmHWM:")


def reset_peak() -> None:
    """Let the peak of this process be what it holds now."""
    Path("/proc/self/clear_refs").write_text("5")


def _status(pid: int | str, name: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith(name))
