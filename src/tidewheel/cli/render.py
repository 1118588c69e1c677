"""Values in, text out: what the verbs show to a person."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import click

from tidewheel.clock import format_instant
from tidewheel.ledger.environment import is_node

if TYPE_CHECKING:
    from tidewheel.access.definition import Entry
    from tidewheel.ledger.catalog import Hit
    from tidewheel.ledger.environment import Move
    from tidewheel.monitors.window import Check
    from tidewheel.project.apply import Applied
    from tidewheel.project.check import CheckReport
    from tidewheel.project.collect import Garbage
    from tidewheel.project.node_description import NodeDescription
    from tidewheel.project.plan import Change, Plan, Reason
    from tidewheel.project.release import Moves
    from tidewheel.project.repeat import Repetition
    from tidewheel.project.reproduce import Reproduction
    from tidewheel.project.run import Monitoring
    from tidewheel.project.run_pipeline import PipelineRun
    from tidewheel.project.show import Difference, Explanation, ProjectDescription
    from tidewheel.project.why import Comparison

_SIGNS = {"add": "+", "change": "~", "follow": ">", "finish": "!", "remove": "-", "metadata": "i"}
_COLOURS = {"add": "green", "change": "yellow", "follow": "cyan", "finish": "magenta", "remove": "red", "metadata": "blue"}
_MEANINGS = {
    "add": "new",
    "change": "changed",
    "follow": "follows its upstream",
    "finish": "was not finished",
    "remove": "removed",
    "metadata": "metadata only, rebuilds nothing",
}


def render_plan(plan: Plan) -> str:
    """What an apply would do, and why."""
    warnings = [click.style(f"warning: {one}", fg="yellow") for one in plan.warnings]
    if plan.empty:
        return "\n".join([f"{plan.environment} is up to date: nothing to do", *warnings])
    lines = [f"plan for {plan.environment}, from version {plan.base_version}", ""]
    for change in plan.changes:
        lines += _change(change, plan)
    builds = [change for change in plan.changes if change.builds]
    known = [change for change in builds if change.estimate_seconds is not None]
    lines += ["", f"{len(plan.changes)} to change, {len(builds)} to build" + _estimate(plan, len(builds), len(known))]
    lines += ["", *warnings] if warnings else []
    for one in plan.objections:
        lines += ["", click.style(f"{one.code}: {one.what}", fg="red"), f"  {one.fix}", f"  or accept it: --accept {one.node}"]
    return "\n".join(lines)


def render_pipeline(done: PipelineRun) -> str:
    """What a run of a pipeline came to."""
    return f"{done.pipeline}: {done.summary}; run {done.run}\n{done.result}"


def _estimate(plan: Plan, builds: int, known: int) -> str:
    if not builds:
        return ""
    if plan.estimate_seconds is None:
        return "; none was built before, so the time is not known"
    unknown = f", and {builds - known} never built before" if known < builds else ""
    cost = "" if plan.estimate_cost is None else f" and {_cost(plan.estimate_cost, plan.currency)}"
    return f"; about {_seconds(plan.estimate_seconds)}{cost} going by past builds{unknown}"


def _change(change: Change, plan: Plan) -> list[str]:
    sign = click.style(f"{_SIGNS[change.action]} {change.node}", fg=_COLOURS[change.action], bold=change.action != "follow")
    extra = [_MEANINGS[change.action]]
    if change.action in {"change", "follow"}:
        extra.append(change.kind)
    if change.owner:
        extra.append(f"owner {change.owner}")
    if change.builds and change.estimate_seconds is not None:
        extra.append(f"about {_seconds(change.estimate_seconds)}")
    if change.builds and change.estimate_cost is not None:
        extra.append(_cost(change.estimate_cost, plan.currency))
    where = f"  {change.where}" if change.where else ""
    lines = [f"  {sign}{where}  ({', '.join(extra)})"]
    if change.note and change.action != "follow":
        lines.append(f"      {change.note}")
    if change.action in {"change", "metadata", "follow"}:
        lines += _reasons(change.reasons, "      ")
    lines += _columns(change)
    if change.action == "change" and change.downstream:
        spared = set(change.spared)
        hit = [node for node in change.downstream if node not in spared]
        named = [f"{node} ({plan.owners[node]})" if node in plan.owners else str(node) for node in hit]
        lines += [f"      downstream: {', '.join(named)}"] if named else []
        lines += [f"      stays as it is, using no column that changed: {', '.join(change.spared)}"] if spared else []
    return lines


def _columns(change: Change) -> list[str]:
    """What became of its columns: how far those that were measured are apart, and the others by name.

    Of what only follows, all go by name: the figures stand with what it follows.
    """
    shown = change.action != "follow"
    found = [(one.name, one.measured) for one in change.columns if shown and one.measured is not None]
    rest = [f"{one.name} {one.what}" for one in change.columns if not shown or one.measured is None]
    lines = [f"      columns: {', '.join(rest)}"] if rest else []
    if found:
        rows = [
            [
                name,
                f"{one.changed} of {one.rows} ({one.share:.1%})",
                "-" if one.psi is None else f"{one.psi:.3f}",
                f"{one.nulls_before} -> {one.nulls_after}",
            ]
            for name, one in found
        ]
        lines += [f"      {line}" for line in table(["measured", "changed", "PSI", "nulls"], rows).splitlines()]
    return lines


def _reasons(reasons: Sequence[Reason], indent: str) -> list[str]:
    lines = []
    for reason in reasons:
        where = f"  {reason.where}" if reason.where else ""
        lines.append(f"{indent}{reason.component}{where}")
        lines += [f"{indent}  - {line}" for line in _only(reason.old, reason.new)[:6]]
        lines += [f"{indent}  + {line}" for line in _only(reason.new, reason.old)[:6]]
    return lines


def _only(text: str | None, other: str | None) -> list[str]:
    """Lines of one value that another one does not have; all of them where it has them in another order."""
    lines, known = (text or "").splitlines(), set((other or "").splitlines())
    return [line for line in lines if line not in known] or (lines if known == set(lines) else [])


def render_applied(applied: Applied) -> str:
    """What an apply did."""
    width = max((len(step.node) for step in applied.steps), default=0)
    lines = [
        f"  {step.node:<{width}}  {'built in ' + _seconds(step.seconds) if step.built else 'reused'}"
        + (f": {step.summary}" if step.summary and step.built else "")
        for step in applied.steps
    ]
    lines += [*applied.reports, f"{applied.environment} is at version {applied.version}"]
    if applied.gate_failed:
        lines.append(click.style("a gate failed: what answers has not changed", fg="red"))
    return "\n".join(lines)


def render_monitoring(judged: Monitoring) -> str:
    """What a monitor saw."""
    rows = [
        [
            format_instant(w.start)[:10],
            w.kind,
            str(w.rows),
            w.status,
            ", ".join(_check(c) for c in w.breached[:3]) or w.reason or "-",
        ]
        for w in judged.windows
    ]
    lines = [table(["window from", "kind", "rows", "status", "over its limit"], rows)] if rows else ["no window to judge"]
    lines += [
        f"alert {alert.id} opened: {alert.kind}, {', '.join(_check(c) for c in alert.checks[:3])}" for alert in judged.opened
    ]
    lines += [f"alert {alert.id} closed: {alert.kind}" for alert in judged.closed]
    return "\n".join(lines + list(judged.reports))


def _check(check: Check) -> str:
    return f"{check.column.removeprefix('f.')} {check.metric} {check.value:.3g} (limit {check.limit:.3g})"


def render_check(report: CheckReport) -> str:
    """Findings and parity."""
    from tidewheel.project.check_data import shown_keys

    lines = [
        click.style(f.level, fg="red" if f.level == "error" else "yellow") + f": {f.where}  {f.message}"
        for f in report.findings
    ]
    if not report.findings:
        lines.append("no findings")
    for one in report.online:
        lines.append(
            f"{one.view}: {one.keys} keys compared online and offline, {one.values} feature values, "
            + click.style(f"{one.mismatches} mismatches", fg="red" if one.mismatches else "green")
        )
        lines += [
            f"    {shown_keys(m.keys)}  {m.feature}: online {m.online!r}, computed {m.computed!r}, at {format_instant(m.at)}"
            for m in one.examples
        ]
        if one.mismatches:
            lines.append(f"    next: tidewheel explain, to see why; tidewheel admin rebuild {one.view}, to write its rows anew")
    for parity in report.parities:
        lines.append(
            f"{parity.deployment}: {parity.predictions} logged predictions replayed, {parity.values} feature values compared, "
            + click.style(f"{parity.mismatches} mismatches", fg="red" if parity.mismatches else "green")
        )
        lines += [
            f"    {m.prediction_id}  {m.feature}: served {m.served!r}, computed {m.computed!r} at {format_instant(m.at)}"
            for m in parity.examples
        ]
        if parity.mismatches:
            lines += [
                "    next: rows that came after an answer, with an earlier time, make a difference; available= of the",
                "    source says when its rows are known. If there are none, tidewheel explain shows what made a number",
            ]
    return "\n".join(lines)


def render_project(described: ProjectDescription) -> str:
    """All nodes, with their state."""
    rows = [[node.id, node.state, node.owner or "", node.where, node.summary] for node in described.nodes]
    return f"project {described.name}, environment {described.environment} at version {described.version}\n\n" + table(
        ["node", "state", "owner", "where", ""], rows
    )


def render_node(found: NodeDescription) -> str:
    """One node in full."""
    lines = [click.style(found.id, bold=True) + f"  {found.where}"]
    for title, pairs in found.sections:
        lines += ["", title]
        width = max((len(name) for name, _ in pairs), default=0)
        under = "\n" + " " * (width + 4)
        lines += [f"  {name:<{width}}  {under.join(value.splitlines())}" for name, value in pairs]
    return "\n".join(lines)


def render_hits(found: Sequence[Hit]) -> str:
    """What a search found, each with its columns that match, and who uses what."""
    if not found:
        return "nothing matches"
    lines = []
    for hit in found:
        entry = hit.entry
        lines.append(click.style(entry.node, bold=True) + (f"  {entry.owner}" if entry.owner else "") + f"  {entry.where}")
        told = (
            ("", entry.description.partition("\n")[0]),
            ("tags ", ", ".join(entry.tags)),
            ("columns ", ", ".join(hit.columns)),
            ("uses ", ", ".join(hit.upstream)),
            ("used by ", ", ".join(hit.downstream)),
        )
        lines += [f"    {name}{value}" for name, value in told if value]
    return "\n".join(lines)


def render_differences(left: str, right: str, found: Sequence[Difference]) -> str:
    """Nodes that differ between two environments."""
    if not found:
        return f"{left} and {right} point at the same recipes"
    lines = []
    for entry in found:
        lines.append(f"  {entry.node}: {entry.state}")
        lines += _reasons(entry.reasons, "      ")
    return "\n".join(lines)


def render_why(found: Explanation) -> str:
    """Why a node would be built, or not."""
    lines = [f"{found.node}: {found.verdict}", *_reasons(found.reasons, "  ")]
    lines += [f"  because of {node}: {text}" for node, text in found.causes]
    return "\n".join(lines + [f"  in spite of {node}: {text}" for node, text in found.passed])


def render_comparison(found: Comparison) -> str:
    """What differs between two builds."""
    return "\n".join([f"old: {found.old}", f"new: {found.new}", found.verdict, *_reasons(found.reasons, "  ")])


def render_reproduction(found: Reproduction) -> str:
    """Whether the second build gave the same."""
    verdict = click.style("equal to the bit", fg="green") if found.equal else click.style("different", fg="red")
    lines = [f"{found.node}: {verdict}", f"  recorded {found.recorded}", f"  again    {found.again}"]
    return "\n".join(lines + [f"  {line}" for line in found.notes])


def render_repetition(found: Repetition) -> str:
    """Whether the build in a clean environment gave the same, and where it parted."""
    verdict = click.style(found.verdict, fg="red" if found.verdict == "different" else "green")
    lines = [f"{found.node}: {verdict}", f"  recorded {found.recorded}", f"  again    {found.again}"]
    if found.diverges:
        lines.append(f"  differs first in {found.diverges}")
    if found.largest is not None:
        lines.append(f"  largest difference {found.largest:.3g}, tolerance {found.tolerance:.3g}")
    return "\n".join(lines + [f"  {line}" for line in found.notes])


def render_moves(moves: Moves) -> str:
    """What a promotion or rollback would move."""
    return "\n".join([moves.title, *(f"  {line}" for line in moves.lines)])


def moves_to_json(moves: Sequence[Move]) -> list[dict[str, object]]:
    """Moves of an environment as plain values."""
    return [
        {
            "version": move.version,
            "at": format_instant(move.at),
            "actor": move.actor,
            "reason": move.reason,
            "changes": {node: {"old": old, "new": new} for node, (old, new) in move.changes.items()},
        }
        for move in moves
    ]


def render_history(moves: Sequence[Move]) -> str:
    """Moves of an environment."""
    rows = []
    for move in moves:
        nodes = [node for node in move.changes if is_node(node)]
        shown = ", ".join(nodes[:3]) + (f" and {len(nodes) - 3} more" if len(nodes) > 3 else "")
        rows.append([str(move.version), format_instant(move.at), move.actor, move.reason, shown or "descriptions and the like"])
    return table(["version", "at", "who", "why", "moved"], rows)


def render_audit(entries: Sequence[Entry]) -> str:
    """The audit trail."""
    rows = [[format_instant(e.at), e.actor, e.verb, e.object, f"{e.before or ''} -> {e.after or ''}"] for e in entries]
    return table(["at", "who", "did", "to", "change"], rows)


def render_garbage(found: Garbage, *, dry_run: bool) -> str:
    """What garbage collection found and did."""
    rows = [[one.node, one.id[:12], format_instant(one.ended_at), size_text(one.size_bytes)] for one in found.builds]
    lines = [table(["build of", "id", "built", "bytes of its own"], rows)] if rows else []
    would = "would be " if dry_run else ""
    lines.append(f"{len(found.builds)} builds that nothing points at {would or 'are '}retired")
    lines.append(f"{found.artifacts} artifacts that nothing names, {size_text(found.size_bytes)}")
    lines.append(
        f"  {found.removed} {would}removed, {size_text(found.removed_bytes)}; {found.waiting} wait for the grace period"
    )
    if found.partial_bytes:
        lines.append(f"half-written files {would}removed, {size_text(found.partial_bytes)}")
    if found.logs:
        old = [[one.run[:12], format_instant(one.printed_at), size_text(one.size_bytes)] for one in found.logs]
        lines.append(table(["logs of", "printed", "bytes"], old))
        size = size_text(sum(one.size_bytes for one in found.logs))
        lines.append(f"logs of {len(found.logs)} runs that nothing points at {would or 'are '}removed, {size}")
    return "\n".join(lines)


def size_text(size: int) -> str:
    """Bytes for people."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB" if size >= 1e5 else f"{size} bytes"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Plain columns, aligned."""
    held = [list(row) for row in rows]
    widths = [max(len(row[i]) for row in [list(head), *held]) for i in range(len(head))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in [list(head), *held]
    ]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])


def _cost(cost: float, currency: str) -> str:
    return f"{cost:.2g} {currency}".rstrip()


def _seconds(seconds: float) -> str:
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min"
