"""Call a transform row by row in other processes: pieces of its inputs go out as Arrow, columns come back.

The processes import the transform by its name, from where this one did. They are started on their own, not forked: this
process has threads of the engine's, and a script that has no guard for its entry would be run again.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import marshal
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from queue import SimpleQueue
from typing import IO

import pyarrow as pa

from tidewheel.errors import Invalid
from tidewheel.features.ahead import ahead
from tidewheel.features.definition import Transform
from tidewheel.features.transform import Computed

_MOST = 32


class Workers:
    """Processes that call one transform; closing ends them."""

    def __init__(self, transform: Transform, processes: list[subprocess.Popen[bytes]]) -> None:
        self._transform = transform
        self._processes = processes
        self._free: SimpleQueue[subprocess.Popen[bytes]] = SimpleQueue()
        for one in processes:
            self._free.put(one)
        self._threads = ThreadPoolExecutor(len(processes))

    def run(
        self, columns: Mapping[str, pa.Array], rows: int, *, piece: int, first: int = 0
    ) -> Iterator[tuple[pa.Array, Computed]]:
        """The transform's column, a piece of the rows after the other, and what failed in it.

        Raises
        ------
        Invalid
            Under ``on_error="raise"``, for the first row that fails; and when a process has ended, which a function can cause
            that leaves Python or takes all memory.
        """
        table = pa.table(dict(columns))

        def call(start: int) -> tuple[pa.Array, Computed]:
            return self._call(table.slice(start, piece), first + start)

        yield from ahead(self._threads, call, range(0, rows, piece), depth=2 * len(self._processes))

    def _call(self, table: pa.Table, first: int) -> tuple[pa.Array, Computed]:
        worker = self._free.get()
        try:
            assert worker.stdin is not None and worker.stdout is not None
            send(worker.stdin, {"first": first}, table)
            head, answer = receive(worker.stdout)
        except (EOFError, OSError) as error:
            what = f"transform {self._transform.name} has ended its process, on a row from {first} to {first + len(table) - 1}"
            fix = "let it raise an error where it cannot go on, and hold less memory"
            raise Invalid(what, where=self._transform.name, fix=fix) from error
        finally:
            self._free.put(worker)
        if head.get("raised"):
            raise Invalid(str(head["raised"]), where=self._transform.name, fix="mend it")
        told = head["first_error"]
        return answer.column(0).combine_chunks(), Computed([], int(str(head["errors"])), None if told is None else str(told))

    def close(self) -> None:
        """End the processes; idempotent."""
        self._threads.shutdown(cancel_futures=True)
        for one in self._processes:
            for pipe in (one.stdin, one.stdout):
                if pipe is not None:
                    with suppress(OSError):  # of one that has ended, what was not sent yet
                        pipe.close()
            one.wait()


def open_workers(transform: Transform) -> Workers | None:
    """A process for each core; ``None`` where there is one core, or where they could not import the same function."""
    count = min(len(os.sched_getaffinity(0)), _MOST)
    name = _name_of(transform)
    if count < 2 or name is None:
        return None
    asked = json.dumps({"path": sys.path, "module": name[0], "name": name[1], "code": code_of(transform)})
    command = [sys.executable, "-m", "tidewheel.features.row_worker", asked]
    processes = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(count)]
    workers = Workers(transform, processes)
    ready = [one.stdout is not None and one.stdout.read(1) == b"+" for one in processes]
    if all(ready):
        return workers
    workers.close()
    return None


def _name_of(transform: Transform) -> tuple[str, str] | None:
    """Module and name by which another process finds this transform."""
    module, name = transform.function.__module__, transform.function.__qualname__
    held = sys.modules.get(module)
    return (module, name) if module != "__main__" and getattr(held, name, None) is transform else None


def find_transform(module: str, name: str) -> Transform | None:
    """The transform of a module; ``None`` where there is none.

    Examples
    --------
    >>> find_transform("json", "loads") is None
    True
    """
    found = getattr(importlib.import_module(module), name, None)
    return found if isinstance(found, Transform) else None


def code_of(transform: Transform) -> str:
    """A digest of a transform's own code, to tell whether a file has changed since it was loaded.

    Examples
    --------
    >>> from tidewheel.features.definition import on_request
    >>> @on_request
    ... def halves(items: int) -> int:
    ...     return items // 2
    >>> len(code_of(halves))
    64
    """
    return hashlib.sha256(marshal.dumps(transform.function.__code__)).hexdigest()


def send(pipe: IO[bytes], head: Mapping[str, object], table: pa.Table) -> None:
    """Write a message: a head, and a table.

    Examples
    --------
    >>> import io
    >>> pipe = io.BytesIO()
    >>> send(pipe, {"first": 0}, pa.table({"a": [1]}))
    >>> _ = pipe.seek(0)
    >>> receive(pipe)[1].to_pydict()
    {'a': [1]}
    """
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    body, text = sink.getvalue(), json.dumps(head).encode()
    pipe.write(len(text).to_bytes(8, "little") + len(body).to_bytes(8, "little") + text)
    pipe.write(body)
    pipe.flush()


def receive(pipe: IO[bytes]) -> tuple[dict[str, object], pa.Table]:
    """Read what :func:`send` wrote.

    Raises
    ------
    EOFError
        When the other side has gone.

    Examples
    --------
    >>> import io
    >>> receive(io.BytesIO(b""))
    Traceback (most recent call last):
    EOFError: the other process has gone
    """
    sizes = pipe.read(16)
    if len(sizes) < 16:
        raise EOFError("the other process has gone")
    head: dict[str, object] = json.loads(pipe.read(int.from_bytes(sizes[:8], "little")))
    with pa.ipc.open_stream(pipe.read(int.from_bytes(sizes[8:], "little"))) as reader:
        return head, reader.read_all()
