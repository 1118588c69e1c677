"""Why two builds differ: the components of their recipes side by side, and what came of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from tidewheel.clock import Micros, format_instant
from tidewheel.errors import Invalid, NotFound
from tidewheel.fingerprint.recipe import Recipe
from tidewheel.ledger.definition import NodeId
from tidewheel.ledger.record import Build
from tidewheel.project.open import Workspace
from tidewheel.project.plan import Reason, differences

_SHORTEST = 4


@dataclass(frozen=True, slots=True)
class BuildSummary:
    """One build, as it is told of."""

    id: str
    node: NodeId
    recipe: str
    content: str
    started_at: Micros
    seconds: float
    actor: str

    def __str__(self) -> str:
        return f"{self.node} build {self.id[:12]}, {format_instant(self.started_at)}, {self.seconds:.2f} s, by {self.actor}"


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two builds: what of their recipes differs, and whether the contents do."""

    old: BuildSummary
    new: BuildSummary
    reasons: tuple[Reason, ...]

    @property
    def verdict(self) -> str:
        """In one sentence."""
        same = "the same content" if self.old.content == self.new.content else "other content"
        if self.old.recipe != self.new.recipe:
            count = len(self.reasons)
            return f"{count} component{'s differ' if count != 1 else ' differs'}, and gave {same}"
        return f"one recipe, built twice, gave {same}"

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        return {"verdict": self.verdict} | asdict(self)


def compare_builds(workspace: Workspace, left: str, right: str) -> Comparison:
    """What differs between two builds.

    Parameters
    ----------
    left, right
        The id of a build or of its recipe, or the first characters of it; or a model version, ``eta:3`` or ``eta@champion``.

    Raises
    ------
    NotFound
        When there is no such build.
    Invalid
        When the characters begin several.
    """
    return _compare(workspace, find_build(workspace, left), find_build(workspace, right))


def compare_newest(workspace: Workspace, node: NodeId) -> Comparison | None:
    """The newest build of a node against the one before it that was asked for most alike; ``None`` when there are not two.

    A step is called with many arguments in one run. Its build is held to the last one with the same plain arguments, so that
    what is told is what changed between runs, and not that there were several calls.
    """
    builds = workspace.ledger.list_builds(node)
    if len(builds) < 2:
        return None
    recipes = workspace.ledger.get_recipes([build.recipe for build in builds])
    asked = _arguments(recipes[builds[0].recipe])
    before = max(builds[1:], key=lambda build: len(asked & _arguments(recipes[build.recipe])))  # the first of the best
    return _compare(workspace, before, builds[0])


def _arguments(recipe: Recipe) -> set[tuple[str, str | None]]:
    """Arguments as they are shown: plain ones by value, others by their type."""
    return {(name, part.note) for name, part in recipe.components.items() if name.startswith("arg:")}


def find_build(workspace: Workspace, name: str) -> Build:
    """A build by its id, its recipe, the beginning of one of them, or the model version that came of it."""
    recipe = _recipe_of_version(workspace, name)
    found = workspace.ledger.builds_like(recipe or name) if recipe or len(name) >= _SHORTEST else []
    if not found:
        raise NotFound(
            f"no build {name!r}",
            where=name,
            fix=f"tidewheel show NODE lists builds; give at least {_SHORTEST} characters of an id, or MODEL:VERSION",
        )
    if len(found) > 1:
        raise Invalid(f"{len(found)} builds begin with {name!r}: {_some(found)}", where=name, fix="give more characters")
    return found[0]


def _recipe_of_version(workspace: Workspace, name: str) -> str | None:
    if "@" not in name and ":" not in name:
        return None
    return workspace.registry.get(name).recipe


def _some(builds: Sequence[Build]) -> str:
    return ", ".join(f"{build.node} {build.id[:12]}" for build in builds[:5])


def _compare(workspace: Workspace, old: Build, new: Build) -> Comparison:
    recipes = workspace.ledger.get_recipes([old.recipe, new.recipe])
    return Comparison(_summary(old), _summary(new), differences(recipes[old.recipe], recipes[new.recipe]))


def _summary(build: Build) -> BuildSummary:
    return BuildSummary(build.id, build.node, build.recipe, build.content, build.started_at, build.seconds, build.actor)
