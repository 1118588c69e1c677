"""The process beside a worker: it keeps what the worker and its children print, and ends them all when the driver goes away.

It is a process and not a thread, since a step in C code may print while it lets no other thread run, and would wait for ever
for a thread that empties its pipe. It is forked before anything is imported, holds nothing open but what it needs, and outlives
the worker by a moment, so that what was printed last is kept when the worker is killed.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tidewheel.ports.printed import Mask, PrintedFile

_PIPE_BYTES = 1 << 20
_LAST_MILLISECONDS = 300


@dataclass(frozen=True, slots=True)
class Watcher:
    """The worker's side of it."""

    orders: int
    heard: int

    def begin(self, log: str, limit_bytes: int) -> None:
        """From now on keep what is printed in this file."""
        self._say({"log": log, "limit_bytes": limit_bytes})

    def hide(self, values: Sequence[str]) -> None:
        """Replace these in all that is printed from now on; they are known when this returns."""
        self._say({"hide": list(values)})
        os.read(self.heard, 1)

    def end(self) -> None:
        """Wait until all that this process has printed is in the file."""
        self._say({})
        os.read(self.heard, 1)

    def _say(self, order: object) -> None:
        data = json.dumps(order).encode() + b"\n"
        while data:
            data = data[os.write(self.orders, data) :]


def start_watcher(driver: int, answers: int) -> Watcher:
    """Fork it, and print to it from now on: stdout and stderr of this process and of its children are a pipe to it.

    Parameters
    ----------
    driver
        A pipe from the driver, which hangs up when that is gone. It is not read.
    answers
        The pipe to the driver. It is held open until all is kept, so that the driver can wait for that.
    """
    printed, print_to = os.pipe()
    with contextlib.suppress(OSError):  # more than this user may have
        fcntl.fcntl(print_to, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    orders, order_to = os.pipe()
    heard_by, heard = os.pipe()
    worker, group = os.pidfd_open(os.getpid()), os.getpgid(0)
    plain = os.dup(2)
    if os.fork() == 0:
        try:
            os.setsid()
            _close_others({driver, answers, printed, orders, heard, worker, plain})
            _Keeper(printed, orders, heard, plain).run(driver, worker, group)
        finally:
            os._exit(0)
    for number in (printed, orders, heard, worker, plain):
        os.close(number)
    os.dup2(print_to, 1)
    os.dup2(print_to, 2)
    os.close(print_to)
    made = Watcher(order_to, heard_by)
    _own.append(made)
    return made


_own: list[Watcher] = []
"""The one of this process, if it is a worker."""


def hide_printed(values: Sequence[str]) -> None:
    """Replace these in all that this process prints from now on, where it is a worker's."""
    for watcher in _own:
        watcher.hide(values)


def _close_others(kept: set[int]) -> None:
    for entry in Path("/proc/self/fd").iterdir():
        if int(entry.name) not in kept:
            with contextlib.suppress(OSError):  # that of the listing itself
                os.close(int(entry.name))


class _Keeper:
    def __init__(self, printed: int, orders: int, heard: int, plain: int) -> None:
        self._printed, self._orders, self._heard, self._plain = printed, orders, heard, plain
        os.set_blocking(printed, False)
        os.set_blocking(orders, False)
        self._waiting = b""
        self._file: PrintedFile | None = None
        self._busy = False
        self._mask = Mask()

    def run(self, driver: int, worker: int, group: int) -> None:
        """Until the driver or the worker is gone."""
        poller = select.poll()
        poller.register(driver, select.POLLHUP)
        for number in (worker, self._orders, self._printed):
            poller.register(number, select.POLLIN)
        while True:
            ready = dict(poller.poll())
            if driver in ready or worker in ready:
                break
            if self._orders in ready:
                self._obey()
            if self._printed in ready and not self._keep() and not ready[self._printed] & select.POLLIN:
                poller.unregister(self._printed)  # the worker has closed its stdout and stderr
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)
        last = select.poll()
        last.register(self._printed, select.POLLIN)
        while last.poll(_LAST_MILLISECONDS) and self._keep():
            pass
        self._write(self._mask.finish())

    def _obey(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self._orders, 1 << 16):
                self._waiting += data
        *lines, self._waiting = self._waiting.split(b"\n")
        for line in lines:
            order = json.loads(line)
            if "log" in order:
                self._let_go()
                self._file, self._busy = PrintedFile(Path(order["log"]), limit_bytes=order["limit_bytes"]), True
            elif "hide" in order:
                self._mask.add(value.encode(errors="surrogateescape") for value in order["hide"])
                os.write(self._heard, b".")
            else:
                # All of what the worker has printed is in the pipe by now, which holds no more than this.
                taken = 0
                while taken <= _PIPE_BYTES and (count := self._keep()):
                    taken += count
                self._write(self._mask.finish())
                self._busy = False
                os.write(self._heard, b".")

    def _keep(self) -> int:
        """Keep what is in the pipe, at most a piece; answers how much it was."""
        try:
            data = os.read(self._printed, 1 << 18)
        except BlockingIOError:
            return 0
        if not self._busy:
            # Between two jobs. When this is of the next one, its beginning was ordered before it was printed.
            self._obey()
        self._write(self._mask.feed(data))
        return len(data)

    def _write(self, data: bytes) -> None:
        if self._file is not None:
            self._file.write(data)
        else:
            with contextlib.suppress(OSError):
                os.write(self._plain, data)

    def _let_go(self) -> None:
        if self._file is not None:
            self._file.close()
