"""Start helping processes of this command, tied to it by a pipe: they end when it does, however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

_END_SECONDS = 30.0


@contextmanager
def helpers(arguments: Sequence[str], *, count: int = 1, quiet: bool = True) -> Iterator[Callable[[], None]]:
    """Hand out a function that starts ``count`` times ``tidewheel ARGUMENTS --tethered``; what it started ends with the block.

    Parameters
    ----------
    quiet
        Drop what they say on stderr; what they say on stdout is dropped always.
    """
    started: list[subprocess.Popen[bytes]] = []

    def start() -> None:
        command = [sys.executable, "-m", "tidewheel", *arguments, "--tethered"]
        started.extend(
            subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL if quiet else None,
                process_group=0,  # Ctrl-C is for who started it, and lets go: told twice, it hung at its end
            )
            for _ in range(count)
        )

    try:
        yield start
    finally:
        for process in started:
            assert process.stdin is not None
            process.stdin.close()
        for process in started:
            try:
                process.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def watch_tether() -> None:
    """In a helping process: be interrupted, as by Ctrl-C, when the process that started this one is gone."""

    def watch() -> None:
        while os.read(0, 1):  # not by sys.stdin, whose lock would be held when the interpreter ends
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="tidewheel-tether", daemon=True).start()
