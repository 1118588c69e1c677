"""Run the server: sockets, signals, the announcement of the port, and the drain."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator

from tidewheel.errors import Unavailable
from tidewheel.web.application import Application
from tidewheel.web.converse import Connection, Connections
from tidewheel.web.run import Runner

REFRESH_SECONDS = 0.5
TICK_SECONDS = 1.0


def serve(
    app: Application,
    *,
    host: str = "127.0.0.1",
    port: int = 8080,
    announce: Callable[[str], None],
    drain_seconds: int = 30,
    worker: bool = False,
) -> None:
    """Serve until SIGTERM or SIGINT; then finish what was begun and return.

    A signal closes the listening socket, lets the requests that run finish for at most ``drain_seconds``, and closes idle
    connections. New routes are looked for twice a second.

    Parameters
    ----------
    port
        0 for any free port.
    announce
        Called once, when connections are accepted, with one line of JSON:
        ``{"event": "listening", "url": "http://127.0.0.1:8080", "port": 8080, "pid": 1, "deployments": [...]}``.
    worker
        Others serve the same port, and this process ends when the one that started it does.

    Raises
    ------
    Unavailable
        When the address cannot be bound.
    """
    listening = _bind(host, port, shared=worker)
    parent = os.getppid() if worker else None
    app.refresh()
    runner = Runner(app)
    with listening, _refreshing(app):
        port = listening.getsockname()[1]
        with asyncio.Runner(loop_factory=_loop_factory()) as loop:
            loop.run(_run(runner, listening, lambda: announce(_announcement(app, host, port)), drain_seconds, parent))
        runner.close()
        app.answerer.measurements.settle()
        app.answerer.close()


async def _run(
    runner: Runner, listening: socket.socket, ready: Callable[[], None], drain_seconds: int, parent: int | None
) -> None:
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    connections = Connections(runner)
    server = await loop.create_server(lambda: Connection(connections), sock=listening, backlog=2048)
    ready()
    while not stopped.is_set():
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stopped.wait(), TICK_SECONDS)
        connections.tick(loop.time())
        if parent is not None and os.getppid() != parent:
            break
    server.close()
    connections.stop()
    give_up = loop.time() + drain_seconds
    while connections.open and loop.time() < give_up:
        await asyncio.sleep(0.02)
        connections.tick(loop.time())
    connections.abort()


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:  # not on Windows: asyncio's own loop serves there
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


@contextlib.contextmanager
def _refreshing(app: Application) -> Iterator[None]:
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(REFRESH_SECONDS):
            with contextlib.suppress(Unavailable):  # the database is busy: what is loaded goes on answering
                app.refresh()

    thread = threading.Thread(target=watch, name="tidewheel-routes", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(timeout=10)


def _bind(host: str, port: int, *, shared: bool) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT if shared else socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except (OSError, OverflowError) as error:
        listening.close()
        raise Unavailable(
            f"cannot listen on {host}:{port}: {error}", where=f"{host}:{port}", fix="stop what listens there, or use --port 0"
        ) from error
    return listening


def _announcement(app: Application, host: str, port: int) -> str:

    shown = f"[{host}]" if ":" in host else host
    told = {"event": "listening", "url": f"http://{shown}:{port}", "port": port, "pid": os.getpid()}
    return json.dumps({**told, "deployments": list(app.answerer.names), "services": list(app.features.table.names)})
