"""Plans as JSON: for programs, and for applying exactly a plan that somebody has read."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import msgspec

from tidewheel.errors import Invalid
from tidewheel.project.plan import Plan

VERSION = 2
"""Version of the JSON (``docs/reference/plan_json.md``); fields are added within a version, never renamed or removed."""


class _PlanFile(msgspec.Struct, frozen=True):
    version: int
    digest: str
    plan: Plan


def plan_to_json(plan: Plan) -> dict[str, object]:
    """The plan as plain values, as ``docs/reference/plan_json.md`` says."""
    return {
        "version": VERSION,
        "digest": plan.digest,
        "estimate_seconds": plan.estimate_seconds,
        "estimate_cost": plan.estimate_cost,
    } | asdict(plan)


def save_plan(plan: Plan, path: Path) -> None:
    """Write a plan to a file."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode(_PlanFile(VERSION, plan.digest, plan)), indent=2) + b"\n")


def load_plan(path: Path, environment: str | None = None) -> Plan:
    """Read a saved plan.

    Parameters
    ----------
    environment
        That the plan must be for; ``None`` takes a plan for any.

    Raises
    ------
    Invalid
        When the file is no plan, is for another environment, or was edited: its digest no longer fits.
    """
    try:
        found = msgspec.json.decode(path.read_bytes(), type=_PlanFile)
    except msgspec.DecodeError as error:
        raise Invalid(f"{path} is not a saved plan: {error}", where=str(path), fix=f"tidewheel plan --out {path}") from error
    if found.version != VERSION:
        told = f"{path} is a plan of version {found.version}, and this is version {VERSION}"
        raise Invalid(told, where=str(path), fix=f"tidewheel plan --out {path}")
    if found.digest != found.plan.digest:
        raise Invalid(f"{path} was changed after it was saved", where=str(path), fix=f"tidewheel plan --out {path}")
    if environment not in (None, found.plan.environment):
        told = f"{path} is a plan for {found.plan.environment}, not for {environment}"
        raise Invalid(told, where=str(path), fix=f"tidewheel plan {environment} --out {path}")
    return found.plan
