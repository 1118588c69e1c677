"""Follow streams on the command line: progress and trouble on stderr, the sum on stdout."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import click
import msgspec

from tidewheel.cli.options import emit
from tidewheel.clock import format_instant
from tidewheel.errors import Invalid
from tidewheel.features.consume import Consumer
from tidewheel.features.take_again import Place
from tidewheel.project.consume import StreamMetrics, consume, drain, list_streams, quarantine, rows_aside, take_quarantined
from tidewheel.project.load import Project
from tidewheel.project.open import Workspace
from tidewheel.sources.quarantine import Refused
from tidewheel.sources.validate import REASON

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
        emit([_told(name, event) for name, event in found])
        return
    for name, event in found:
        click.echo(f"{name} {event.position}  {event.code}: {event.error}\n    {event.body[:200].decode(errors='replace')}")
    click.echo(f"{len(found)} events in quarantine", err=True)
    aside = {name: rows.num_rows for name, rows in rows_aside(project, workspace, names).items()}
    if aside:
        told = ", ".join(f"{count} rows of {name}" for name, count in aside.items())
        click.echo(f"rules put aside {told}: tidewheel quarantine --rows shows them", err=True)


def show_rows(project: Project, workspace: Workspace, names: Sequence[str], *, as_json: bool) -> None:
    """The rows that rules put aside, with the rules that each fails."""
    found = rows_aside(project, workspace, names)
    told = [
        {"source": name, "rules": str(row.pop(REASON)).split("; "), "row": {key: _plain(value) for key, value in row.items()}}
        for name, rows in found.items()
        for row in rows.to_pylist()
    ]
    if as_json:
        emit(told)
        return
    for one in told:
        click.echo(f"{one['source']}  {'; '.join(one['rules'])}\n    {json.dumps(one['row'], ensure_ascii=False)}")
    click.echo(f"{len(told)} rows put aside; they count once the rule, the file or the row is mended", err=True)


def _plain(value: object) -> object:
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def push_quarantine(
    project: Project, workspace: Workspace, names: Sequence[str], *, mended: Path | None, as_json: bool
) -> None:
    """Push events in quarantine again: all of them, or those of a file with their bodies put right."""
    given = None if mended is None else _read_mended(mended)
    asked = names or list(list_streams(project, workspace) if given is None else given)
    found = {
        name: take_quarantined(project, workspace, name, mended=None if given is None else given.get(name, {}))
        for name in asked
    }
    if as_json:
        emit({name: {"taken": one.taken, "dropped": one.dropped, "refused": len(one.refused)} for name, one in found.items()})
        return
    for name, one in found.items():
        click.echo(f"{name}: {one.taken} taken, {one.dropped} dropped, {len(one.refused)} refused again")
        for event in one.refused:
            click.echo(f"  {event.position}  {event.code}: {event.error}", err=True)


class _Mended(msgspec.Struct):
    """One event as ``tidewheel quarantine --json`` told it; its body is text, ``null`` where it shall be dropped."""

    source: str
    stream: str
    position: str
    body: str | None


def _read_mended(path: Path) -> dict[str, dict[Place, bytes | None]]:
    try:
        events = msgspec.json.decode(path.read_bytes(), type=list[_Mended])
    except (OSError, msgspec.MsgspecError) as error:
        fix = "write it with: tidewheel quarantine --json > FILE; then put the bodies right"
        raise Invalid(f"{path} holds no events of a quarantine: {error}", where=str(path), fix=fix) from error
    found: dict[str, dict[Place, bytes | None]] = {}
    for event in events:
        body = None if event.body is None else event.body.encode()
        found.setdefault(event.source, {})[event.stream, event.position] = body
    return found


def _told(name: str, event: Refused) -> dict[str, str]:
    return {
        "source": name,
        "stream": event.stream,
        "position": event.position,
        "code": event.code,
        "error": event.error,
        "at": format_instant(event.at),
        "body": event.body.decode(errors="replace"),
    }


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
