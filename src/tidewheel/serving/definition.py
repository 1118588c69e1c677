"""The definition of a deployment: a name under which a model answers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from tidewheel.errors import Invalid
from tidewheel.ledger.definition import Declaration, declare, node_id, place

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,99}")
_CONDITION = re.compile(r"\s*(error_rate|p95_ms|p99_ms)\s*(>=|>)\s*(\d+(?:\.\d+)?)\s*(%?)\s*")


class NamedModel(Protocol):
    """What a deployment needs to know of a model definition."""

    @property
    def name(self) -> str:
        """Name of the model in the registry."""
        ...


@dataclass(frozen=True, slots=True)
class RollbackCondition:
    """When a rollout turns back by itself, over the answers of the newest arm."""

    measure: str
    above: float
    inclusive: bool = False

    def holds(self, value: float) -> bool:
        """Whether the measured value asks for a rollback.

        Examples
        --------
        >>> parse_condition("error_rate > 1%").holds(0.02)
        True
        """
        return value >= self.above if self.inclusive else value > self.above


@dataclass(frozen=True, slots=True)
class Deployment:
    """A name under which a model answers.

    Parameters
    ----------
    canary
        Steps of a rollout in percent of traffic, ascending; the last is 100.
    rollback_when
        Condition as written; :func:`parse_condition` reads it.
    split_by
        Input names whose values decide the arm of a request; empty means all entity keys of the service.
    """

    name: str
    model: str
    canary: tuple[int, ...] = (100,)
    rollback_when: str | None = None
    split_by: tuple[str, ...] = ()
    owner: str | None = None
    description: str = ""
    tags: tuple[str, ...] = ()


def deployment(
    name: str,
    *,
    model: NamedModel | str,
    canary: Sequence[int] = (100,),
    rollback_when: str | None = None,
    split_by: Sequence[str] = (),
    owner: str | None = None,
    description: str = "",
    tags: Sequence[str] = (),
) -> Deployment:
    """Declare that a model answers under a name, at ``POST /predict/NAME`` and ``/v2/models/NAME``.

    Parameters
    ----------
    model
        A model definition, or its name.
    canary
        Percent of traffic that a new version gets, step by step: ascending, above 0, the last is 100.
    rollback_when
        ``"error_rate > 1%"``, ``"p95_ms > 50"``; checked on the new version while it rolls out.
    split_by
        Names of inputs; requests with equal values go to the same version. Default: all entity keys.

    Raises
    ------
    Invalid
        For a name that no URL can carry, a canary that does not climb to 100, or a condition that cannot be read.

    Examples
    --------
    >>> api = deployment("eta", model="eta", canary=[5, 25, 100], rollback_when="error_rate > 1%")
    >>> api.canary
    (5, 25, 100)
    """
    where = place()
    if not _NAME.fullmatch(name):
        raise Invalid(
            f"{name!r} is not a name for a deployment", where=where, fix="use letters, digits, '_', '-', '.'; a letter first"
        )
    steps = tuple(canary)
    if not steps or steps[-1] != 100 or any(b <= a for a, b in zip((0, *steps), steps, strict=False)):
        raise Invalid(f"canary {list(steps)} does not climb to 100", where=where, fix="canary=[5, 25, 100]")
    if rollback_when is not None:
        parse_condition(rollback_when, where=where)
    made = Deployment(
        name,
        model if isinstance(model, str) else model.name,
        steps,
        rollback_when,
        tuple(split_by),
        owner,
        description,
        tuple(tags),
    )
    declare(
        Declaration(
            node_id("deployment", name),
            made,
            where,
            parameters={
                "model": made.model,
                "canary": list(steps),
                "rollback_when": rollback_when,
                "split_by": list(made.split_by),
            },
            upstream=(node_id("model", made.model),),
            meta={"owner": owner, "description": description, "tags": list(made.tags)},
        )
    )
    return made


def parse_condition(text: str, *, where: str | None = None) -> RollbackCondition:
    """Read a rollback condition.

    Examples
    --------
    >>> parse_condition("error_rate > 1%")
    RollbackCondition(measure='error_rate', above=0.01, inclusive=False)
    """
    found = _CONDITION.fullmatch(text)
    if found is None:
        raise Invalid(
            f"{text!r} is not a rollback condition", where=where, fix='write "error_rate > 1%", "p95_ms > 50" or "p99_ms > 80"'
        )
    measure, comparison, number, percent = found.groups()
    return RollbackCondition(measure, float(number) / (100 if percent else 1), comparison == ">=")
