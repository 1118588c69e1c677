"""The model card: what a version is, on one page, in Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tidewheel.clock import format_instant
from tidewheel.models.version import FeatureProfile, ModelVersion


def card_of(version: ModelVersion, *, aliases: Sequence[str] = ()) -> str:
    """The card of a version.

    Parameters
    ----------
    aliases
        That point at it now.
    """
    known = version.provenance
    lines = [f"# {version.model}, version {version.version}", ""]
    if known.description:
        lines += [known.description, ""]
    lines += _table(
        ("", ""),
        [
            ("owner", known.owner or "nobody"),
            ("aliases", ", ".join(aliases) or "none"),
            ("trained", f"{format_instant(version.created_at)} by {known.actor or 'unknown'}, run `{version.run_id}`"),
            ("format", version.format + (" (loading it runs code from the file)" if version.format == "pickle" else "")),
            ("content", f"`{version.content}`"),
            ("recipe", f"`{version.recipe}`"),
            ("training set", f"`{version.training_set}`"),
            ("feature service", version.service or "none"),
            ("project code", f"`{version.project_snapshot}`"),
        ],
    )
    lines += ["## Metrics on the test split", ""]
    marked = {f"**{name}**" if name == known.metric else name: value for name, value in sorted(version.metrics.items())}
    lines += _table(("metric", "value"), [(name, f"{value:.6g}") for name, value in marked.items()])
    lines += ["## Inputs, in order", ""]
    lines += _table(
        ("feature", "type", "nulls", "mean", "5 %", "median", "95 %"),
        [(field.name, field.type.value, *_numbers(known.profile, field.name)) for field in version.signature.inputs],
    )
    output = version.signature.output
    lines += [f"Output: `{output.name}`, {output.type.value}.", ""]
    if known.views:
        lines += ["## Feature views, pinned", "", *_table(("view", "version"), [(n, f"`{v}`") for n, v in known.views.items()])]
    if known.environment_lock:
        lines += [f"## Environment ({len(known.environment_lock)} distributions)", ""]
        lines += ["```", *(f"{name}=={number}" for name, number in sorted(known.environment_lock.items())), "```", ""]
    return "\n".join(lines)


def _numbers(profile: Mapping[str, FeatureProfile], name: str) -> tuple[str, ...]:
    found = profile.get(name)
    if found is None:
        return ("", "", "", "", "")
    marks = found.quantiles
    spread = (f"{marks[2]:.4g}", f"{marks[4]:.4g}", f"{marks[6]:.4g}") if marks else ("", "", "")
    share = f"{found.nulls / found.count:.1%}" if found.count else ""
    return (share, f"{found.mean:.4g}", *spread)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    body = ["| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in row) + " |" for row in rows]
    return ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head), *body, ""]
