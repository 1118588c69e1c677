"""Environments of peers: other packages, measured beside ours in the same run, never installed into our own environment.

An environment is made on demand with ``venv`` and ``pip`` in the user's cache folder, once per set of requirements, and reused.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

FEAST = ("feast[duckdb,redis]==0.67.*",)


def cache_folder() -> Path:
    """Where environments are kept: ``$XDG_CACHE_HOME/tidewheel-benchmarks``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tidewheel-benchmarks"


def environment_folder(name: str, requirements: Sequence[str]) -> Path:
    """Where the environment of a peer is, once :func:`ensure_environment` made it: then a file ``ready`` lies in it."""
    stamp = hashlib.sha256("\n".join([sys.version, *requirements]).encode()).hexdigest()[:12]
    return cache_folder() / f"{name}-{stamp}"


def ensure_environment(name: str, requirements: Sequence[str]) -> Path | None:
    """The Python of a peer's environment, made when it is not there; ``None``, said on stderr, when it cannot be installed."""
    folder = environment_folder(name, requirements)
    python, ready = folder / "bin" / "python", folder / "ready"
    if ready.exists():
        return python
    print(f"installing {', '.join(requirements)} into {folder}", file=sys.stderr)
    steps = (
        [sys.executable, "-m", "venv", "--clear", str(folder)],
        [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *requirements],
    )
    for step in steps:
        done = subprocess.run(step, check=False, capture_output=True, text=True)
        if done.returncode:
            print(f"{name} is left out: {' '.join(step)} failed\n{done.stderr[-2_000:]}", file=sys.stderr)
            return None
    ready.touch()
    return python
