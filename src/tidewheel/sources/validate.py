"""Validate a source against what is expected of it: count what fails, put rows aside, stop or warn.

A verdict is about one snapshot and is remembered with it, so it costs one pass over the data however often it is asked for.
Rules about freshness also depend on the clock and are looked at every time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import pyarrow as pa

from tidewheel.clock import Micros, format_instant
from tidewheel.digest import Digest, digest
from tidewheel.errors import ExpectationFailed, Invalid, UnknownFeature, near_miss
from tidewheel.ports.query_engine import Relation
from tidewheel.schema import data_type_of_arrow
from tidewheel.sources.definition import Source
from tidewheel.sources.expectation import Expectation, Rule, condition_of, good_rows, quarantine_rules
from tidewheel.sources.keep import Kept
from tidewheel.sources.query import float_names
from tidewheel.sources.snapshot import Snapshot
from tidewheel.sources.sql import quoted
from tidewheel.sources.write_rows import write_rows

Ask = Callable[[str, Mapping[str, Relation] | None], pa.RecordBatchReader]
"""Answers SQL over ``rows``, the source's rows after ``select`` with nothing put aside, of all relations or of some."""

REASON = "__reason"
"""Column of rows in quarantine with the rules that they fail."""
_EXAMPLES = 3
_SHOWN_ROWS = 10


