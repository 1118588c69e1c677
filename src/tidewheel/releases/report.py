"""What a gate found, and what a release did, as values."""

from __future__ import annotations

from typing import Literal

import msgspec

from tidewheel.clock import Micros

Verdict = Literal["passed", "failed", "skipped"]


class Finding(msgspec.Struct, frozen=True):
    """One condition, or one slice of it, measured.

    Parameters
    ----------
    what
        The condition in words: ``beats champion in mae by 1 %``.
    slice
        ``column=value``, or empty for all rows.
    challenger, champion
        The metric of both; ``None`` where it does not apply.
    improvement, low, high
        Relative improvement over the champion (positive is better) and its interval.
    rows
        Rows compared.
    note
        Why it was skipped or failed.
    """

    what: str
    verdict: Verdict
    slice: str = ""
    challenger: float | None = None
    champion: float | None = None
    improvement: float | None = None
    low: float | None = None
    high: float | None = None
    rows: int = 0
    note: str = ""


class GateReport(msgspec.Struct, frozen=True):
    """The outcome of a gate for one challenger.

    Parameters
    ----------
    id
        Decided by gate, versions and data, so evaluating twice is one report.
    champion_version
        ``None`` when nothing held the alias: the first version has nobody to beat.
    """

    id: str
    gate: str
    model: str
    challenger_version: int
    champion_version: int | None
    passed: bool
    rows: int
    at: Micros
    findings: tuple[Finding, ...]

    def render(self) -> str:
        """The report as text, a line per finding; of many slices only the failed ones and a count of the others."""
        rival = f"champion {self.champion_version}" if self.champion_version is not None else "no champion yet"
        lines = [
            f"gate {self.gate}: {'PASSED' if self.passed else 'FAILED'}"
            f"  ({self.model} {self.challenger_version} against {rival}, {self.rows:,} held-out rows)"
        ]
        quiet: dict[tuple[str, str], int] = {}
        for finding in self.findings:
            if finding.slice and finding.verdict != "failed":
                key = (finding.what, finding.verdict)
                quiet[key] = quiet.get(key, 0) + 1
            else:
                lines.append(_line(finding))
        lines += [f"  {_MARK[verdict]} {what}: {count} slices {verdict}" for (what, verdict), count in quiet.items()]
        return "\n".join(lines)


_MARK = {"passed": "ok  ", "failed": "FAIL", "skipped": "--  "}


def _line(finding: Finding) -> str:
    parts = [f"  {_MARK[finding.verdict]} {finding.what}"]
    if finding.slice:
        parts.append(f"[{finding.slice}]")
    if finding.challenger is not None:
        against = f" against {finding.champion:.4g}" if finding.champion is not None else ""
        parts.append(f"{finding.challenger:.4g}{against}")
    if finding.improvement is not None and finding.low is not None and finding.high is not None:
        parts.append(f"improvement {finding.improvement:+.2%} [{finding.low:+.2%}, {finding.high:+.2%}]")
    if finding.rows:
        parts.append(f"n={finding.rows:,}")
    if finding.note:
        parts.append(f"({finding.note})")
    return " ".join(parts)


class Release(msgspec.Struct, frozen=True):
    """One recorded change of who answers.

    Parameters
    ----------
    evidence
        Id of the gate report, or of the alert, that it rests on; empty when a person forced it.
    revision
        Revision of the deployment's route that it made.
    """

    id: str
    kind: Literal["promote", "rollback"]
    deployment: str
    model: str
    version: int
    previous: int | None
    revision: int
    evidence: str
    actor: str
    reason: str
    at: Micros
