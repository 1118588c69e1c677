"""A run as a tree of its steps, for a person."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import click

from tidewheel.clock import format_instant

if TYPE_CHECKING:
    from tidewheel.project.show_run import Group, RunDescription

_MARKS = (  # the first that a group has tells how it stands
    ("failed", "✘", "red"),
    ("running", "▶", "yellow"),
    ("retrying", "↻", "yellow"),
    ("stopped", "■", "magenta"),
    ("cancelled", "■", "magenta"),
    ("waiting", "…", "white"),
    ("done", "✔", "green"),
    ("known", "=", "cyan"),
)


def render_run(found: RunDescription) -> str:
    """What the run is, and each step with its states, its time and where its arguments come from."""
    run = found.run
    lines = [
        f"run {run.id}  {run.tags.get('node', run.name)}  {run.status.value}  {found.seconds:.1f} s",
        f"  by {run.actor or 'unknown'}, from {format_instant(run.started_at)}",
        *(f"  {name} = {value}" for name, value in run.parameters.items()),
        *_tree(found.steps, ""),
    ]
    if found.note:
        lines.insert(1, f"  {click.style(found.note, fg='yellow')}")
    return "\n".join(lines + ([f"error: {run.error}"] if run.error else []))


def _seen(group: Group) -> str:
    silence = f"silent for {group.silent_seconds:.0f} s" if group.silent_seconds else ""
    seen = ": ".join(part for part in (silence, group.note) if part)
    return f"  {click.style(seen, fg='yellow')}" if seen else ""


def _tree(groups: Sequence[Group], indent: str) -> Iterator[str]:
    for place, group in enumerate(groups):
        last = place == len(groups) - 1
        mark, colour = next((mark, colour) for state, mark, colour in _MARKS if state in group.states)
        name = group.step if group.calls == 1 else f"{group.step} ×{group.calls}"
        told = ", ".join(state if group.calls == 1 else f"{count} {state}" for state, count in group.states.items())
        extra = f", {group.tries} tries" if group.tries > 1 else ""
        source = f"  ← {', '.join(group.inputs)}" if group.inputs else ""
        title = click.style(f"{mark} {name}", fg=colour)
        yield f"{indent}{'└─' if last else '├─'} {title}  {told}{extra}  {group.seconds:.2f} s{source}{_seen(group)}"
        below = indent + ("   " if last else "│  ")
        if group.error:
            yield f"{below}{click.style(group.error, fg='red')}"
        yield from _tree(group.inner, below)
