"""Look at the machine and this process: who runs, where, with what installed."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import sys
from collections.abc import Mapping
from functools import cache, lru_cache
from importlib import metadata
from pathlib import Path

from tidewheel.runs.definition import Process

_NAME_OR_VERSION = re.compile(r"^(Name|Version):[ \t]*(\S+)", re.MULTILINE)


def observe_process(pid: int | None = None) -> Process | None:
    """A process on this machine, this one by default; ``None`` when it does not run (a zombie no longer does)."""
    pid = os.getpid() if pid is None else pid
    started = _start_of(pid)
    if started is None:
        return None
    return Process(host=platform.node(), boot=_boot(), pid=pid, started=started)


def is_alive(process: Process) -> bool | None:
    """Whether a process still runs; ``None`` when it cannot be seen from here (another machine or container)."""
    if (process.host, process.boot) != (platform.node(), _boot()):
        return None
    return observe_process(process.pid) == process


def is_stopped(process: Process) -> bool:
    """Whether a process that can be seen from here stands still, by SIGSTOP or Ctrl-Z: it runs, and gives no sign of life."""
    if is_alive(process) is not True:
        return False
    try:
        return Path(f"/proc/{process.pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[0] in "Tt"
    except OSError:  # it has ended meanwhile, or there is no /proc
        return False


def observe_environment() -> dict[str, str]:
    """Every installed distribution with its version, by normalised name."""
    return dict(_installed(tuple((place, _changed(place)) for place in sys.path)))


@lru_cache(maxsize=4)
def _installed(places: tuple[tuple[str, int], ...]) -> Mapping[str, str]:
    """Looked up once for the folders as they are: an installation changes the folder that it installs into."""
    del places
    found: dict[str, str] = {}
    for distribution in metadata.distributions():
        text = distribution.read_text("METADATA") or distribution.read_text("PKG-INFO") or ""
        told = dict(_NAME_OR_VERSION.findall(text.partition("\n\n")[0]))  # email's parser takes 50 times as long
        if "Name" in told and "Version" in told:  # a half-removed package has none
            found.setdefault(told["Name"].lower().replace("_", "-"), told["Version"])
    return dict(sorted(found.items()))


def _changed(place: str) -> int:
    try:
        return Path(place or ".").stat().st_mtime_ns
    except OSError:
        return 0


def observe_facts() -> dict[str, str]:
    """The machine: processors, memory, Python, operating system."""
    facts = {
        "cpus": str(_cpus()),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "host": platform.node(),
        "pid": str(os.getpid()),
    }
    with contextlib.suppress(ValueError, OSError):  # not known on every system
        facts["memory_bytes"] = str(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    return facts


def observe_usage() -> Mapping[str, str]:
    """What this process and its finished children have used so far."""
    try:
        import resource
    except ImportError:  # Windows
        return {}
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    unit = 1 if platform.system() == "Darwin" else 1024
    seconds = own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime
    return {"cpu_seconds": f"{seconds:.3f}", "peak_memory_bytes": str(max(own.ru_maxrss, children.ru_maxrss) * unit)}


def _cpus() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _start_of(pid: int) -> int | None:
    if Path("/proc/self/stat").exists():
        try:
            # After the name in parentheses, which may itself hold spaces and parentheses: state is field 3, start time
            # field 22.
            rest = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            return None
        return None if rest[0] in "ZX" else int(rest[19])
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        return 0
    return 0


@cache
def _boot() -> str:
    parts = []
    try:
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip())
        parts.append(str(Path("/proc/self/ns/pid").readlink()))
    except OSError:  # no /proc: then the host's name alone has to do
        pass
    return " ".join(parts)


def observe_numerics() -> dict[str, str]:
    """What makes the same arithmetic come out otherwise: the model of the processor, BLAS, how many threads may work."""
    import numpy as np

    told: dict[str, str] = {"machine": platform.machine()}
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        told["cpu"] = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    built = np.show_config(mode="dicts")
    if isinstance(built, dict):
        blas = built.get("Build Dependencies", {}).get("blas", {})
        told["blas"] = f"{blas.get('name', '')} {blas.get('version', '')}".strip()
    return told | {"threads": str(_cpus())}


def find_local() -> dict[str, metadata.Distribution]:
    """Installed distributions that come from a folder and not from an index, by normalised name."""
    found: dict[str, metadata.Distribution] = {}
    for distribution in metadata.distributions():
        if "dir_info" in (distribution.read_text("direct_url.json") or ""):
            found.setdefault(str(distribution.metadata["Name"]).lower().replace("_", "-"), distribution)
    return found
