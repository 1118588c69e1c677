"""Check a project: its definitions, its rows, what is online, and what it served."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass

import pyarrow as pa
import pyarrow.compute as pc

from tidewheel.errors import UntrackedRead
from tidewheel.features.retrieve import retrieve
from tidewheel.fingerprint.walk import Fingerprinter
from tidewheel.ledger.definition import Declaration, node_id
from tidewheel.pipelines.definition import Step
from tidewheel.project.check_data import (
    Finding,
    OnlineParity,
    check_freshness,
    check_monitors,
    check_rows,
    compare_online,
)
from tidewheel.project.load import Project
from tidewheel.project.open import Workspace
from tidewheel.project.parity import Mismatch, Parity, compare_features, spine_of
from tidewheel.project.pinned import PinnedProjects
from tidewheel.project.progress import Progress, silent
from tidewheel.schema import Schema

SAMPLE = 100
"""Keys of each view that are compared online and offline."""
_EXAMPLES = 20
_ROWS = 50_000


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What was found; parity per deployment of what was served, and per view of what is online."""

    findings: tuple[Finding, ...]
    parities: tuple[Parity, ...]
    online: tuple[OnlineParity, ...] = ()

    @property
    def clean(self) -> bool:
        """No error, and no value that differs."""
        differs = any(one.mismatches for one in self.parities) or any(one.mismatches for one in self.online)
        return not differs and not any(f.level == "error" for f in self.findings)

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        return {"clean": self.clean} | asdict(self)


def check_project(
    project: Project,
    workspace: Workspace,
    *,
    node: str | None = None,
    limit: int | None = None,
    sample: int = SAMPLE,
    progress: Progress = silent,
) -> CheckReport:
    """Lint all definitions, look at rows, views and monitors, and replay the logged predictions of the deployments.

    Parameters
    ----------
    node
        Replay only this deployment, and look at nothing else but the definitions.
    limit
        Replay only the newest this many predictions of each.
    sample
        Compare so many keys of each view online and offline.
    """
    findings = list(lint_project(project, workspace.fingerprinter))
    online: list[OnlineParity] = []
    if node is None:
        with progress.doing("look at sources and views"):
            for look in (check_rows, check_freshness, check_monitors):
                findings += look(project, workspace)
            for one in compare_online(project, workspace, sample=sample, progress=progress):
                if isinstance(one, Finding):
                    findings.append(one)
                else:
                    online.append(one)
    wanted = (
        [project.graph.find(node if ":" in node else node_id("deployment", node))] if node else project.graph.nodes.values()
    )
    pinned = PinnedProjects(project, workspace)
    parities = []
    for declaration in wanted:
        if declaration.kind == "deployment":
            with progress.doing(f"replay {declaration.name}"):
                parities.append(replay(workspace, pinned, declaration.name, limit=limit, progress=progress))
    return CheckReport(tuple(findings), tuple(parities), tuple(online))


def lint_project(project: Project, fingerprinter: Fingerprinter) -> Iterator[Finding]:
    """What the code of the definitions uses that no recipe can hold: clocks, unseeded draws, paths that C++ readers open."""
    for declaration in project.graph.nodes.values():
        if declaration.functions and not _told(declaration):
            for found in fingerprinter.findings(declaration.functions):
                yield Finding("warning", found.where or declaration.where, f"{declaration.id}: {found.message}")


def refuse_untracked(project: Project, fingerprinter: Fingerprinter) -> None:
    """Refuse what ``--strict`` refuses: code whose result depends on something that no recipe can hold.

    Raises
    ------
    UntrackedRead
        With the file and line of each use, and how to make it one that can be followed.
    """
    found = list(lint_project(project, fingerprinter))
    if found:
        listed = "".join(f"\n  {one.where}: {one.message}" for one in found)
        raise UntrackedRead(
            f"{len(found)} uses cannot be followed, and --strict allows none:{listed}",
            where=found[0].where,
            fix="hand over a tw.File or a tw.Table, name what is read in reads=, give a seed, or say fresh= how long it holds",
        )


def _told(declaration: Declaration) -> bool:
    """Whether a step says itself what it reads, or for how long its result holds; a pipeline's body runs every time."""
    definition = declaration.definition
    if declaration.kind == "pipeline":
        return True
    return isinstance(definition, Step) and (definition.policy.fresh is not None or definition.policy.reads is not None)


def replay(
    workspace: Workspace, pinned: PinnedProjects, deployment: str, *, limit: int | None = None, progress: Progress = silent
) -> Parity:
    """Compute the features of logged predictions again, offline, at the logged instants, and compare bit by bit.

    Each prediction is replayed with the definitions that its model version was trained with.
    """
    log = workspace.prediction_log(deployment).read()
    if limit is not None:
        log = log.slice(max(0, log.num_rows - limit))
    checked = mismatches = values = 0
    examples: list[Mismatch] = []
    for model, version in _versions(log):
        mine = pc.and_(pc.equal(log["model"], model), pc.equal(log["version"], version))
        rows = log.filter(mine)
        service = pinned.service(workspace.registry.get(f"{model}:{version}"))
        schema = Schema((*service.keys, *service.request))
        for start in range(0, rows.num_rows, _ROWS):
            part = rows.slice(start, _ROWS)
            computed = retrieve(service, spine_of(part, schema), time="at", sources=workspace.sources).table
            for mismatch in compare_features(part, computed, service.names):
                mismatches += 1
                if len(examples) < _EXAMPLES:
                    examples.append(mismatch)
            checked += part.num_rows
            values += part.num_rows * len(service.names)
            progress.step(f"replay {deployment}", checked, log.num_rows)
    return Parity(deployment, checked, values, mismatches, tuple(examples))


def _versions(log: pa.Table) -> list[tuple[str, int]]:
    found = log.group_by(["model", "version"]).aggregate([]).to_pylist()
    return sorted((row["model"], row["version"]) for row in found)
