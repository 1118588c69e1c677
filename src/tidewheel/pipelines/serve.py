"""Serve jobs on a worker process, one after the other, until whoever started it goes away."""

from __future__ import annotations

import io
import json
import os
import queue
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import BinaryIO, cast

from tidewheel.pipelines.secrets import HiddenFailure, tell_failure
from tidewheel.pipelines.watch_worker import start_watcher

_LENGTH = 8
READY = b"R"
"""First byte of all, so that starting Python is not counted as a job's time."""


def serve(incoming: BinaryIO, outgoing: BinaryIO, run: Callable[[bytes], bytes]) -> int:
    """Answer framed jobs; see ``backends/local/worker.py`` for the frames.

    What a job prints must not run into the answers: stdout and stderr go to a process beside this one, which keeps them in the
    file that the request names. When the input closes, this process and its children end, also in the middle of a job.

    Returns
    -------
    The exit code.
    """
    answers = os.fdopen(os.dup(outgoing.fileno()), "wb", buffering=0)
    frames = os.fdopen(os.dup(incoming.fileno()), "rb")
    watcher = start_watcher(frames.fileno(), answers.fileno())
    if incoming.fileno() == 0:
        empty = os.open(os.devnull, os.O_RDONLY)
        os.dup2(empty, 0)
        os.close(empty)
    # Nothing waits in this process: what was printed before a kill -9 is kept.
    raw = os.fdopen(os.dup(2), "wb", buffering=0)
    sys.stdout = sys.stderr = io.TextIOWrapper(cast(BinaryIO, raw), errors="backslashreplace", write_through=True)
    jobs: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_receive, args=(frames, jobs), daemon=True).start()
    answers.write(READY)
    while True:
        line, _, spec = jobs.get().partition(b"\n")
        told = json.loads(line)
        watcher.begin(told["log"], told["log_bytes"])
        with variables(told["environment"]):
            answer = _answer(spec, run)
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):  # a step may have closed it
                stream.flush()
        watcher.end()
        data = len(answer).to_bytes(_LENGTH, "big") + answer
        while data:
            data = data[answers.write(data) :]


def _receive(frames: BinaryIO, jobs: queue.SimpleQueue[bytes]) -> None:
    while True:
        head = frames.read(_LENGTH)
        body = frames.read(int.from_bytes(head, "big")) if len(head) == _LENGTH else b""
        if not body:
            # Whoever started this worker is gone or has closed the pipe: nothing of it may stay behind.
            os.killpg(0, signal.SIGKILL)
        jobs.put(body)


def _answer(spec: bytes, run: Callable[[bytes], bytes]) -> bytes:
    try:
        return b"D" + run(spec)
    except BaseException as error:  # noqa: BLE001 - a worker's edge: whatever a job raises, sys.exit included, is its answer
        if not isinstance(error, HiddenFailure):  # that one has printed where it stopped, without the secrets
            traceback.print_exc()
        return b"F" + tell_failure(error).encode(errors="replace")


@contextmanager
def variables(given: Mapping[str, str]) -> Iterator[None]:
    """A job's own environment variables, for as long as the block: the one place below project/ that sets any.

    Examples
    --------
    >>> with variables({"TIDEWHEEL_EXAMPLE": "1"}):
    ...     os.environ["TIDEWHEEL_EXAMPLE"]
    '1'
    """
    before = {name: os.environ.get(name) for name in given}
    os.environ.update(given)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
