"""Plans: the difference between a working tree and an environment, as values.

:func:`compare` is pure: recipes as they are in the environment and recipes as they would be now, in; changes, out.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from tidewheel.digest import Digest, digest
from tidewheel.fingerprint.recipe import Recipe, upstream_of
from tidewheel.ledger.definition import Declaration, NodeId
from tidewheel.project.change_class import ChangeClass, class_of
from tidewheel.project.column_change import ColumnChange
from tidewheel.project.graph import Graph

Action = Literal["add", "change", "remove", "metadata", "follow", "finish"]
"""What happens to a node. ``follow``: only its upstream changes, and with early cut-off it may not change at all.
``finish``: an earlier apply pointed at the recipe but died before the build was recorded."""

BUILT_KINDS = frozenset({"source", "view", "training_set", "model", "gate", "deployment", "monitor"})
"""Kinds whose nodes have something to build; a node of another kind is its recipe and nothing else."""

CONTENT_KINDS = frozenset({"training_set", "model"})
"""Kinds whose content is known only after the build; the content of any other kind follows from its recipe."""


@dataclass(frozen=True, slots=True)
class Reason:
    """One component of a recipe that differs."""

    component: str
    old: str | None
    new: str | None
    where: str | None


@dataclass(frozen=True, slots=True)
class Change:
    """What an apply would do to one node, and why."""

    node: NodeId
    action: Action
    kind: ChangeClass
    where: str
    owner: str | None
    reasons: tuple[Reason, ...]
    downstream: tuple[NodeId, ...]
    recipe: Digest | None
    builds: bool
    estimate_seconds: float | None
    note: str = ""
    """What else there is to know, in words: of a transform, how a training set computes it."""
    estimate_cost: float | None = None
    columns: tuple[ColumnChange, ...] = ()
    """Its columns, features or outputs that are not what they were, where that can be told; data apart."""
    spared: tuple[NodeId, ...] = ()
    """Those of ``downstream`` that stay as they are: they use no column that the change is about."""


@dataclass(frozen=True, slots=True)
class Objection:
    """Why a change would break somebody for whom there is no second version: the error that it will be, and what to do."""

    code: Literal["IncompatibleChange", "InUse"]
    node: NodeId
    what: str
    fix: str


@dataclass(frozen=True, slots=True)
class Plan:
    """The changes that bring an environment to the working tree, in the order in which they are made.

    ``objections`` are what an apply refuses until they are accepted; they are found again by every apply.
    ``warnings`` are what is to be known of the sources, and stops nothing.
    """

    environment: str
    base_version: int
    changes: tuple[Change, ...]
    owners: Mapping[NodeId, str]
    objections: tuple[Objection, ...] = ()
    currency: str = ""
    warnings: tuple[str, ...] = ()

    @property
    def empty(self) -> bool:
        """Whether there is nothing to do."""
        return not self.changes

    @property
    def digest(self) -> Digest:
        """What the plan would do, from which state; two plans of one digest do the same."""
        changes = [[c.node, c.action, c.recipe, [[r.component, r.old, r.new] for r in c.reasons]] for c in self.changes]
        return digest([self.environment, self.base_version, changes])

    @property
    def estimate_seconds(self) -> float | None:
        """Sum of the known estimates; ``None`` when none is known."""
        known = [c.estimate_seconds for c in self.changes if c.estimate_seconds is not None]
        return sum(known) if known else None

    @property
    def estimate_cost(self) -> float | None:
        """Sum of the known costs; ``None`` when none is known."""
        known = [c.estimate_cost for c in self.changes if c.estimate_cost is not None]
        return sum(known) if known else None


@dataclass(frozen=True, slots=True)
class State:
    """One side of a comparison.

    Parameters
    ----------
    recipes, metas
        Per node. The recipe of a pending node lacks the ``upstream:`` components that are not known yet.
    pending
        Nodes that wait for an upstream that has yet to be built.
    missing_builds
        Nodes whose recipe is complete and has no build.
    """

    recipes: Mapping[NodeId, Recipe]
    metas: Mapping[NodeId, Recipe]
    pending: frozenset[NodeId] = frozenset()
    missing_builds: frozenset[NodeId] = frozenset()


def compare(graph: Graph, old: State, new: State, *, environment: str, base_version: int) -> Plan:
    """The changes that lead from the old state to the new one.

    Parameters
    ----------
    graph
        Declarations of the working tree.
    old
        Recipes and metas that the environment points at.
    new
        Recipes and metas of the working tree; ``missing_builds`` names nodes whose recipe has no build yet.
    """
    changes: list[Change] = []
    for declaration in graph.nodes.values():
        change = _change(declaration, graph, old, new)
        if change is not None:
            changes.append(change)
    removed = [node for node in old.recipes if node not in graph.nodes]
    changes.extend(
        Change(node, "remove", "schema-breaking", "", None, (), (), None, builds=False, estimate_seconds=None)
        for node in sorted(removed)
    )
    owners = {d.id: str(d.meta["owner"]) for d in graph.nodes.values() if d.meta.get("owner")}
    touched = {change.node for change in changes if change.action != "metadata"}
    told = [replace(one, spared=_spared(one, touched)) if one.action == "change" else one for one in changes]
    return classify(Plan(environment, base_version, tuple(told), owners), graph, {})


def _spared(change: Change, touched: Collection[NodeId]) -> tuple[NodeId, ...]:
    return tuple(node for node in change.downstream if node not in touched)


def classify(plan: Plan, graph: Graph, judged: Mapping[NodeId, ChangeClass | None]) -> Plan:
    """The plan with the class of each change.

    Parameters
    ----------
    judged
        What the faces of some nodes say; a node whose faces could not be compared is absent.
    """
    found: dict[NodeId, Change] = {}
    for change in plan.changes:
        node = change.node
        if change.action in {"change", "follow"}:
            declaration = graph.nodes[node]
            named = {reason.component for reason in change.reasons}
            waits = change.recipe is None
            touched = {upstream_of(name) for name in named}
            above = [found[up].kind for up in declaration.upstream if up in found and (waits or up in touched)]
            own = [name for name in named if upstream_of(name) not in found]
            told = judged.get(node)
            kind = class_of(declaration.kind, own, inherited=above, judged=told, compared=node in judged)
            change = replace(change, kind=kind)
        found[node] = change
    return replace(plan, changes=tuple(found.values()))


def _change(declaration: Declaration, graph: Graph, old: State, new: State) -> Change | None:
    node = declaration.id
    before, after = old.recipes.get(node), new.recipes[node]
    waits = node in new.pending
    reasons: tuple[Reason, ...] = ()
    action: Action
    kind: ChangeClass
    if before is None:
        action, kind = "add", "additive"
    elif waits or before.digest != after.digest:
        reasons = differences(before, after, partial=waits)
        own = any(upstream_of(reason.component) is None for reason in reasons)
        action = "change" if own else "follow"
        kind = "value-changing"  # until it is told apart, once the classes of its upstream nodes are known
    elif node in new.missing_builds:
        action, kind = "finish", "value-changing"
    elif node not in old.metas or old.metas[node].digest != new.metas[node].digest:
        action, kind = "metadata", "metadata"
        reasons = differences(old.metas.get(node), new.metas[node])
    else:
        return None
    builds = declaration.kind in BUILT_KINDS and (waits or node in new.missing_builds)
    owner = declaration.meta.get("owner")
    return Change(
        node=node,
        action=action,
        kind=kind,
        where=declaration.where,
        owner=str(owner) if owner else None,
        reasons=reasons,
        downstream=graph.downstream(node),
        recipe=None if waits else after.digest,
        builds=builds,
        estimate_seconds=None,
    )


def differences(old: Recipe | None, new: Recipe, *, partial: bool = False) -> tuple[Reason, ...]:
    """Components that differ between two recipes, in order of name.

    Of a ``partial`` new recipe, one that waits for upstream content, the absent upstream components are no difference.
    """
    before = old.components if old is not None else {}
    reasons = []
    other = old is not None and old.algorithm != new.algorithm
    if old is not None and other:  # then values differ by themselves: only what shows is a change of the user's
        reasons.append(Reason("fingerprint", f"algorithm {old.algorithm}", f"algorithm {new.algorithm}", None))
    for name in sorted({*before, *new.components}):
        left, right = before.get(name), new.components.get(name)
        if left is not None and right is not None and left.value == right.value:
            continue
        if other and left is not None and right is not None and left.note is not None and left.note == right.note:
            continue
        if right is None and partial and upstream_of(name) is not None:
            continue
        shown = right or left
        reasons.append(
            Reason(
                name,
                (left.note or left.value) if left else None,
                (right.note or right.value) if right else None,
                shown.where if shown else None,
            )
        )
    return tuple(reasons)
