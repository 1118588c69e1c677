"""Serve jobs on a worker process, one after the other, until whoever started it goes away."""

from __future__ import annotations

import json
import os
import queue
import select
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import BinaryIO

_LENGTH = 8
READY = b"R"
"""First byte of all, so that starting Python is not counted as a job's time."""


def serve(incoming: BinaryIO, outgoing: BinaryIO, run: Callable[[bytes], bytes]) -> int:
    """Answer framed jobs; see ``backends/local/worker.py`` for the frames.

    What a job prints must not run into the answers, so stdout is pointed at stderr first, which the executor keeps as the
    job's log. When the input closes, this process and its children end, also in the middle of a job.

    Returns
    -------
    The exit code.
    """
    _guard(incoming.fileno())
    answers = os.fdopen(os.dup(outgoing.fileno()), "wb", buffering=0)
    frames = os.fdopen(os.dup(incoming.fileno()), "rb")
    if outgoing.fileno() == 1:
        os.dup2(2, 1)
    if incoming.fileno() == 0:
        empty = os.open(os.devnull, os.O_RDONLY)
        os.dup2(empty, 0)
        os.close(empty)
    sys.stdout = os.fdopen(os.dup(2), "w", buffering=1, errors="replace")
    jobs: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_receive, args=(frames, jobs), daemon=True).start()
    answers.write(READY)
    while True:
        line, _, spec = jobs.get().partition(b"\n")
        with variables(json.loads(line)):
            answer = _answer(spec, run)
        sys.stdout.flush()
        sys.stderr.flush()
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
        traceback.print_exc()
        return b"F" + f"{type(error).__name__}: {error}".encode(errors="replace")


def _guard(number: int) -> None:
    """Start a process that ends this whole group when the input closes, even while this process is stuck in C code.

    It looks at the pipe without reading from it, and holds nothing else open, so that this process's own end is seen.
    """
    if os.fork() != 0:
        return
    kept = os.dup2(number, 0)
    os.closerange(1, 4096)
    hang_up = select.poll()
    hang_up.register(kept, select.POLLHUP)
    while True:
        if any(events & (select.POLLHUP | select.POLLERR) for _, events in hang_up.poll()):
            os.killpg(0, signal.SIGKILL)


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
