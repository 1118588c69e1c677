"""Evaluate a gate: load both versions, answer the held-out rows, compare, measure."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tidewheel.clock import Micros
from tidewheel.datasets.handle import Split
from tidewheel.digest import Digest, digest
from tidewheel.errors import GateFailed, Invalid, TidewheelError
from tidewheel.models.registry import LoadedModel, Registry
from tidewheel.models.version import ModelVersion
from tidewheel.monitors.metrics import find_loss
from tidewheel.releases.compare import Comparison, compare, p95_ms, row_losses, slices
from tidewheel.releases.definition import Beats, Condition, Gate, NoWorse, Under
from tidewheel.releases.report import Finding, GateReport

Floats = npt.NDArray[np.float64]
Answer = Callable[[int], object]
"""Answer the held-out row of an index, the way that will be served."""

_WARM, _TIMED = 20, 400


@dataclass(frozen=True, slots=True)
class Contest:
    """What a gate is judged on.

    Parameters
    ----------
    rivals
        Per alias that the conditions name, the version that holds it; ``None`` when nothing does.
    answers
        Predictions of each version on the held-out rows, by version number; a text says why a version cannot answer them.
    """

    challenger: ModelVersion
    rivals: Mapping[str, ModelVersion | None]
    answers: Mapping[int, Floats | str]
    label: Floats
    rows: pa.Table
    answer: Answer
    seed: int = 0


def report_id(
    gate: Gate, challenger: ModelVersion, *, rivals: Mapping[str, ModelVersion | None], held_out: Digest, seed: int
) -> str:
    """Id of the report of a gate: the same conditions, models and rows have one."""
    named = {alias: None if rival is None else [rival.version, rival.content] for alias, rival in rivals.items()}
    conditions = [[type(part).__name__, asdict(part)] for part in gate.conditions]
    return digest([gate.name, gate.model, conditions, challenger.version, challenger.content, named, held_out, seed])[4:20]


def hold_contest(
    gate: Gate, challenger: ModelVersion, *, registry: Registry, held_out: Split, answer: Answer | None = None, seed: int = 0
) -> Contest:
    """Load the versions and answer the held-out rows with each.

    Raises
    ------
    Invalid
        When there are no held-out rows with a label, or the challenger is of another model than the gate.
    """
    if challenger.model != gate.model:
        raise Invalid(
            f"gate {gate.name!r} guards {gate.model!r}, not {challenger.model!r}", where=gate.name, fix="take its model"
        )
    label = held_out.y
    known = np.flatnonzero(np.isfinite(label))
    if len(known) == 0:
        raise Invalid(
            f"gate {gate.name!r} has no held-out row with a label", where=gate.name, fix="split off more: tw.by_time(test=...)"
        )
    rows = held_out.arrow().take(pa.array(known))
    loaded = registry.load(challenger)
    rivals = find_rivals(gate, registry)
    answers: dict[int, Floats | str] = {challenger.version: loaded.predict_table(rows)}
    for rival in rivals.values():
        if rival is not None and rival.version not in answers:
            answers[rival.version] = _try_answer(registry, rival, rows)
    return Contest(challenger, rivals, answers, label[known], rows, answer or _one_row(loaded, rows), seed)


def find_rivals(gate: Gate, registry: Registry) -> dict[str, ModelVersion | None]:
    """The versions behind the aliases that the conditions name."""
    named = {part.alias for part in gate.conditions if not isinstance(part, Under)}
    return {alias: registry.find(gate.model, alias) for alias in sorted(named)}


def judge(gate: Gate, contest: Contest, *, at: Micros, id: str) -> GateReport:
    """Judge all conditions; one that fails does not stop the others from being measured."""
    findings = [finding for condition in gate.conditions for finding in _judge_one(condition, contest)]
    champion = next((rival for rival in contest.rivals.values() if rival is not None), None)
    return GateReport(
        id=id,
        gate=gate.name,
        model=gate.model,
        challenger_version=contest.challenger.version,
        champion_version=None if champion is None else champion.version,
        passed=all(finding.verdict != "failed" for finding in findings),
        rows=contest.rows.num_rows,
        at=at,
        findings=tuple(findings),
    )


def require(report: GateReport) -> GateReport:
    """The report, if it is passed.

    Raises
    ------
    GateFailed
        With the first failed condition in words.
    """
    if not report.passed:
        failed = [finding for finding in report.findings if finding.verdict == "failed"]
        what = "; ".join(
            f"{finding.what}{f' [{finding.slice}]' if finding.slice else ''}: {finding.note}" for finding in failed[:3]
        )
        more = f" and {len(failed) - 3} more" if len(failed) > 3 else ""
        raise GateFailed(
            f"{report.model}:{report.challenger_version} did not pass gate {report.gate!r}: {what}{more}",
            where=report.gate,
            fix=f"see the whole report: tidewheel show gate:{report.gate}",
        )
    return report


def _judge_one(condition: Condition, contest: Contest) -> Sequence[Finding]:
    if isinstance(condition, Under):
        return [_latency(condition, contest.answer, contest.rows.num_rows)]
    what = _words(condition)
    rival = contest.rivals[condition.alias]
    if rival is None:
        return [Finding(what, "passed", rows=contest.rows.num_rows, note=f"no {condition.alias} yet: nothing to beat")]
    if rival.version == contest.challenger.version:
        return [Finding(what, "passed", rows=contest.rows.num_rows, note=f"it is the {condition.alias}")]
    theirs = contest.answers[rival.version]
    ours = contest.answers[contest.challenger.version]
    if isinstance(theirs, str) or isinstance(ours, str):
        return [Finding(what, "failed", note=f"{rival.name} cannot answer these rows: {theirs}")]
    metric = find_loss(condition.metric)
    pair = (row_losses(metric, ours, contest.label), row_losses(metric, theirs, contest.label))
    if isinstance(condition, Beats):
        found = compare(condition.metric, *pair, confidence=condition.confidence, seed=contest.seed)
        passed = found.low > condition.by if condition.by >= 0 else found.low >= condition.by
        return [_finding(what, "passed" if passed else "failed", found, note="" if passed else _short(found, condition.by))]
    return _no_worse(condition, what, pair, contest)


def _no_worse(condition: NoWorse, what: str, pair: tuple[Floats, Floats], contest: Contest) -> Sequence[Finding]:
    found = compare(condition.metric, *pair, confidence=condition.confidence, seed=contest.seed)
    findings = [_worse_or_not(condition, what, found, "")]
    for name in condition.slices:
        if name not in contest.rows.schema.names:
            findings.append(Finding(what, "failed", slice=name, note=f"the held-out rows have no column {name}"))
            continue
        parts = slices(contest.rows[name])
        judged = sum(len(rows) >= condition.min_rows for _, rows in parts)
        # Each slice has its share of the chance of a wrong verdict, or many slices would fail by chance alone.
        confidence = 1 - (1 - condition.confidence) / max(1, judged)
        for value, rows in parts:
            label = f"{name}={value}"
            if len(rows) < condition.min_rows:
                findings.append(
                    Finding(what, "skipped", slice=label, rows=len(rows), note=f"fewer than {condition.min_rows} rows")
                )
                continue
            part = compare(condition.metric, pair[0][rows], pair[1][rows], confidence=confidence, seed=contest.seed)
            findings.append(_worse_or_not(condition, what, part, label))
    return findings


def _worse_or_not(condition: NoWorse, what: str, found: Comparison, label: str) -> Finding:
    worse = found.high < -condition.tolerance
    return _finding(
        what, "failed" if worse else "passed", found, label=label, note=f"worse by {-found.improvement:.2%}" if worse else ""
    )


def _finding(what: str, verdict: str, found: Comparison, *, label: str = "", note: str = "") -> Finding:
    return Finding(
        what,
        "passed" if verdict == "passed" else "failed",
        slice=label,
        challenger=found.challenger,
        champion=found.champion,
        improvement=found.improvement,
        low=found.low,
        high=found.high,
        rows=found.rows,
        note=note,
    )


def _short(found: Comparison, by: float) -> str:
    return f"improvement {found.improvement:+.2%}, and its interval begins at {found.low:+.2%}, not above {by:+.2%}"


def _words(condition: Beats | NoWorse) -> str:
    if isinstance(condition, Beats):
        return f"beats {condition.alias} in {condition.metric}" + (f" by {condition.by:.2%}" if condition.by else "")
    slack = f" (tolerance {condition.tolerance:.2%})" if condition.tolerance else ""
    return f"no worse than {condition.alias} in {condition.metric}{slack}"


def _latency(condition: Under, answer: Answer, rows: int) -> Finding:
    for index in range(_WARM):
        answer(index % rows)
    seconds = np.empty(_TIMED)
    for index in range(_TIMED):
        begun = time.perf_counter()
        answer(index % rows)
        seconds[index] = time.perf_counter() - begun
    found = p95_ms(seconds)
    passed = found < condition.p95_ms
    note = f"p95 {found:.3g} ms" if passed else f"p95 {found:.3g} ms is not under {condition.p95_ms:g} ms"
    return Finding(
        f"answers one row in under {condition.p95_ms:g} ms (p95)",
        "passed" if passed else "failed",
        challenger=found,
        rows=_TIMED,
        note=note,
    )


def _one_row(loaded: LoadedModel, rows: pa.Table) -> Answer:
    columns = np.column_stack([np.asarray(rows[name].cast(pa.float64(), safe=False)) for name in loaded.features])

    def answer(index: int) -> object:
        return loaded.predict(columns[index : index + 1])

    return answer


def _try_answer(registry: Registry, version: ModelVersion, rows: pa.Table) -> Floats | str:
    try:
        return registry.load(version).predict_table(rows)
    except TidewheelError as error:
        return str(error)
