"""Runs: what happened when something was trained, and how well it went.

A **run** records one execution: its parameters, its metrics by step, files, the recipe of the code, the environment
lock and facts about the machine. Runs of one purpose share an **experiment**, which is only a name. A run whose
process died is shown as ``interrupted``, never as running for ever.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidewheel.runs.definition import MetricPoint, Process, RunPage, RunRecord, RunStatus

if TYPE_CHECKING:
    from tidewheel.runs.record import Run, Runs

__all__ = ["MetricPoint", "Process", "Run", "RunPage", "RunRecord", "RunStatus", "Runs"]


def __getattr__(name: str) -> object:
    if name in ("Run", "Runs"):
        from tidewheel.runs import record

        return getattr(record, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
