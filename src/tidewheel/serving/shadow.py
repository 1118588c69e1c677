"""Shadow answers: computed on what capacity is left, never on the caller's path, dropped first."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import BoundedSemaphore


class Shadows:
    """One background thread with a short queue."""

    def __init__(self, *, waiting: int = 64) -> None:
        self._room = BoundedSemaphore(waiting)
        self._thread: ThreadPoolExecutor | None = None
        self._closed = False

    def submit(self, task: Callable[[], None]) -> bool:
        """Run a task later; ``False`` when there is no room and it is dropped."""
        if self._closed or not self._room.acquire(blocking=False):
            return False
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="tidewheel-shadow")
        self._thread.submit(task).add_done_callback(lambda _: self._room.release())
        return True

    def close(self) -> None:
        """Finish what is queued; idempotent."""
        self._closed = True
        if self._thread is not None:
            self._thread.shutdown(wait=True)
