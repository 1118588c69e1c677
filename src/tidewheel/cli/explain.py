"""The verb explain: what made each feature of a service, for one request."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from tidewheel.cli.options import emit, open_project, project_options

if TYPE_CHECKING:
    from tidewheel.features.explain import Evidence, Explained, SeenRow
    from tidewheel.project.explain import Explanation

_SHOWN = 12


@click.command()
@click.argument("service")
@click.argument("values", nargs=-1, metavar="KEY=VALUE...")
@click.option("--at", default=None, help="ISO 8601 instant to explain.  [default: now]")
@project_options
def explain(service: str, values: tuple[str, ...], at: str | None, folder: Path, workspace: str | None, as_json: bool) -> int:
    """Show the tiles, open events and rows that made each feature of SERVICE for one request, offline and online side by side.

    Exit code 2 when a feature differs between the two.
    """
    import msgspec

    from tidewheel.clock import parse_instant
    from tidewheel.project.explain import explain as look
    from tidewheel.project.explain import read_asked
    from tidewheel.project.prepare_services import get_service

    project, opened = open_project(folder, workspace)
    found = get_service(project, service)
    asked = read_asked(found, values)
    told = look(opened, found, asked, at=opened.clock() if at is None else parse_instant(at))
    emit(msgspec.to_builtins(told.to_json())) if as_json else click.echo(render_explanation(told))
    return 0 if told.agree else 2


def render_explanation(told: Explanation) -> str:
    """An explanation for people: one paragraph per feature."""
    from tidewheel.clock import format_instant

    asked = ", ".join(f"{name}={value}" for name, value in told.asked.items())
    lines = [f"{told.service} for {asked} at {format_instant(told.at)}"]
    if told.trouble is not None:
        lines.append(f"offline only: {told.trouble}")
    for one in told.features:
        lines += ["", *_feature(one, online=told.trouble is None)]
    return "\n".join(lines)


def _feature(one: Explained, *, online: bool) -> list[str]:
    value = f"{one.name} = {_shown(one.offline)}"
    if online:
        value += "  (online the same)" if one.agree else f"  but online {_shown(one.online)}"
    lines = [value, f"  {one.origin}, {one.definition}"]
    for part in one.parts:
        lines += [f"  {part.definition}", *_made(part)]
    return lines if one.parts else [*lines, *_made(one)]


def _made(one: Explained) -> list[str]:
    from tidewheel.clock import format_instant

    lines = []
    if one.window is not None:
        start, end = one.window
        lines.append(f"  window [{'the first event' if start is None else format_instant(start)}, {format_instant(end)})")
    if one.origin.startswith("view:"):
        lines += _evidence("offline", one.evidence_offline)
        if one.evidence_online is not None:
            lines += _evidence("online", one.evidence_online)
    return lines


def _evidence(side: str, one: Evidence) -> list[str]:
    from tidewheel.clock import format_instant

    lines = []
    if one.row is not None:
        lines.append(f"  {side}: row {_row(one.row)}")
    if one.tiles:
        total = sum(tile.count for tile in one.tiles)
        lines.append(f"  {side}: {total} values in {len(one.tiles)} tiles")
        lines += [f"    [{format_instant(t.start)}, {format_instant(t.end)})  {t.count}" for t in one.tiles[-_SHOWN:]]
    if one.count:
        lines.append(f"  {side}: {one.count} open events")
        lines += [f"    {_row(row)}" for row in one.events[-_SHOWN:]]
    return lines or [f"  {side}: nothing"]


def _row(row: SeenRow) -> str:
    from tidewheel.clock import format_instant

    values = ", ".join(f"{name}={_shown(value)}" for name, value in row.values.items())
    return f"{format_instant(row.event_time)}  {values}"


def _shown(value: object) -> str:
    from datetime import datetime

    from tidewheel.clock import format_instant, to_micros

    return format_instant(to_micros(value)) if isinstance(value, datetime) else str(value)
