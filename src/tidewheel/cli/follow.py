"""Follow streams on the command line: progress and trouble on stderr, the sum on stdout."""

from __future__ import annotations

import signal
import threading
from collections.abc import Mapping, Sequence

import click

from tidewheel.cli.options import emit
from tidewheel.clock import format_instant
from tidewheel.errors import Invalid
from tidewheel.features.consume import Consumer
from tidewheel.project.consume import StreamMetrics, consume, drain, list_streams, quarantine
from tidewheel.project.load import Project
from tidewheel.project.open import Workspace

_TELL_SECONDS = 10.0


def follow(consumers: Mapping[str, Consumer], *, once: bool, metrics_port: int | None, as_json: bool) -> None:
    """Consume until everything is taken (``once``), or until the process is asked to stop."""
    if not consumers:
        raise Invalid("no source of the project has a stream", fix='add stream="redis://host/0/NAME" to tw.source')
    if metrics_port is not None:
        _serve_metrics(consumers, metrics_port)
    if once:
        try:
            drain(consumers)
        finally:
            for consumer in consumers.values():
                consumer.close()
        _sum(consumers, as_json=as_json)
        return
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    click.echo(f"consuming {', '.join(consumers)}  (Ctrl-C stops)", err=True)
    threads = consume(consumers, stop, lambda text: click.echo(text, err=True))
    told = ""
    while not stop.wait(_TELL_SECONDS):
        line = "; ".join(_line(name, consumer) for name, consumer in consumers.items())
        if line != told:
            click.echo(line, err=True)
            told = line
    for thread in threads:
        thread.join()
    _sum(consumers, as_json=as_json)


def show_lag(consumers: Mapping[str, Consumer], *, as_json: bool) -> None:
    """How far behind each source's group is."""
    try:
        lags = {name: consumer.measure() for name, consumer in consumers.items()}
    finally:
        for consumer in consumers.values():
            consumer.close()
    if as_json:
        emit(lags)
        return
    for name, lag in lags.items():
        click.echo(f"{name}: {lag} events behind")


def show_quarantine(project: Project, workspace: Workspace, names: Sequence[str], *, as_json: bool) -> None:
    """The events that were refused."""
    asked = names or list_streams(project, workspace)
    found = [(name, event) for name in asked for event in quarantine(workspace, name).list()]
    if as_json:
        emit(
            [
                {
                    "source": name,
                    "stream": event.stream,
                    "position": event.position,
                    "code": event.code,
                    "error": event.error,
                    "at": format_instant(event.at),
                    "body": event.body.decode(errors="replace"),
                }
                for name, event in found
            ]
        )
        return
    for name, event in found:
        click.echo(f"{name} {event.position}  {event.code}: {event.error}\n    {event.body[:200].decode(errors='replace')}")
    click.echo(f"{len(found)} events in quarantine", err=True)


def _line(name: str, consumer: Consumer) -> str:
    state = consumer.state
    lag = "unknown" if state.lag is None else str(state.lag)
    return f"{name}: {state.taken} taken, {state.refused} in quarantine, lag {lag}"


def _sum(consumers: Mapping[str, Consumer], *, as_json: bool) -> None:
    if as_json:
        told = {name: consumer.state for name, consumer in consumers.items()}
        emit({name: {"taken": one.taken, "quarantined": one.refused, "lag": one.lag} for name, one in told.items()})
        return
    for name, consumer in consumers.items():
        click.echo(_line(name, consumer))


def _serve_metrics(consumers: Mapping[str, Consumer], port: int) -> None:
    from prometheus_client import CollectorRegistry, start_http_server

    registry = CollectorRegistry()
    registry.register(StreamMetrics(consumers))
    start_http_server(port, "127.0.0.1", registry)
