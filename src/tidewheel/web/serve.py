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

import uvicorn

from tidewheel.errors import Unavailable
from tidewheel.web.application import Application
from tidewheel.web.asgi import Adapter

REFRESH_SECONDS = 0.5


def serve(
    app: Application,
    *,
    host: str = "127.0.0.1",
    port: int = 8080,
    announce: Callable[[str], None],
    drain_seconds: int = 30,
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

    Raises
    ------
    Unavailable
        When the address cannot be bound.
    """
    listening = _bind(host, port)
    app.refresh()
    adapter = Adapter(app)
    config = uvicorn.Config(
        adapter,
        http="httptools",
        loop="uvloop",
        lifespan="off",
        log_level="warning",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=drain_seconds,
        backlog=2048,
    )
    server = _Server(config)
    with listening, _refreshing(app):
        port = listening.getsockname()[1]
        server.announcement = lambda: announce(_announcement(app, host, port))
        with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
            runner.run(_run(server, listening))
        adapter.close()
        app.answerer.close()


class _Server(uvicorn.Server):
    """uvicorn's server that leaves signals to us and tells when it listens."""

    announcement: Callable[[], None]

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield  # uvicorn's own raises the signal again after the drain, and the process would not exit with 0

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self.announcement()


async def _run(server: _Server, listening: socket.socket) -> None:
    loop = asyncio.get_running_loop()

    def stop() -> None:
        server.should_exit = True

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    await server.serve(sockets=[listening])


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


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
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
