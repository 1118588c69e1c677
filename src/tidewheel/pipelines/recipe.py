"""Recipe of one call of a step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from tidewheel.digest import digest
from tidewheel.fingerprint.reads import Read
from tidewheel.fingerprint.recipe import Component, Recipe
from tidewheel.fingerprint.verify_reads import current_value, file_value
from tidewheel.fingerprint.walk import Fingerprinter
from tidewheel.pipelines.codec import Packed
from tidewheel.pipelines.definition import Policy, Step


def call_recipe(
    step: Step[..., object],
    arguments: Mapping[str, Packed],
    fingerprinter: Fingerprinter,
    *,
    shown: Mapping[str, object],
    now: int,
) -> Recipe:
    """What decides the result of a call: code, content of arguments, declared files, and the span of freshness.

    Parameters
    ----------
    shown
        The arguments themselves, to show to a person.
    now
        Microseconds; only steps with ``fresh=`` depend on it.
    """
    parts = name_secrets(fingerprinter.components([step.function]), step)
    for name, packed in arguments.items():
        parts[f"arg:{name}"] = Component(packed.content, step.where, _short(shown[name]))
        if packed.code:
            parts.update(fingerprinter.components(packed.code))
    parts.update(_policy(step.policy, fingerprinter.root, step.where, now))
    return Recipe("step", parts)


def name_secrets(components: Mapping[str, Component], step: Step[..., object]) -> dict[str, Component]:
    """Components of a step's code with the names of its secrets in the place of what their variables hold now."""
    parts = dict(components)
    for variable, secret in step.policy.secrets.items():
        parts.pop(f"env:{variable}", None)
        parts[f"secret:{variable}"] = Component(digest(secret.name), step.where, f"the secret {secret.name}")
    return parts


def with_reads(recipe: Recipe, reads: Sequence[Read], root: Path) -> Recipe:
    """The recipe of a call whose recorded reads give other values now: with those values in it."""
    parts = dict(recipe.components)
    for read in reads:
        parts[read.component] = Component(current_value(read, root) or "absent", read.name)
    return Recipe(recipe.kind, parts)


def with_nonce(recipe: Recipe, reason: str, nonce: str) -> Recipe:
    """A recipe that nobody will ask for again, of a result that must not be used again."""
    return Recipe(recipe.kind, {**recipe.components, "untracked": Component(nonce, None, reason)})


def _policy(policy: Policy, root: Path, where: str, now: int) -> dict[str, Component]:
    parts: dict[str, Component] = {}
    if policy.fresh:
        # Spans begin at fixed instants, so a result is never older than its span, and all who ask within one share it.
        parts["param:fresh"] = Component(f"{policy.fresh}:{now // policy.fresh}", where, "span of freshness")
    for pattern in policy.reads or ():
        matches = (
            sorted(str(path.relative_to(root)) for path in root.glob(pattern)) if not Path(pattern).is_absolute() else [pattern]
        )
        values = [[name, file_value(str(root / name))] for name in matches]
        parts[f"read:{pattern}"] = Component(digest(values), where, f"{len(matches)} files")
    return parts


def _short(value: object) -> str:
    text = repr(value) if isinstance(value, str | int | float | bool | type(None)) else type(value).__name__
    return text if len(text) <= 120 else text[:117] + "..."
