"""Describe a sweep: its trials, the best first, and the objective by trial."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tidewheel.ledger.definition import NodeId
from tidewheel.pipelines.record_trials import Trials
from tidewheel.pipelines.search import Tried, rank
from tidewheel.project.node_description import NodeDescription
from tidewheel.project.open import Workspace

_WIDTH, _HEIGHT = 60, 10
_MARKS = {"finished": "o", "stopped": "x"}


def describe_sweep(workspace: Workspace, name: str) -> NodeDescription | None:
    """The newest sweep of a name (``sweep:fit`` or ``fit``), or one by its id; ``None`` when there is none."""
    trials = Trials(workspace.database)
    row = trials.find_newest(name.removeprefix("sweep:"))
    if row is None:
        return None
    tried = tuple(Tried(one.number, one.state, one.shown, one.objective, one.run, one.error) for one in trials.list(row.id))
    counts = {state: sum(one.state == state for one in tried) for state in ("finished", "stopped", "failed", "waiting")}
    facts = (
        ("aim", f"{'minimize' if row.minimize else 'maximize'} {row.metric}"),
        ("sampler", row.sampler),
        ("trials", ", ".join(f"{count} {state}" for state, count in counts.items() if count)),
        ("id", row.id),
    )
    lines = tuple((f"trial {one.number}", _line(one)) for one in rank(tried, minimize=row.minimize))
    plot = ((row.metric, "\n".join(plot_objectives(tried, minimize=row.minimize))),)
    sections = (("sweep", facts), ("trials, best first", lines), ("objective by trial", plot))
    return NodeDescription(NodeId(f"sweep:{row.name}"), "", tuple((title, pairs) for title, pairs in sections if pairs))


def _line(trial: Tried) -> str:
    value = "" if trial.objective is None else f"{trial.objective:.6g}"
    drawn = " ".join(f"{name}={_short(str(text))}" for name, text in trial.parameters.items())
    end = trial.error if trial.error else f"run {trial.run[:8]}" if trial.run else ""
    return f"{value:<12} {trial.state:<8}  {drawn}  {end}".rstrip()


def _short(text: str) -> str:
    try:
        return text if text.lstrip("-").isdigit() else f"{float(text):.4g}"
    except ValueError:
        return text


def plot_objectives(trials: Sequence[Tried], *, minimize: bool, width: int = _WIDTH, height: int = _HEIGHT) -> list[str]:
    """Lines of a plot: trials from left to right, their objective upwards.

    ``o`` has finished, ``x`` was stopped, and ``*`` is better than all that finished before it.

    Examples
    --------
    >>> made = [Tried(n, "finished", {}, value, "") for n, value in enumerate([3.0, 2.0, 4.0])]
    >>> print("\\n".join(plot_objectives(made, minimize=True, width=3, height=3)))
    4 |  o
      |*
    2 | *
    """
    shown = [one for one in trials if one.objective is not None and math.isfinite(one.objective)]
    if not shown:
        return ["no trial has ended"]
    values = [one.objective for one in shown if one.objective is not None]
    low, high = min(values), max(values)
    columns = max(one.number for one in shown) + 1
    cells = [[" "] * min(columns, width) for _ in range(height)]
    best: float | None = None
    for one, value in zip(shown, values, strict=True):
        mark = _MARKS.get(one.state, "?")
        if one.state == "finished" and (best is None or (value < best if minimize else value > best)):
            best, mark = value, "*"
        across = one.number if columns <= width else one.number * (width - 1) // (columns - 1)
        up = 0 if high == low else round((value - low) / (high - low) * (height - 1))
        line = cells[height - 1 - up]
        if line[across] != "*":
            line[across] = mark
    labels = [f"{high:.4g}", *[""] * (height - 2), f"{low:.4g}"]
    wide = max(len(label) for label in labels)
    return [f"{label:>{wide}} |{''.join(cell)}".rstrip() for label, cell in zip(labels, cells, strict=True)]
