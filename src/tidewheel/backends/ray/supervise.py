"""What runs in Ray's own processes: one worker of ours each, watched, and a relay between it and the driver.

A job runs in a process group of its own, as on local workers, so that its end is known exactly, its time and memory can be
limited, and its children end with it. When Ray's process dies, the group sees its pipe close and ends itself.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import socket
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

import ray
from ray.exceptions import RayError

from tidewheel.backends.local.watch import Sight, Watch
from tidewheel.backends.local.worker import DONE, Died, Worker
from tidewheel.backends.ray.desk import Handle, Reference
from tidewheel.backends.ray.pack import unpack
from tidewheel.errors import TidewheelError
from tidewheel.ports.executor import JobSpec
from tidewheel.ports.printed import read_printed, remove_printed
from tidewheel.ports.relay import read_pieces, relay_url, write_pieces

_LOG_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class Order:
    """A job as it is told to a node.

    Parameters
    ----------
    owner
        The executor; its jobs on a node share copies of code and artifacts.
    job
        Its id.
    command
        What starts a worker. An empty first word is the node's Python.
    spec, environment, timeout_seconds, memory_bytes, log_bytes
        As in the job's specification.
    code
        Digest of the project's pack; empty when there is none.
    relayed
        Whether artifacts come through the relay.
    """

    owner: str
    job: str
    command: tuple[str, ...]
    spec: bytes
    environment: dict[str, str]
    timeout_seconds: float | None
    memory_bytes: int | None
    log_bytes: int
    code: str
    relayed: bool


def run_order(order: Order, code: Sequence[Reference], desk: Handle) -> tuple[str, bytes, int]:
    """Run one job; answer ``D`` or ``F``, its result or the reason of its failure, and how many bytes it has printed.

    Parameters
    ----------
    code
        The pack, by reference in a list, so that it travels only to nodes that have none yet.
    """
    return _site(order.owner).run(order, code, desk)


class Site:
    """One process of Ray's on its node: a folder that it shares with the node's others, a relay, and a warm worker."""

    def __init__(self, owner: str) -> None:
        home = Path(tempfile.gettempdir()) / f"tidewheel-ray-{os.getuid()}"
        home.mkdir(mode=0o700, exist_ok=True)
        _sweep(home)
        self._folder = home / owner
        self._hold = _hold(self._folder)
        self._relay = Relay(self._folder / f"{os.getpid()}.sock")
        self._worker: Worker | None = None
        self._key: tuple[object, ...] = ()

    def run(self, order: Order, code: Sequence[Reference], desk: Handle) -> tuple[str, bytes, int]:
        """Run one job."""
        usable = False
        try:
            fresh = self._ensure(order, code)
            worker = self._worker
            assert worker is not None
            log = Log(order, self._folder / f"{order.job}.log", desk)
            with self._relay.serving(order.job, desk):
                try:
                    answer, usable = self._ask(order, worker, log, fresh=fresh)
                finally:
                    if not usable:
                        worker.kill()
                    log.send(last=True)
                return *answer, log.sent
        except OSError as error:
            return "F", f"the worker could not be started: {error}".encode(), 0
        finally:
            # Cancelled jobs leave here by an exception, wherever they were.
            if not usable and self._worker is not None:
                self._worker.kill()
                self._worker = None

    def close(self) -> None:
        """End the worker and let go of the folder."""
        if self._worker is not None:
            self._worker.kill()
        self._relay.close()
        os.close(self._hold)

    def _ensure(self, order: Order, code: Sequence[Reference]) -> bool:
        """See that the worker for this code runs; whether it was just started."""
        key = (order.command, order.code, order.relayed)
        if self._worker is not None and (self._key != key or not self._worker.alive):
            self._worker.kill()
            self._worker = None
        if self._worker is not None:
            return False
        command = [order.command[0] or sys.executable, *order.command[1:]]
        root: Path | None = None
        if order.code:
            root = self._folder / order.code
            if not root.is_dir():
                unpack(cast(bytes, ray.get(code[0])), root)
            command += ["--root", str(root)]
        if order.relayed:
            command += ["--artifacts", relay_url(self._folder / "artifacts", self._relay.address)]
        log = self._folder / f"worker-{uuid.uuid4().hex[:12]}.log"
        self._worker = Worker(command, log, folder=root)
        self._key = key
        return True

    def _ask(self, order: Order, worker: Worker, log: Log, *, fresh: bool) -> tuple[tuple[str, bytes], bool]:
        seen = Watch(worker.pid, log.file)

        def watch() -> bool:
            log.send()
            log.see(seen.look())
            return False

        seconds = order.timeout_seconds
        try:
            if fresh:
                worker.start(log=log.file, stopped=watch)
            deadline = None if seconds is None else time.monotonic() + seconds
            job = JobSpec(order.spec, memory_bytes=order.memory_bytes, environment=order.environment, log_bytes=order.log_bytes)
            kind, answer = worker.ask(job, log=log.file, deadline=deadline, stopped=watch)
        except Died as error:
            return ("F", f"the worker died: {error}".encode()), False
        except TimeoutError:
            return ("F", f"the job ran longer than its limit of {seconds:g} s and was killed".encode()), False
        return ("D" if kind == DONE else "F", answer), True


class Log:
    """What a job prints, sent to the desk a few times a second: its beginning as it comes, the rest of what is kept at the end.

    So no more waits at the desk than is kept, however slow the driver is.
    """

    def __init__(self, order: Order, file: Path, desk: Handle) -> None:
        self.file = file
        self.sent = 0
        self._job, self._desk = order.job, desk
        self._live = order.log_bytes // 2
        self._sight: Sight | None = None
        self._at = time.monotonic()

    def see(self, sight: Sight) -> None:
        """Tell what is seen of the worker, when that is something new; the first time it says that the job runs."""
        if sight != self._sight:
            self._sight = sight
            self._desk.see.remote(self._job, sight.silent_seconds, sight.note)

    def send(self, *, last: bool = False) -> None:
        """Send what is new, if it is time to."""
        now = time.monotonic()
        if not last and now < self._at + _LOG_SECONDS:
            return
        self._at = now
        arrived: Reference = None
        while last or self.sent < self._live:
            begin, data = read_printed(self.file, self.sent)
            if not data or (begin > self.sent and not last):
                break
            if arrived is not None:
                ray.get(arrived)  # the desk need not take two in the order in which they were sent
            arrived = self._desk.print.remote(self._job, begin, data)
            self.sent = begin + len(data)
        if last and arrived is not None:
            ray.get(arrived)  # whoever sees the job's end sees all that it printed
            remove_printed(self.file)


class Relay:
    """Carries artifacts between workers of this process and the driver: see :mod:`tidewheel.ports.relay`."""

    def __init__(self, address: Path) -> None:
        self.address = address
        self._job = ""
        self._desk: Handle | None = None
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(address))
        self._listening.listen(64)
        threading.Thread(target=self._accept, name="tidewheel-relay", daemon=True).start()

    def serving(self, job: str, desk: Handle) -> Relay:
        """Answer for this job from now on."""
        self._job, self._desk = job, desk
        return self

    def __enter__(self) -> Relay:
        return self

    def __exit__(self, *_: object) -> None:
        self._desk = None

    def close(self) -> None:
        """Listen no more."""
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def _accept(self) -> None:
        while True:
            try:
                opened, _ = self._listening.accept()
            except OSError:
                return  # closed
            threading.Thread(target=self._answer, args=(opened, self._job, self._desk), daemon=True).start()

    def _answer(self, opened: socket.socket, job: str, desk: Handle | None) -> None:
        with opened, opened.makefile("rwb") as talk:
            question = json.loads(talk.readline() or b"{}")
            if desk is None or not question:
                return
            conversation = Conversation(job, question["do"], question["digest"], desk=desk)
            try:
                _CARRY[question["do"]](conversation, cast(BinaryIO, talk))
                talk.flush()
            except (RayError, TidewheelError, OSError) as error:  # the worker is told by the closed connection
                print(f"tidewheel relay: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
            finally:
                conversation.close()


class Conversation:
    """A question to the driver about one artifact."""

    def __init__(self, job: str, do: str, digest: str, *, desk: Handle) -> None:
        self._id = uuid.uuid4().hex
        self._desk = desk
        ray.get(desk.open.remote((self._id, job, do, digest)))

    def hear(self) -> object:
        """What the driver says next; ``None`` when it is gone."""
        return ray.get(self._desk.hear.remote(self._id, "down"))

    def say(self, message: object) -> bool:
        """Tell the driver; whether it still listens."""
        return bool(ray.get(self._desk.say.remote(self._id, "up", message)))

    def close(self) -> None:
        """End it."""
        self._desk.close.remote(self._id)


def _carry_has(driver: Conversation, talk: BinaryIO) -> None:
    talk.write(b"Y" if driver.hear() == "yes" else b"N")


def _carry_get(driver: Conversation, talk: BinaryIO) -> None:
    answer = driver.hear()
    if answer != "yes":
        talk.write(b"N" if answer == "no" else b"")
        return
    talk.write(b"Y")

    def pieces() -> Iterator[bytes]:
        while (message := driver.hear()) != "end":
            if message is None:
                raise ConnectionError("the driver is gone")
            yield cast(bytes, ray.get(cast("list[Reference]", message)[0]))

    write_pieces(talk, pieces())


def _carry_put(driver: Conversation, talk: BinaryIO) -> None:
    answer = driver.hear()
    if answer != "yes":
        talk.write(b"N" if answer == "no" else b"")
        return
    talk.write(b"Y")
    talk.flush()
    for piece in read_pieces(talk):
        if not driver.say([ray.put(piece)]):
            return
    driver.say("end")
    if driver.hear() == "stored":
        talk.write(b"Y")


_CARRY: dict[str, Callable[[Conversation, BinaryIO], None]] = {"has": _carry_has, "get": _carry_get, "put": _carry_put}


_sites: dict[str, Site] = {}
"""The one that this process serves: Ray calls a function again and again in one process, which is what keeps a worker warm."""


def _site(owner: str) -> Site:
    if owner not in _sites:
        while _sites:  # another executor of the same driver, closed by now
            _sites.popitem()[1].close()
        _sites[owner] = Site(owner)
    return _sites[owner]


def _hold(folder: Path) -> int:
    """Make a folder, and hold it for as long as this process lives, however it ends: what nobody holds is swept away."""
    while True:
        folder.mkdir(exist_ok=True)
        number = os.open(folder, os.O_RDONLY)
        fcntl.flock(number, fcntl.LOCK_SH)
        if os.fstat(number).st_nlink:  # not swept away in between
            return number
        os.close(number)


def _sweep(home: Path) -> None:
    """Remove folders of executors that are gone."""
    for folder in home.iterdir():
        try:
            number = os.open(folder, os.O_RDONLY)
        except OSError:
            continue
        try:
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        except OSError:
            continue  # in use
        finally:
            os.close(number)
