"""A process without threads that forks one for each run: a fork of one that has threads may wait for a lock for ever.

Reads lines of JSON, ``[folder, cached]``, and answers one of ``[value, ran]`` each, or ``null`` for a run that failed.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
from pathlib import Path

from tidewheel.artifacts.store import ArtifactStore
from tidewheel.clock import system_clock
from tidewheel.database.open import Database
from tidewheel.fingerprint.walk import Fingerprinter
from tidewheel.ledger.record import Ledger
from tidewheel.pipelines.definition import Step, step
from tidewheel.pipelines.execute import Session

_LONGEST_SECONDS = 120


def run(root: Path, cached: bool) -> str:
    """Value of the step in a process of its own, and whether it ran."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        code = 1
        signal.alarm(_LONGEST_SECONDS)
        try:
            answer = json.dumps(_child(root, cached))
            with os.fdopen(write, "w") as pipe:
                pipe.write(answer)
            code = 0
        finally:
            os._exit(code)
    os.close(write)
    with os.fdopen(read) as pipe:
        text = pipe.read()
    _, status = os.waitpid(child, 0)
    return text if status == 0 else "null"


def _child(root: Path, cached: bool) -> list[object]:
    import traceback

    sys.dont_write_bytecode = True
    os.chdir(root)
    sys.path.insert(0, str(root))
    importlib.invalidate_caches()
    try:
        run = importlib.import_module("steps").run
        if not cached:
            return [repr(run()), True]
        told: list[str] = []
        session = Session(
            Ledger(Database.open(f"sqlite:///{root}/.tidewheel/ledger.db"), system_clock),
            ArtifactStore.open(f"file://{root}/.tidewheel/artifacts"),
            fingerprinter=Fingerprinter(root),
            actor="ann",
            progress=lambda what, done, of: told.append(what),
        )
        made = run if isinstance(run, Step) else step(run)
        with session.active():
            value = made()
        return [repr(value), not any(line.endswith("known") for line in told)]
    except BaseException:
        traceback.print_exc()
        raise


def main() -> None:
    """Serve until stdin closes."""
    for line in sys.stdin:
        folder, cached = json.loads(line)
        print(run(Path(folder), cached), flush=True)


if __name__ == "__main__":
    main()
