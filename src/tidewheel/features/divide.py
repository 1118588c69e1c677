"""Answers that do not fit in memory: keys are dealt into buckets on disk, and answered a few buckets at a time.

Questions and rows of one key always meet in one bucket, so each part is answered by :class:`ViewAnswer` as if it were all there
is; a key whose events are too many for that is answered a stretch of time after the other. The answers of the buckets are
merged back into the spine's order. Nobody sees a difference but in the time that it takes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from tidewheel.features.columns import feature_type, view_columns
from tidewheel.features.definition import FeatureView, Use
from tidewheel.features.match import key_column, one_array, one_key
from tidewheel.features.plan import plan_windows
from tidewheel.features.row_sum import mixed_rows
from tidewheel.features.view_answer import Asked, Met, ViewAnswer, ViewReport, since, whole_numbers
from tidewheel.features.windows_in_time import WindowsInTime
from tidewheel.schema import Schema
from tidewheel.sources.query import SYSTEM
from tidewheel.sources.spill import Spill, Strip
from tidewheel.sources.watch import Watch

if TYPE_CHECKING:
    import numpy.typing as npt

    Integers = npt.NDArray[np.int64]
    Words = npt.NDArray[np.uint64]

Answers = dict[Use, tuple[dict[str, pa.ChunkedArray], ViewReport]]

ROW, TIME = "__row", "__time"
"""Columns of questions on their way: the place of each in the spine, and its time in microseconds."""
SLICE_ROWS = 1 << 17
"""How many rows of a spine are in hand at once."""

_MOST_BUCKETS = 1024
_FINER = 4
"""How many times more buckets than parts: buckets differ in size, and are put together into parts that do not."""
_LEAST_ROOM, _MOST_ROOM = 1 << 20, 64 << 20
_MARKS = 27
_SUMMED = ("found", "too_old", "unknown", "ambiguous")


# ── how much there is ────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Cost:
    """Bytes that answering takes in memory, for each question and for each row of the source.

    They are what the arrays of :class:`ViewAnswer` add up to: numbers of keys, orders, states, and rows that are copied while
    they are put into order.
    """

    question: int
    row: int

    def of(self, questions: int, rows: int) -> int:
        """All of it."""
        return questions * self.question + rows * self.row


def cost_of(uses: Sequence[Use], schema: Schema) -> Cost:
    """What answering some views of one source takes.

    Examples
    --------
    >>> from tidewheel.features.definition import entity, features, lookup, view_of
    >>> from tidewheel.schema import DataType, Field
    >>> from tidewheel.sources.definition import source
    >>> rows = pa.table({"uid": [1], "ts": [10], "x": [5]})
    >>> view = view_of(features(source("f", rows, time="ts"), by=entity("user", uid=int))(type("F", (), {"x": lookup("x")})))
    >>> cost_of([Use(view)], Schema((Field("uid", DataType.INT64), Field("x", DataType.INT64)))).row
    0
    """
    question, row = 96, 0
    for alias in uses:
        view = alias.view
        question += sum(2 * _width(feature_type(one, schema).arrow()) for one in view.features)
        values = sum(_width(schema[name].type.arrow()) for name in dict.fromkeys(_values(view)))
        if view.lookups:
            question += 48 + 3 * values
            row += 64 + 3 * values if view.source.bounded else 0
        if view.windows:
            plan = plan_windows(view, schema)
            widest = max((8 * (3 + one.state.ints + one.state.floats) for one in plan.groups), default=0)
            spans = {(one.group, one.feature.window, one.feature.offset) for one in (*plan.windows, *plan.parts)}
            states = [8 * (plan.groups[group].state.ints + plan.groups[group].state.floats) for group, _, _ in spans]
            question += 64 + sum(states)
            row += 72 + 3 * values + widest + (256 if any(one.state.merge is not None for one in plan.groups) else 0)
    return Cost(question, row)


def _values(view: FeatureView) -> Iterator[str]:
    for one in view.features:
        yield from (part.column for part in (one.inputs if one.kind == "window" else (one,)) if part.column is not None)


def _width(kind: pa.DataType) -> int:
    """Bytes of a value, its validity included; a guess for those that differ."""
    try:
        return int(kind.bit_width) // 8 + 1
    except ValueError:
        return 64 if pa.types.is_nested(kind) else 32


# ── the answer ───────────────────────────────────────────────────────────────────────────────────


class DividedAnswer:
    """All views of one source by the same key columns of the spine: takes rows in any order, and keeps them on disk.

    Parameters
    ----------
    uses
        The views under their aliases.
    starts
        By view, the first instant of event time that it can reach; ``None`` where there is no end to it.
    about
        About how many rows will come.
    budget
        Bytes that may be held.
    """

    def __init__(
        self,
        uses: Sequence[Use],
        schema: Schema,
        asked: Asked,
        *,
        starts: Mapping[str, int | None],
        spill: Spill,
        about: int,
        budget: int,
        watch: Watch,
    ) -> None:
        self._uses = tuple(uses)
        self._schema = schema
        self._starts = starts
        self._spill = spill
        self._budget = max(budget, 1)
        self._watch = watch
        self._cost = cost_of(uses, schema)
        self._size = len(asked.times)
        self._met = {alias: Met(alias.view) for alias in uses}
        source = uses[0].view.source
        self._names = list(dict.fromkeys([*(name for one in uses for name in view_columns(one.view)), *SYSTEM, *source.ends]))
        begin = [starts[alias.view.name] for alias in uses]
        self._first = None if None in begin else min(one for one in begin if one is not None)
        wanted = _FINER * self._cost.of(self._size, about) // self._budget
        self._count = int(min(max(wanted, 2 * _FINER), _MOST_BUCKETS))
        room = int(min(max(self._budget // 8, _LEAST_ROOM), _MOST_ROOM))
        self._questions = spill.buckets(self._count, room_bytes=room)
        self._rows = spill.buckets(self._count, room_bytes=room)
        self._bits = min(max((8 * self._size).bit_length(), 10), _MARKS)
        self._marks = np.zeros(1 << self._bits, dtype=np.bool_)
        self._nothing: pa.Table | None = None
        self._ask(asked)

    def _ask(self, asked: Asked) -> None:
        names = [column.name for column in self._uses[0].columns]
        for start in range(0, max(self._size, 1), SLICE_ROWS):
            times = asked.times[start : start + SLICE_ROWS]
            keys = [piece_of(asked.columns[name], start, len(times)) for name in names]
            words = mixed_rows(keys or [one_key(len(times))], len(times))[0]
            self._marks[self._place(words)] = True
            held = {ROW: np.arange(start, start + len(times)), TIME: times}
            self._questions.add(self._bucket(words), pa.table(held | dict(zip(names, keys, strict=True))))

    def _bucket(self, words: Words) -> Integers:
        return ((words >> np.uint64(32)) * np.uint64(self._count) >> np.uint64(32)).astype(np.int64)

    def _place(self, words: Words) -> Integers:
        return (words >> np.uint64(64 - self._bits)).astype(np.int64)

    def add(self, rows: pa.Table) -> None:
        """Take rows as a scan gives them; those of keys that nobody asks for are counted, and most are not kept."""
        rows = since(rows.select(self._names), self._first)
        self._nothing = rows.slice(0, 0)
        view = self._uses[0].view
        keys = [key_column(rows.column(key.name), key) for key in view.keys]
        absent = np.zeros(rows.num_rows, dtype=np.bool_)
        for key in keys:
            if key.null_count:
                absent |= key.is_null().to_numpy(zero_copy_only=False)
        marked = rows.append_column("__null", pa.array(absent))
        for alias, met in self._met.items():
            reached = since(marked, self._starts[alias.view.name])
            met.add(reached, null_keys=int(np.count_nonzero(reached["__null"].to_numpy())))
        words = mixed_rows(keys or [one_key(rows.num_rows)], rows.num_rows)[0]
        kept = self._marks[self._place(words)] & ~absent
        if not kept.all():
            places = np.flatnonzero(kept)
            rows, words = rows.take(pa.array(places)), words[places]
        self._rows.add(self._bucket(words), rows)

    def finish(self) -> Answers:
        """A column per feature by its output name, in the spine's order, and what was met."""
        told = {alias: ViewReport(alias.view.name, alias.prefix, 0) for alias in self._uses}
        runs = _Runs(self._spill.strip(), rows=max(self._budget // (16 * self._count * self._cost.question), 64))
        names = [name for alias in self._uses for name in alias.names]
        done = 0
        for part in self._parts():
            questions = _joined([table for bucket in part for table in self._questions.read(bucket)])
            if questions is not None:
                columns, reports = self._answer(part, questions)
                runs.add(questions[ROW], columns.select(names))
                for alias, report in reports.items():
                    sums = {name: getattr(told[alias], name) + getattr(report, name) for name in _SUMMED}
                    told[alias] = replace(told[alias], **sums)
            done += len(part)
            self._watch(f"answer {self._uses[0].view.source.name}", done, self._count)
        self._questions.remove()
        self._rows.remove()
        merged = runs.merged(self._size, self._spill.strip())
        return {
            alias: ({name: merged[name] for name in alias.names}, self._met[alias].told(told[alias])) for alias in self._uses
        }

    def _parts(self) -> Iterator[list[int]]:
        """Buckets that are answered together."""
        part: list[int] = []
        held = 0
        for bucket in range(self._count):
            need = self._cost.of(int(self._questions.rows[bucket]), int(self._rows.rows[bucket]))
            if part and held + need > self._budget:
                yield part
                part, held = [], 0
            part.append(bucket)
            held += need
        yield part

    def _answer(self, part: Sequence[int], questions: pa.Table) -> tuple[pa.Table, dict[Use, ViewReport]]:
        """Answers to questions, in their order."""
        rows = int(self._rows.rows[list(part)].sum())
        need = self._cost.of(questions.num_rows, rows)
        cuts = -(-need // self._budget) if len(part) == 1 else 1
        if cuts > 1 and any(alias.view.windows for alias in self._uses):
            return self._answer_by_time(part, questions, cuts)
        return self._answer_all(part, questions, self._uses)

    def _answer_all(
        self, part: Sequence[int], questions: pa.Table, uses: Sequence[Use]
    ) -> tuple[pa.Table, dict[Use, ViewReport]]:
        names = [column.name for column in self._uses[0].columns]
        asked = Asked({name: one_array(questions[name]) for name in names}, whole_numbers(questions, TIME))
        answers = {alias: ViewAnswer(alias, self._schema, asked, start=self._starts[alias.view.name]) for alias in uses}
        for rows in self._rows_of(part):
            for answer in answers.values():
                answer.add(rows)
        columns: dict[str, pa.Array] = {}
        reports = {}
        for alias in uses:
            made, reports[alias] = answers.pop(alias).finish()
            columns |= made
        return pa.table(columns), reports

    def _rows_of(self, part: Sequence[int]) -> Iterator[pa.Table]:
        """At least one table, be it empty."""
        if self._nothing is not None:
            yield self._nothing
        for bucket in part:
            yield from self._rows.read(bucket)

    def _answer_by_time(self, part: Sequence[int], questions: pa.Table, cuts: int) -> tuple[pa.Table, dict[Use, ViewReport]]:
        """Look-ups hold a row for each question at most; only windows are cut, since they would hold all events."""
        looking = {alias: _only(alias, "lookup") for alias in self._uses if alias.view.lookups}
        folding = {alias: _only(alias, "window") for alias in self._uses if alias.view.windows}
        found, reports = self._answer_all(part, questions, list(looking.values()))
        columns = {name: found[name] for name in found.column_names}
        told = {alias: reports[one] for alias, one in looking.items()}
        names = [column.name for column in self._uses[0].columns]
        asked = Asked({name: one_array(questions[name]) for name in names}, whole_numbers(questions, TIME))
        for alias, only in folding.items():
            windows = WindowsInTime(only, self._schema, asked, start=self._starts[alias.view.name])
            made, met = windows.answer(lambda: self._rows_of(part), cuts=cuts)
            columns |= made
            told.setdefault(alias, met)
        return pa.table(columns), told


def piece_of(column: pa.Array | pa.ChunkedArray, start: int, rows: int) -> pa.Array:
    """Some rows of a column, in one piece.

    Examples
    --------
    >>> piece_of(pa.chunked_array([[1, 2], [3]]), 1, 2).to_pylist()
    [2, 3]
    """
    piece = column.slice(start, rows)
    return one_array(piece) if isinstance(piece, pa.ChunkedArray) else piece


def _only(alias: Use, kind: str) -> Use:
    """A view's features of one kind."""
    return replace(alias, view=replace(alias.view, features=tuple(one for one in alias.view.features if one.kind == kind)))


def _joined(tables: list[pa.Table]) -> pa.Table | None:
    """Questions of some buckets in the spine's order."""
    if not tables:
        return None
    table = pa.concat_tables(tables).combine_chunks()
    return table.take(pa.array(np.argsort(whole_numbers(table, ROW), kind="stable"))).combine_chunks()


# ── back into order ──────────────────────────────────────────────────────────────────────────────


class _Runs:
    """Answers on disk, run after run, each in the spine's order."""

    def __init__(self, strip: Strip, *, rows: int) -> None:
        self._strip = strip
        self._rows = min(rows, SLICE_ROWS)
        self._runs: list[range] = []

    def add(self, rows: pa.ChunkedArray, columns: pa.Table) -> None:
        """Take the answers of one run, and which rows of the spine they are for, ascending."""
        table = columns.add_column(0, ROW, rows)
        first = self._strip.batches
        for start in range(0, table.num_rows, self._rows):
            self._strip.write(table.slice(start, self._rows))
        self._runs.append(range(first, self._strip.batches))

    def merged(self, size: int, into: Strip) -> pa.Table:
        """All answers in the spine's order; their bytes are on disk."""
        reader = self._strip.reader()
        cursors = [_Cursor(reader, run) for run in self._runs]
        for start in range(0, size, SLICE_ROWS):
            end = min(start + SLICE_ROWS, size)
            found = pa.concat_tables([piece for one in cursors for piece in one.until(end)]).combine_chunks()
            order = np.empty(end - start, dtype=np.int64)
            order[whole_numbers(found, ROW) - start] = np.arange(end - start)
            into.write(found.drop_columns([ROW]).take(pa.array(order)))
        self._strip.remove()
        return into.mapped()


class _Cursor:
    """How far the answers of one run have been read."""

    def __init__(self, reader: pa.RecordBatchFileReader, run: range) -> None:
        self._reader = reader
        self._places = iter(run)
        self._held: pa.Table | None = None

    def until(self, row: int) -> Iterator[pa.Table]:
        """The next answers, to rows before this one."""
        while True:
            if self._held is None:
                place = next(self._places, None)
                if place is None:
                    return
                self._held = pa.Table.from_batches([self._reader.get_batch(place)])
            count = int(np.searchsorted(whole_numbers(self._held, ROW), row))
            if count:
                yield self._held.slice(0, count)
            if count < self._held.num_rows:
                self._held = self._held.slice(count)
                return
            self._held = None
