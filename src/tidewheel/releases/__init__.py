"""Releases: whether a new version may take over, and the taking over and going back.

A *gate* compares a challenger with the champion on held-out rows, with a paired interval and by slice, and measures its
latency. A *release* moves an alias and the route of a deployment in one recorded step, with the gate's report as its
evidence; a rollback is one more release.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidewheel.releases.definition import Beats, Condition, Gate, NoWorse, Under, beats, gate, no_worse, under
from tidewheel.releases.report import Finding, GateReport, Release

if TYPE_CHECKING:
    from tidewheel.releases.promote import Releases as Releases

__all__ = [
    "Beats",
    "Condition",
    "Finding",
    "Gate",
    "GateReport",
    "NoWorse",
    "Release",
    "Releases",
    "Under",
    "beats",
    "gate",
    "no_worse",
    "under",
]


def __getattr__(name: str) -> object:
    """Load the part that needs NumPy and SQL only when somebody asks for it."""
    if name != "Releases":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from tidewheel.releases.promote import Releases

    return Releases
