"""Compute the transforms of a service over columns: by a query of the engine, over arrays, or row by row; the same numbers.

Which of them it is depends on what is quicker for so many rows, never on what comes out: wherever a form is in doubt about a
row, the function itself is asked.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, Self

import pyarrow as pa

from tidewheel.features.call_rows import Workers, open_workers
from tidewheel.features.compiled import RETURN_TYPES, RETURNS, fits, run_compiled, settled
from tidewheel.features.definition import Transform
from tidewheel.features.sql_form import RELATION, SqlForm, sql_of
from tidewheel.features.transform import Computed, plain_values, run_transform
from tidewheel.ports.query_engine import CoGroups, InMemory, QueryEngine
from tidewheel.schema import DataType
from tidewheel.sources.watch import Watch, unwatched

QUERY_ROWS = 500_000
"""From so many rows of a piece on a query is worth its start, about 10 ms; what it saves then is half of 20 to 100 ns a row."""

WORKER_ROWS = 100_000
"""From so many rows on transforms that run row by row are spread over processes and their progress is told."""

_PIECE = 10_000
_WORTH_SECONDS = 1.5

Columns = dict[str, pa.Array]


@dataclass(frozen=True, slots=True)
class TransformReport:
    """How many rows a transform failed on, and the first failure; in which form it ran, and what a row took in microseconds.

    ``rows`` is row by row, which is also told as interpreted.
    """

    transform: str
    errors: int
    first_error: str | None
    form: Literal["query", "columns", "rows"] = "rows"
    microseconds: float = field(default=0.0, compare=False)


class Computer:
    """Computes some transforms, piece after piece of the rows.

    Parameters
    ----------
    transforms
        Each after those that it takes.
    engine
        Runs queries over a piece, unless it is one whose workers are elsewhere.
    rows
        Of all pieces together.

    Examples
    --------
    >>> from tidewheel.features.definition import on_request
    >>> @on_request
    ... def halves(items: int) -> int:
    ...     return items // 2
    >>> with Computer([halves], rows=2) as computer:
    ...     made = computer.run({"items": pa.array([5, None])}, 2)
    >>> made["halves"].to_pylist(), computer.reports[0].errors
    ([2, None], 0)
    """

    def __init__(
        self, transforms: Sequence[Transform], *, rows: int, engine: QueryEngine | None = None, watch: Watch = unwatched
    ) -> None:
        near = engine is not None and not isinstance(engine, CoGroups)
        self._transforms, self._rows, self._watch = transforms, rows, watch
        self._engine = engine if near else None
        self._workers: dict[str, Workers | None] = {}
        self._told: dict[str, TransformReport] = {}
        self._seconds: dict[str, float] = {}
        self._done = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for one in self._workers.values():
            if one is not None:
                one.close()

    @property
    def reports(self) -> tuple[TransformReport, ...]:
        """What was met so far, by transform in their order."""
        done = max(self._done, 1)
        return tuple(
            replace(self._told[one.name], microseconds=1e6 * self._seconds[one.name] / done)
            for one in self._transforms
            if one.name in self._told
        )

    def run(self, given: Mapping[str, pa.Array], rows: int, *, first: int = 0) -> Columns:
        """The columns of the transforms for a piece of the rows.

        Parameters
        ----------
        given
            Features, request values and keys by name; an input that is absent takes the function's default.
        first
            The number of the piece's first row, which failures are told by.
        """
        made: Columns = {}
        self._done += rows
        waiting = list(self._transforms)
        while waiting:
            columns = {**given, **made}
            chain, form = self._chain(waiting, columns) if rows >= QUERY_ROWS else ([], None)
            if form is not None:
                self._run_query(chain, form, columns, made=made, first=first)
            else:
                self._run_alone(waiting[0], columns, rows, made=made, first=first)
            del waiting[: max(len(chain), 1)]
        return made

    def _chain(self, waiting: Sequence[Transform], columns: Mapping[str, pa.Array]) -> tuple[list[Transform], SqlForm | None]:
        """The longest run of transforms that one query computes."""
        chain: list[Transform] = []
        form: SqlForm | None = None
        if self._engine is None:
            return chain, form
        types = {name: column.type for name, column in columns.items()}
        for one in waiting:
            empty = {name: pa.nulls(0, kind) for name, kind in types.items()}
            longer = sql_of([*chain, one], self._engine.dialect) if fits(one, empty) else None
            if longer is None or len({name.lower() for name in longer.inputs}) < len(longer.inputs):
                break
            chain, form = [*chain, one], longer
            types[one.name] = one.returns.type.arrow()
        return chain, form

    def _run_query(self, chain: Sequence[Transform], form: SqlForm, columns: Columns, *, made: Columns, first: int) -> None:
        assert self._engine is not None
        started = time.perf_counter()
        table = pa.table({name: _moments(columns[name]) for name in form.inputs})
        found = self._engine.stream(form.query(), {RELATION: InMemory(table)}).read_all()
        share = (time.perf_counter() - started) / len(chain)
        for place, one in enumerate(chain):
            started = time.perf_counter()
            result = found.column(place).combine_chunks().cast(RETURN_TYPES[RETURNS[one.returns.type]])
            held = {taken.name: made.get(taken.name, columns.get(taken.name)) for taken in one.inputs}
            made[one.name], computed = settled(one, held, result, first=first)
            self._tell(one, computed, "query", seconds=share + time.perf_counter() - started)

    def _run_alone(self, one: Transform, columns: Columns, rows: int, *, made: Columns, first: int) -> None:
        started = time.perf_counter()
        held = {taken.name: columns.get(taken.name) for taken in one.inputs}
        by_column = run_compiled(one, held, first=first)
        if by_column is not None:
            made[one.name], computed = by_column
        else:
            given = {name: column for name, column in held.items() if column is not None}
            made[one.name], computed = self._call_rows(one, given, rows, first=first)
        form: Literal["columns", "rows"] = "rows" if by_column is None else "columns"
        self._tell(one, computed, form, seconds=time.perf_counter() - started)

    def _call_rows(self, one: Transform, given: Columns, rows: int, *, first: int) -> tuple[pa.Array, Computed]:
        """Row by row: here, or in other processes where that will take long."""
        kind = one.returns.type.arrow()
        pieces: list[pa.Array] = []
        errors, told = 0, None
        started = time.perf_counter()
        start = 0
        while start < rows:
            if start and one.name not in self._workers:
                left = (time.perf_counter() - started) / start * (self._rows - start)
                worth = bool(given) and self._rows >= WORKER_ROWS and left > _WORTH_SECONDS
                self._workers[one.name] = open_workers(one) if worth else None
            workers = self._workers.get(one.name)
            if workers is not None:
                rest = {name: column.slice(start) for name, column in given.items()}
                for piece, computed in workers.run(rest, rows - start, piece=_PIECE, first=first + start):
                    pieces.append(piece)
                    errors, told = errors + computed.errors, told or computed.first_error
                    self._watch(f"transform {one.name}", start := start + len(piece), rows)
                break
            count = min(_PIECE, rows - start)
            values = {name: plain_values(column.slice(start, count)) for name, column in given.items()}
            computed = run_transform(one, values, count, numbers=range(first + start, first + start + count))
            pieces.append(pa.array(computed.values, kind))
            errors, told, start = errors + computed.errors, told or computed.first_error, start + count
            if rows >= WORKER_ROWS:
                self._watch(f"transform {one.name}", start, rows)
        return pa.concat_arrays(pieces) if pieces else pa.array([], kind), Computed([], errors, told)

    def _tell(self, one: Transform, computed: Computed, form: Literal["query", "columns", "rows"], *, seconds: float) -> None:
        before = self._told.get(one.name, TransformReport(one.name, 0, None, form))
        error = before.first_error or computed.first_error
        self._told[one.name] = replace(before, errors=before.errors + computed.errors, first_error=error)
        self._seconds[one.name] = self._seconds.get(one.name, 0.0) + seconds


def _moments(column: pa.Array) -> pa.Array:
    """Instants as the engine takes them."""
    return column.cast(DataType.TIMESTAMP.arrow()) if pa.types.is_timestamp(column.type) else column
