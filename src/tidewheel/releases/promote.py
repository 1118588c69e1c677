"""Promote and roll back: alias and route move together, in one transaction, with their evidence."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import sqlalchemy as sa

from tidewheel.clock import Clock
from tidewheel.database import Database
from tidewheel.datasets.handle import Split
from tidewheel.digest import digest
from tidewheel.errors import Conflict, Invalid, NotFound
from tidewheel.models.registry import Registry
from tidewheel.models.version import ModelVersion
from tidewheel.releases.definition import Gate
from tidewheel.releases.evaluate import Answer, find_rivals, hold_contest, judge, report_id, require
from tidewheel.releases.report import GateReport, Release
from tidewheel.releases.tables import gate_reports, releases
from tidewheel.serving.arm import WHOLE, Arm, Role, Route
from tidewheel.serving.route import Routes

CHAMPION: Role = "champion"


class Releases:
    """Gates and releases of a workspace.

    Registry and routes must live in the same database, so that a release is all there or not at all, also after ``kill -9``.
    """

    def __init__(self, database: Database, clock: Clock, *, registry: Registry, routes: Routes) -> None:
        self._database = database
        self._clock = clock
        self._registry = registry
        self._routes = routes

    def evaluate(
        self, gate: Gate, challenger: ModelVersion, held_out: Split, *, answer: Answer | None = None, seed: int = 0
    ) -> GateReport:
        """Judge a version, and store the report.

        A report that was passed stands for the same conditions, models and rows. One that failed is made anew, because a
        latency can have been bad luck.

        Parameters
        ----------
        held_out
            Rows that the challenger was not trained on, with labels.
        answer
            Answers one held-out row by its index, for the latency; by default the model alone answers.

        Raises
        ------
        Invalid
            When there is nothing to judge on.
        """
        name = report_id(gate, challenger, rivals=find_rivals(gate, self._registry), held_out=held_out.digest, seed=seed)
        stood = self.find_report(name)
        if stood is not None and stood.passed:
            return stood
        contest = hold_contest(gate, challenger, registry=self._registry, held_out=held_out, answer=answer, seed=seed)
        report = judge(gate, contest, at=self._clock(), id=name)
        with self._database.write() as connection:
            connection.execute(gate_reports.delete().where(gate_reports.c.id == name))
            connection.execute(
                gate_reports.insert().values(
                    id=name,
                    gate=gate.name,
                    model=gate.model,
                    version=challenger.version,
                    passed=report.passed,
                    at=report.at,
                    report=msgspec.json.encode(report).decode(),
                )
            )
        return report

    def find_report(self, name: str) -> GateReport | None:
        """The report of an id, or ``None``."""
        with self._database.read() as connection:
            text = connection.scalar(sa.select(gate_reports.c.report).where(gate_reports.c.id == name))
        return None if text is None else msgspec.json.decode(text, type=GateReport)

    def list_reports(self, gate: str | None = None, *, limit: int = 50) -> Sequence[GateReport]:
        """Reports, newest first."""
        query = sa.select(gate_reports.c.report).order_by(gate_reports.c.at.desc(), gate_reports.c.id).limit(limit)
        if gate is not None:
            query = query.where(gate_reports.c.gate == gate)
        with self._database.read() as connection:
            return [msgspec.json.decode(text, type=GateReport) for text in connection.scalars(query)]

    def promote(
        self,
        deployment: str,
        version: ModelVersion,
        *,
        evidence: GateReport | None,
        actor: str,
        reason: str,
        expected_revision: int | None = None,
    ) -> Release:
        """Let a version answer for a deployment: the alias ``champion`` and all of the traffic move to it.

        Promoting what answers already changes nothing and gives the release that made it so.

        Parameters
        ----------
        evidence
            The gate's report for this version; ``None`` when a person decides without a gate, which the record shows.
        expected_revision
            Revision of the route that the decision was made on.

        Raises
        ------
        GateFailed
            When the evidence says so.
        Invalid
            When the evidence is of another version.
        Conflict
            When the route has moved since ``expected_revision``; nothing is changed.
        """
        if evidence is not None:
            if (evidence.model, evidence.challenger_version) != (version.model, version.version):
                found = f"{evidence.model}:{evidence.challenger_version}"
                raise Invalid(
                    f"the evidence is of {found}, not of {version.name}", where=version.name, fix="evaluate its own gate"
                )
            require(evidence)
        with self._database.write():
            route = self._routes.current(deployment)
            if self._answers_alone(route, version):
                done = self._find(deployment, route.revision)
                if done is not None:
                    return done
            _expect(route, expected_revision)
            kept = [arm for arm in route.shadows if (arm.model, arm.version) != (version.model, version.version)]
            return self._move(
                route,
                [_alone(version.model, version.version), *kept],
                "promote",
                evidence="" if evidence is None else evidence.id,
                actor=actor,
                reason=reason,
            )

    def rollback(
        self, deployment: str, *, actor: str, reason: str, evidence: str = "", expected_revision: int | None = None
    ) -> Release:
        """Let the version answer that answered before the current one was promoted.

        Rolling back again goes further back, never forward to what was rolled back.

        Parameters
        ----------
        evidence
            Id of the alert or report that it rests on.
        expected_revision
            Revision that is to be undone. A rollback of it that has happened already is given back.

        Raises
        ------
        NotFound
            When nothing answered before.
        Conflict
            When the route has moved since ``expected_revision``; nothing is changed.
        """
        with self._database.write():
            route = self._routes.current(deployment)
            done = self._find(deployment, route.revision)
            if done is not None and done.kind == "rollback" and expected_revision == route.revision - 1:
                return done
            _expect(route, expected_revision)
            earlier = self._before(route)
            return self._move(
                route, [_alone(earlier.model, earlier.version)], "rollback", evidence=evidence, actor=actor, reason=reason
            )

    def history(self, deployment: str, *, limit: int = 100) -> Sequence[Release]:
        """Releases of a deployment, newest first."""
        query = sa.select(releases).where(releases.c.deployment == deployment).order_by(releases.c.revision.desc()).limit(limit)
        with self._database.read() as connection:
            return [_release(row) for row in connection.execute(query).mappings()]

    def _move(self, route: Route, arms: Sequence[Arm], kind: str, *, evidence: str, actor: str, reason: str) -> Release:
        champion = arms[0]
        moved = self._routes.set(route.deployment, arms, expected_revision=route.revision, actor=actor, reason=reason)
        self._registry.set_alias(champion.model, CHAMPION, champion.version, actor=actor, reason=reason)
        made = Release(
            id=digest(["release", route.deployment, moved.revision])[4:20],
            kind="promote" if kind == "promote" else "rollback",
            deployment=route.deployment,
            model=champion.model,
            version=champion.version,
            previous=None if route.champion is None else route.champion.version,
            revision=moved.revision,
            evidence=evidence,
            actor=actor,
            reason=reason,
            at=self._clock(),
        )
        with self._database.write() as connection:
            connection.execute(releases.insert().values(**msgspec.structs.asdict(made)))
        return made

    def _answers_alone(self, route: Route, version: ModelVersion) -> bool:
        wanted = (_alone(version.model, version.version),)
        return route.answering == wanted and self._registry.aliases(version.model).get(CHAMPION) == version.version

    def _find(self, deployment: str, revision: int) -> Release | None:
        query = sa.select(releases).where(releases.c.deployment == deployment, releases.c.revision == revision)
        with self._database.read() as connection:
            row = connection.execute(query).mappings().one_or_none()
        return None if row is None else _release(row)

    def _before(self, route: Route) -> Arm:
        """The champion of the revision before the one at which the current champion was last promoted."""
        champion = route.champion
        revisions = {old.revision: old for old in self._routes.history(route.deployment, limit=1_000_000)}
        if champion is not None:
            promoted = [
                done.revision
                for done in self.history(route.deployment, limit=1_000_000)
                if done.kind == "promote" and (done.model, done.version) == (champion.model, champion.version)
            ]
            same = [number for number, old in revisions.items() if _champion(old) == (champion.model, champion.version)]
            begun = max(promoted) if promoted else min(same)
            for number in sorted((n for n in revisions if n < begun), reverse=True):
                earlier = revisions[number].champion
                if earlier is not None and _champion(revisions[number]) != (champion.model, champion.version):
                    return earlier
        raise NotFound(
            f"nothing answered for {route.deployment!r} before what answers now",
            where=route.deployment,
            fix="promote the version that is to answer",
        )


def _champion(route: Route) -> tuple[str, int] | None:
    return None if route.champion is None else (route.champion.model, route.champion.version)


def _alone(model: str, version: int) -> Arm:
    return Arm(model, version, WHOLE, CHAMPION)


def _expect(route: Route, revision: int | None) -> None:
    if revision is not None and route.revision != revision:
        raise Conflict(
            f"route of {route.deployment!r} is at revision {route.revision}, not {revision}",
            where=route.deployment,
            fix="look at what answers now, then decide again",
        )


def _release(row: sa.RowMapping) -> Release:
    return msgspec.convert({name: row[name] for name in Release.__struct_fields__}, Release)
