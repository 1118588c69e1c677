"""The desk: an actor through which a driver and its jobs on other nodes talk, for Ray lets no task call a driver."""

from __future__ import annotations

import asyncio
from typing import Any, Literal

import ray

Handle = Any
"""The desk as others see it. Ray makes methods at run time, which no type can tell."""

Reference = Any
"""A Ray object by reference."""

Side = Literal["up", "down"]
"""``up`` is to the driver, ``down`` is to the job."""

Talk = tuple[str, str, str, str]
"""Id, job, what is wanted (``get``, ``put`` or ``has``) and digest of a conversation."""

Sighting = tuple[float, str]
"""For how many seconds a job is silent, and what else is seen of its process."""

Printed = tuple[str, int, bytes]
"""Job, place in the whole, and bytes."""

_AHEAD = 4
"""Messages of one conversation that may wait at the desk, so that nobody is sent more than is read."""


class Desk:
    """Conversations between jobs and their driver, and what jobs print.

    Its messages are small: pieces of artifacts are references to Ray objects, which travel between nodes by themselves.
    """

    def __init__(self) -> None:
        self._opened: asyncio.Queue[Talk] = asyncio.Queue()
        self._queues: dict[tuple[str, Side], asyncio.Queue[object]] = {}
        self._jobs: dict[str, str] = {}
        self._seen: dict[str, Sighting] = {}
        self._printed: list[Printed] = []

    async def open(self, talk: Talk) -> None:
        """Begin a conversation: what a job does."""
        for side in ("up", "down"):
            self._queues[talk[0], side] = asyncio.Queue(_AHEAD)
        self._jobs[talk[0]] = talk[1]
        await self._opened.put(talk)

    async def next(self, seconds: float) -> list[Talk]:
        """Conversations that jobs have begun; waits for one: what the driver does all the time."""
        found: list[Talk] = []
        try:
            found.append(await asyncio.wait_for(self._opened.get(), seconds))
        except TimeoutError:
            return found
        while not self._opened.empty():
            found.append(self._opened.get_nowait())
        return found

    async def say(self, talk: str, side: Side, message: object) -> bool:
        """Add a message, when there is room; answers whether the other one still listens."""
        queue = self._queues.get((talk, side))
        if queue is None:
            return False
        await queue.put(message)
        return (talk, side) in self._queues

    async def hear(self, talk: str, side: Side) -> object:
        """The next message; ``None`` when the other one is gone."""
        queue = self._queues.get((talk, side))
        return None if queue is None else await queue.get()

    async def close(self, talk: str) -> None:
        """End a conversation. Whoever still waits in it is told."""
        self._jobs.pop(talk, None)
        for side in ("up", "down"):
            queue = self._queues.pop((talk, side), None)
            if queue is not None:
                while not queue.empty():
                    queue.get_nowait()
                queue.put_nowait(None)

    async def finish(self, job: str) -> None:
        """End all conversations of a job that has come to an end, killed perhaps."""
        self._seen.pop(job, None)
        for talk in [talk for talk, whose in self._jobs.items() if whose == job]:
            await self.close(talk)

    async def print(self, job: str, start: int, data: bytes) -> None:
        """Keep what a job has printed, from some place of the whole on, until the driver takes it."""
        self._printed.append((job, start, data))

    async def see(self, job: str, silent_seconds: float, note: str) -> None:
        """What a job's process looks like on its node, told again while it is silent."""
        self._seen[job] = (silent_seconds, note)

    async def seen(self) -> dict[str, Sighting]:
        """What was told of each job that is at work."""
        return self._seen

    async def take_printed(self) -> list[Printed]:
        """What jobs have printed since this was asked for last."""
        taken, self._printed = self._printed, []
        return taken


def open_desk() -> Handle:
    """Start a desk; it ends with this driver."""
    return ray.remote(Desk).options(num_cpus=0, max_concurrency=1_000).remote()