class Finding(msgspec.Struct, frozen=True):
    """How one rule fared on one snapshot.

    Parameters
    ----------
    rows
        Rows that were looked at.
    failed
        Rows that fail; for a rule over a whole column, 1 when it does not hold.
    examples
        Some of them, as text.
    place
        File in which the first of them is.
    """

    rule: str
    otherwise: str
    rows: int
    failed: int
    tolerate: float = 0.0
    examples: tuple[str, ...] = ()
    place: str | None = None

    @property
    def share(self) -> float:
        """Of the rows, from 0 to 1."""
        return self.failed / self.rows if self.rows else 0.0

    @property
    def broken(self) -> bool:
        """Whether it stops or warns."""
        return self.failed > 0 and self.share > self.tolerate

    @property
    def warns(self) -> bool:
        """Whether somebody is to be told, and nothing stops."""
        return self.broken and self.otherwise == "warn"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What validating one snapshot found.

    Parameters
    ----------
    quarantined
        Rows that are left out; one that fails two rules is one.
    kept
        Parquet file with these rows and the rules that they fail, in a column ``__reason``.
    """

    findings: tuple[Finding, ...] = ()
    quarantined: int = 0
    kept: Path | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """A raw row of a push that fails rules: its place among the rows, from 0, the rules, and a value that was asked for.

    Examples
    --------
    >>> Failed(3, ("fare is at least 0",)).row
    3
    """

    row: int
    rules: tuple[str, ...]
    value: object = None


class _Remembered(msgspec.Struct, frozen=True):
    findings: tuple[Finding, ...]
    quarantined: int
    content: str | None


@dataclass(slots=True)
class Validator:
    """Judges one source.

    Parameters
    ----------
    folder
        Where rows in quarantine are kept.
    """

    source: Source
    described: pa.Schema
    ask: Ask
    folder: Path
    recall: Callable[[str], bytes | None]
    remember: Callable[[str, bytes], None]

    def judge(
        self, snapshot: Snapshot, places: Mapping[str, Mapping[str, Relation]], *, newest: Micros | None, now: Micros
    ) -> Verdict:
        """Every rule on a snapshot.

        Parameters
        ----------
        places
            Relations of each file alone, by the name that a person knows it by.
        newest
            Time of the newest row.
        """
        rules = [(one, rule) for one in self.source.expect for rule in one.rules if rule.newest is None]
        facts = [[one.otherwise, one.tolerate, rule.text, rule.condition] for one, rule in rules]
        key = f"expect:{digest([self.source.version, facts, snapshot.content])}"
        known = self.recall(key)
        kept = Kept(self.folder)
        if known is not None:
            found = msgspec.json.decode(known, type=_Remembered)
            path = None if found.content is None else kept.find(Digest(found.content), ".parquet")
            if path is not None or found.content is None:
                return Verdict((*found.findings, *self._fresh(newest, now)), found.quarantined, path)
        self._check_names(rules)
        findings, quarantined = self._count(rules, places)
        content, path = self._put_aside(kept) if quarantined else (None, None)
        self.remember(key, msgspec.json.encode(_Remembered(findings, quarantined, content)))
        return Verdict((*findings, *self._fresh(newest, now)), quarantined, path)

    def _count(
        self, rules: Sequence[tuple[Expectation, Rule]], places: Mapping[str, Mapping[str, Relation]]
    ) -> tuple[tuple[Finding, ...], int]:
        aside = quarantine_rules(self.source.expect)
        good = good_rows(aside, self._floats) or "TRUE"
        columns = ["count(*) AS n", f"sum(CASE WHEN {good} THEN 1 ELSE 0 END) AS good"]
        columns += [f"{self._failing(one, rule, good)} AS f{place}" for place, (one, rule) in enumerate(rules)]
        counted = self.ask(f"SELECT {', '.join(columns)} FROM rows", None).read_all().to_pylist()[0]
        total, remaining = int(counted["n"]), int(counted["good"] or 0)
        findings = []
        for place, (one, rule) in enumerate(rules):
            rows = total if one.otherwise == "quarantine" else remaining
            failed = int(counted[f"f{place}"] or 0) if rule.type is None else int(not self._is_of_type(rule))
            found = Finding(rule.text, one.otherwise, rows, failed, one.tolerate)
            if failed and rule.type is None:
                found = self._shown(found, one, rule, good=good, places=places)
            elif failed:
                told = f"it is {self.described.field(rule.column).type}"
                found = replace_finding(found, examples=(told,))
            findings.append(found)
        return tuple(findings), total - remaining

    def _shown(
        self, found: Finding, one: Expectation, rule: Rule, *, good: str, places: Mapping[str, Mapping[str, Relation]]
    ) -> Finding:
        """The finding with examples, and the first file that has one."""
        if rule.condition is None:
            name = quoted(str(rule.column))
            sql = f"SELECT {name} FROM rows WHERE {good} AND {name} IS NOT NULL GROUP BY {name} HAVING count(*) > 1"
            values = self.ask(f"SELECT * FROM ({sql}) AS twice ORDER BY 1 LIMIT {_EXAMPLES}", None).read_all()[0].to_pylist()
            return replace_finding(found, examples=tuple(f"{value!s:.80}" for value in values))
        inside = "TRUE" if one.otherwise == "quarantine" else good
        failing = f"{inside} AND (({condition_of(rule, self._floats)}\n) IS FALSE)"
        names = [name for name in self.described.names if name in rule.condition][:8] or self.described.names[:8]
        shown = ", ".join(quoted(name) for name in names)
        rows = self.ask(f"SELECT {shown} FROM rows WHERE {failing} LIMIT {_EXAMPLES}", None).read_all().to_pylist()
        examples = tuple(", ".join(f"{name}={value!s:.60}" for name, value in row.items()) for row in rows)
        for place, relations in places.items():
            if self.ask(f"SELECT 1 AS one FROM rows WHERE {failing} LIMIT 1", relations).read_all().num_rows:
                return replace_finding(found, examples=examples, place=place)
        return replace_finding(found, examples=examples)

    def _failing(self, one: Expectation, rule: Rule, good: str) -> str:
        inside = "TRUE" if one.otherwise == "quarantine" else good
        if rule.condition is not None:
            return f"sum(CASE WHEN {inside} AND (({condition_of(rule, self._floats)}\n) IS FALSE) THEN 1 ELSE 0 END)"
        if rule.type is not None:
            return "0"
        column = f"CASE WHEN {good} THEN {quoted(str(rule.column))} END"
        return f"count({column}) - count(DISTINCT {column})"

    @property
    def _floats(self) -> tuple[str, ...]:
        return float_names(self.source, self.described)

    def _put_aside(self, kept: Kept) -> tuple[Digest, Path]:
        rules = quarantine_rules(self.source.expect)
        texts = [rule.text.replace("'", "''") for rule in rules]
        reasons = " || ".join(
            f"CASE WHEN ({condition_of(rule, self._floats)}\n) IS FALSE THEN '; {text}' ELSE '' END"
            for rule, text in zip(rules, texts, strict=True)
        )
        reader = self.ask(
            f"SELECT *, substr({reasons}, 3) AS {REASON} FROM rows WHERE NOT ({good_rows(rules, self._floats)})", None
        )
        with kept.writing(".parquet") as path:
            content, _ = write_rows(path, reader.schema, reader)
            return content, kept.adopt(path, content, ".parquet")

    def _is_of_type(self, rule: Rule) -> bool:
        try:
            return data_type_of_arrow(self.described.field(rule.column).type) is rule.type
        except Invalid:
            return False

    def _fresh(self, newest: Micros | None, now: Micros) -> tuple[Finding, ...]:
        found = []
        for one in self.source.expect:
            for rule in one.rules:
                if rule.newest is not None:
                    stale = newest is None or now - newest > rule.newest
                    told = "there is no row" if newest is None else f"the newest is of {format_instant(newest)}"
                    found.append(Finding(rule.text, one.otherwise, 1, int(stale), examples=(told,) if stale else ()))
        return tuple(found)

    def _check_names(self, rules: Sequence[tuple[Expectation, Rule]]) -> None:
        for _, rule in rules:
            if rule.column is not None and rule.column not in self.described.names:
                what = f"source {self.source.name} has no column {rule.column!r}, which an expectation names"
                raise UnknownFeature(what, where=self.source.where, fix=near_miss(rule.column, self.described.names))


def replace_finding(found: Finding, *, examples: tuple[str, ...], place: str | None = None) -> Finding:
    """A finding with what is shown of it."""
    return msgspec.structs.replace(found, examples=examples, place=place)


def refused_push(name: str, rows: int, failing: Sequence[Failed]) -> ExpectationFailed:
    """The error that a push is refused with.

    Examples
    --------
    >>> refused_push("trips", 8, [Failed(3, ("fare >= 0",))]).what
    "1 of 8 rows of the push to trips fail what is expected: row 3 fails 'fare >= 0'"
    """
    by_row: dict[int, list[str]] = {}
    for one in failing:
        by_row.setdefault(one.row, []).extend(repr(rule) for rule in one.rules)
    shown = [f"row {row} fails {' and '.join(by_row[row])}" for row in sorted(by_row)[:_SHOWN_ROWS]]
    more = [f"and {len(by_row) - _SHOWN_ROWS} more"] if len(by_row) > _SHOWN_ROWS else []
    what = f"{len(by_row)} of {rows} rows of the push to {name} fail what is expected: {'; '.join(shown + more)}"
    return ExpectationFailed(what, where=f"rows[{min(by_row)}]", fix="send rows that meet it")


def enforce(source: Source, verdict: Verdict) -> tuple[str, ...]:
    """What to warn of.

    Raises
    ------
    ExpectationFailed
        When a rule that stops does not hold.
    """
    for one in verdict.findings:
        if one.broken and one.otherwise == "stop":
            raise ExpectationFailed(
                told(source.name, one),
                where=one.place or source.where or source.name,
                fix='mend the rows, or let them be: tw.expect(..., otherwise="quarantine")',
            )
    return tuple(told(source.name, one) for one in verdict.findings if one.warns)


def told(name: str, found: Finding) -> str:
    """A broken rule in one sentence.

    Examples
    --------
    >>> told("trips", Finding("fare is at least 0", "stop", 8, 2, examples=("fare=-1",), place="a.parquet"))
    "source trips: 2 of 8 rows (25 %) fail 'fare is at least 0', such as fare=-1, in a.parquet"
    """
    such = f", such as {'; '.join(found.examples)}" if found.examples else ""
    where = f", in {found.place}" if found.place else ""
    return f"source {name}: {found.failed} of {found.rows} rows ({100 * found.share:.3g} %) fail {found.rule!r}{such}{where}"


def without_rules(source: Source) -> Source:
    """The source with nothing put aside."""
    return replace(source, expect=())
