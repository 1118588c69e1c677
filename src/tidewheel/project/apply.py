"""Apply a plan: build what has no build yet, in order, then move the environment's pointers in one transaction.

Killed at any point, run again: finished builds are found by their recipe, and the pointers move only at the end. Two at
once: both may build (equal recipes give one build), one moves the pointers, the other gets ``Conflict`` and keeps its builds.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Collection, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

from tidewheel.clock import Micros
from tidewheel.digest import Digest
from tidewheel.errors import Conflict, StalePlan, TidewheelError
from tidewheel.fingerprint.recipe import Recipe
from tidewheel.ledger.definition import Declaration, NodeId, node_id
from tidewheel.ledger.record import Build
from tidewheel.project.build import BUILDERS, CHAMPION, BuildContext, Built, let_answer
from tidewheel.project.emit_lineage import Job, Lineage, dataset_of, lineage, upstream_of
from tidewheel.project.keep_views import collect_in_time, refresh_pinned
from tidewheel.project.load import Project, own_code
from tidewheel.project.open import Workspace
from tidewheel.project.plan import BUILT_KINDS, CONTENT_KINDS, Plan
from tidewheel.project.pointed import (
    SERVED_KINDS,
    answers_id,
    code_id,
    list_answering,
    point_at_code,
    point_at_version,
)
from tidewheel.project.progress import Progress, silent
from tidewheel.project.protect import refuse
from tidewheel.project.read_faces import Faces, remember_faces
from tidewheel.project.search import record_catalog
from tidewheel.project.serviceable import is_serviceable
from tidewheel.project.survey import Surveyor, meta_id, meta_recipe, plan_and_survey, restrict
from tidewheel.sources.definition import Source

_ACTIVATING = frozenset({"deployment"})
"""Kinds whose build changes what answers; the environment is looked at once more right before."""


@dataclass(frozen=True, slots=True)
class Step:
    """What became of one node: built now, or found from before."""

    node: NodeId
    built: bool
    seconds: float
    summary: str


@dataclass(frozen=True, slots=True)
class Applied:
    """The outcome of an apply."""

    environment: str
    version: int
    steps: tuple[Step, ...]
    reports: tuple[str, ...] = ()
    gate_failed: bool = False
    outputs: Mapping[NodeId, bytes] = field(default_factory=dict)


def apply_plan(
    project: Project,
    workspace: Workspace,
    plan: Plan,
    *,
    reason: str = "",
    only: Collection[NodeId] | None = None,
    accept: Collection[NodeId] = (),
    progress: Progress = silent,
) -> Applied:
    """Do exactly what the plan says.

    Parameters
    ----------
    only
        The nodes that the plan was restricted to, if it was.
    accept
        Nodes whose objections (:attr:`tidewheel.project.plan.Plan.objections`) are known and meant.

    Raises
    ------
    StalePlan
        When files, data or the environment have moved since the plan was made; nothing is built.
    IncompatibleChange, InUse
        When it would break what answers, and that was not accepted; nothing is built.
    Conflict
        When another apply moved the environment meanwhile; what was built is kept and found next time.
    """
    surveyor = Surveyor(project, workspace)
    now, survey = plan_and_survey(project, surveyor, ledger=workspace.ledger, environment=plan.environment)
    now = restrict(now, only)
    if now.digest != plan.digest:
        raise StalePlan(
            f"the plan for {plan.environment} is out of date: files, data or the environment have moved since",
            where=plan.environment,
            fix=f"tidewheel plan {plan.environment}, and look again",
        )
    refuse(now.objections, accept)
    context = BuildContext(project, workspace, surveyor, plan.environment, reason, progress)
    runner = _Runner(context, plan, dict(survey.builds))
    wanted = [d for d in project.graph.nodes.values() if only is None or d.id in only]
    progress.total(len([c for c in plan.changes if c.builds]))
    with (
        lineage(workspace, progress) as told,
        nullcontext() if told is None else told.job(f"apply:{plan.environment}", "APPLY") as job,
    ):
        runner.told, runner.job = told, job
        for declaration in wanted:
            runner.bring_up(declaration)
        context.reports.extend(refresh_pinned(project, workspace))
        version = runner.move(removed=[c.node for c in plan.changes if c.action == "remove"])
    context.reports.extend(collect_in_time(project, workspace))
    return Applied(
        plan.environment,
        version,
        tuple(runner.steps),
        tuple(context.reports),
        context.gate_failed,
        {node: build.output for node, build in runner.builds.items()},
    )


class _Runner:
    def __init__(self, context: BuildContext, plan: Plan, builds: dict[NodeId, Build]) -> None:
        self._context = context
        self._plan = plan
        self._code = context.code  # packed before anything is built: an edit meanwhile is not what was planned
        self._before = context.workspace.ledger.environment(plan.environment).pointers
        self._recipes: dict[NodeId, Recipe] = {}
        self.builds = builds
        self.steps: list[Step] = []
        self.told: Lineage | None = None
        self.job: Job | None = None

    def bring_up(self, declaration: Declaration) -> None:
        """Build a node, or find it; an error that does not know where the node stands is told."""
        try:
            self._bring_up(declaration)
        except TidewheelError as error:
            error.at(declaration.where)
            raise

    def _bring_up(self, declaration: Declaration) -> None:
        context, ledger = self._context, self._context.workspace.ledger
        recipe = context.surveyor.recipe(declaration, context.contents)
        self._recipes[declaration.id] = recipe
        self._validate(declaration)
        if declaration.kind not in BUILT_KINDS:
            context.contents[declaration.id] = recipe.digest
            return
        build = ledger.find_build(recipe.digest)
        if build is not None and not is_serviceable(declaration, build):
            reason = "another version of Tidewheel left it where this one does not look"
            ledger.retire_build(recipe.digest, actor=context.workspace.actor, reason=reason)
            build = None
        if build is None:
            build = self._build(declaration, recipe)
        elif any(change.node == declaration.id for change in self._plan.changes):
            summary = f"found from before{self._come_back(declaration, build)}"
            self.steps.append(Step(declaration.id, built=False, seconds=0.0, summary=summary))
        self.builds[declaration.id] = build
        context.builds[declaration.id] = build
        context.surveyor.learn(declaration, build)
        content = build.content if declaration.kind in CONTENT_KINDS else recipe.digest
        context.contents[declaration.id] = content

    def _come_back(self, declaration: Declaration, build: Build) -> str:
        """Let what was built before answer again, where the environment points elsewhere. What there is to say of it."""
        if declaration.kind not in _ACTIVATING or self._before.get(declaration.id) == build.recipe:
            return ""
        self._still_at_base()
        output = json.loads(build.output)
        if output["failed"]:
            self._context.gate_failed = True
            return f"; {output['version']} does not answer: gate {', '.join(output['failed'])} failed"
        version = self._context.workspace.registry.get(output["version"])
        return f"; {let_answer(self._context, declaration, version)}"

    def _validate(self, declaration: Declaration) -> None:
        """Stop at rows that are not what was expected, also where nothing is to be built; warnings go to the reports."""
        definition, context = declaration.definition, self._context
        source = definition if isinstance(definition, Source) else getattr(definition, "source", None)
        if isinstance(definition, Source):
            snapshot = context.surveyor.snapshots.get(declaration.id)
            context.reports.extend(context.workspace.sources.compare_files(definition, snapshot))
        if isinstance(source, Source) and source.expect:
            snapshot = context.surveyor.snapshots.get(node_id("source", source.name))
            context.reports.extend(context.workspace.sources.guard(source, snapshot))

    def _build(self, declaration: Declaration, recipe: Recipe) -> Build:
        context, workspace = self._context, self._context.workspace
        if declaration.kind in _ACTIVATING:
            self._still_at_base()
        workspace.ledger.put_recipe(declaration.id, recipe)
        started, used = workspace.clock(), _cpu_seconds()
        with context.progress.doing(declaration.id), self._telling(declaration) as job:
            with own_code(workspace.root, declaration.id):
                built: Built = BUILDERS[declaration.kind](context, declaration, recipe)
            if job is not None:
                job.outputs.append(dataset_of(declaration, workspace, built.content))
        ended, used = workspace.clock(), _cpu_seconds() - used
        self.steps.append(Step(declaration.id, built=True, seconds=(ended - started) / 1e6, summary=built.summary))
        return workspace.ledger.record_build(
            Build(
                recipe=recipe.digest,
                node=declaration.id,
                content=built.content,
                output=context.output_of(declaration, built),
                trace=built.trace,
                started_at=started,
                ended_at=Micros(ended),
                actor=workspace.actor,
                id=uuid.uuid4().hex,
                cpu_seconds=used,
                cost=context.project.configuration.rates.cost((ended - started) / 1e6, used),
            )
        )

    def _telling(self, declaration: Declaration) -> AbstractContextManager[Job | None]:
        if self.told is None:
            return nullcontext()
        inputs = upstream_of(declaration, self._context.project.graph.nodes, self._context.workspace)
        return self.told.job(str(declaration.id), declaration.kind.upper(), parent=self.job, inputs=inputs)

    def _still_at_base(self) -> None:
        found = self._context.workspace.ledger.environment(self._plan.environment).version
        if found != self._plan.base_version:
            raise Conflict(
                f"environment {self._plan.environment} moved to version {found} while this apply was building",
                where=self._plan.environment,
                fix=f"tidewheel plan {self._plan.environment}; what was built is kept",
            )

    def move(self, removed: Collection[NodeId]) -> int:
        context, workspace = self._context, self._context.workspace
        pointers: dict[NodeId, Digest | None] = {}
        for node, recipe in self._recipes.items():
            meta = meta_recipe(context.project.graph.nodes[node])
            workspace.ledger.put_recipe(node, recipe)
            workspace.ledger.put_recipe(meta_id(node), meta)
            pointers[node], pointers[meta_id(node)] = recipe.digest, meta.digest
        pointers |= self._point_at_code() | self._point_at_versions()
        for node in removed:
            beside = [meta_id(node), code_id(node)]
            beside += [answers_id(node.partition(":")[2])] if node.startswith("deployment:") else []
            pointers |= dict.fromkeys(one for one in (node, *beside) if one in self._before)
        record_catalog(context.project, workspace, self._plan.environment)
        faces = Faces(context.project, workspace, self._recipes)
        remember_faces(faces, workspace.ledger, recipes=self._recipes)
        before = workspace.ledger.environment(self._plan.environment)
        same = all(before.pointers.get(node) == pointer for node, pointer in pointers.items())
        if same and before.version == self._plan.base_version:
            return before.version
        after = workspace.ledger.move(
            self._plan.environment,
            pointers,
            expected=self._plan.base_version,
            actor=workspace.actor,
            reason=context.reason,
        )
        workspace.audit.record(
            workspace.actor, "apply", f"environment:{after.name}", before=str(before.version), after=str(after.version)
        )
        return after.version

    def _point_at_code(self) -> dict[NodeId, Digest | None]:
        """Of nodes that are served and have changed: a node that is as it was keeps the code that it was applied from."""
        ledger = self._context.workspace.ledger
        return {
            code_id(node): point_at_code(ledger, node, self._code)
            for node, recipe in self._recipes.items()
            if recipe.kind in SERVED_KINDS and (self._before.get(node) != recipe.digest or code_id(node) not in self._before)
        }

    def _point_at_versions(self) -> dict[NodeId, Digest | None]:
        """Of deployments: who answers from this move on. Where a gate failed, that is who answered before."""
        workspace, here = self._context.workspace, self._plan.environment
        answering = list_answering(workspace, here)
        found: dict[NodeId, Digest | None] = {}
        for node, recipe in self._recipes.items():
            if recipe.kind != "deployment":
                continue
            deployment, output = node.partition(":")[2], json.loads(self.builds[node].output)
            answers = answering.get(deployment)
            if here == workspace.environment:
                champion = workspace.routes.current(deployment).champion
                answers = None if champion is None else f"{champion.model}:{champion.version}"
            elif not output["failed"]:
                answers = str(output["version"])
            elif answers is None:
                held = workspace.registry.find(output["version"].rpartition(":")[0], CHAMPION)
                answers = None if held is None else held.name
            if answers is not None:
                found[answers_id(deployment)] = point_at_version(workspace.ledger, deployment, answers)
        return found


def _cpu_seconds() -> float:
    """What this process and those that it has seen the end of have used of processors."""
    return sum(os.times()[:4])


def applied_to_json(applied: Applied) -> dict[str, object]:
    """The outcome as plain values."""
    return {
        "environment": applied.environment,
        "version": applied.version,
        "gate_failed": applied.gate_failed,
        "reports": list(applied.reports),
        "steps": [
            {"node": step.node, "built": step.built, "seconds": round(step.seconds, 3), "summary": step.summary}
            for step in applied.steps
        ],
    }
