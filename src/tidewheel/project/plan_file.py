"""Plans as JSON: for programs, and for applying exactly a plan that somebody has read."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import msgspec

from tidewheel.errors import Invalid
from tidewheel.project.plan import Plan

FORMAT = 1
"""Version of the JSON; fields are added, never renamed, within a version."""


class _PlanFile(msgspec.Struct, frozen=True):
    format: int
    digest: str
    plan: Plan


def plan_to_json(plan: Plan) -> dict[str, object]:
    """The plan as plain values.

    ``format``, ``digest``, ``environment``, ``base_version``, ``estimate_seconds``, ``owners`` and ``changes``. Each
    change has ``node``, ``action`` (add, change, follow, finish, remove, metadata), ``kind`` (one of
    :data:`tidewheel.project.change_class.CLASSES`), ``where``, ``owner``, ``reasons`` (``component``, ``old``, ``new``,
    ``where``), ``downstream``, ``recipe`` (null while it waits for an upstream), ``builds`` and ``estimate_seconds`` (null
    when never built before).
    ``objections`` (``code``, ``node``, ``what``, ``fix``) are what an apply refuses unless the node is accepted.
    """
    return {"format": FORMAT, "digest": plan.digest, "estimate_seconds": plan.estimate_seconds} | asdict(plan)


def save_plan(plan: Plan, path: Path) -> None:
    """Write a plan to a file."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode(_PlanFile(FORMAT, plan.digest, plan)), indent=2) + b"\n")


def load_plan(path: Path) -> Plan:
    """Read a saved plan.

    Raises
    ------
    Invalid
        When the file is no plan, or was edited: its digest no longer fits.
    """
    try:
        found = msgspec.json.decode(path.read_bytes(), type=_PlanFile)
    except msgspec.DecodeError as error:
        raise Invalid(f"{path} is not a saved plan: {error}", where=str(path), fix=f"tidewheel plan --out {path}") from error
    if found.format != FORMAT or found.digest != found.plan.digest:
        raise Invalid(f"{path} was changed after it was saved", where=str(path), fix=f"tidewheel plan --out {path}")
    return found.plan
