"""Record sweeps: what was drawn before it is tried, and what came of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import sqlalchemy as sa

from tidewheel.database.open import Database
from tidewheel.digest import Digest
from tidewheel.errors import Conflict
from tidewheel.fingerprint.reads import Read
from tidewheel.pipelines.pruning import Curve
from tidewheel.pipelines.search import TrialState
from tidewheel.pipelines.tables import sweeps, trials
from tidewheel.runs.definition import Process
from tidewheel.runs.observe import is_alive
from tidewheel.runs.tables import points, series


@dataclass(frozen=True, slots=True)
class SweepRow:
    """A sweep as stored. ``width``: how many points are drawn before the sampler is told of the first of them."""

    id: Digest
    name: str
    metric: str
    minimize: bool
    sampler: str
    width: int
    started_at: int
    complete: int = 0


@dataclass(frozen=True, slots=True)
class TrialRow:
    """A trial as stored; ``drawn`` and ``output`` are packed."""

    number: int
    state: TrialState
    drawn: bytes
    shown: Mapping[str, str]
    run: str = ""
    objective: float | None = None
    output: bytes | None = None
    reads: tuple[Read, ...] = ()
    error: str = ""


class Trials:
    """All sweeps of a workspace."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def find(self, sweep: Digest) -> SweepRow | None:
        """A sweep by id."""
        with self.database.read() as connection:
            row = connection.execute(sa.select(sweeps).where(sweeps.c.id == sweep)).first()
        return None if row is None else _sweep(row)

    def find_newest(self, name: str) -> SweepRow | None:
        """The sweep of a name that began last, or that of an id."""
        named = sa.or_(sweeps.c.name == name, sweeps.c.id == name)
        with self.database.read() as connection:
            row = connection.execute(sa.select(sweeps).where(named).order_by(sweeps.c.started_at.desc()).limit(1)).first()
        return None if row is None else _sweep(row)

    def take(self, wanted: SweepRow, owner: Process) -> SweepRow:
        """Begin a sweep, or go on with it where nobody is at it.

        Raises
        ------
        Conflict
            When a live process of this machine is at it.
        """
        text = json.dumps(asdict(owner))
        with self.database.write() as connection:
            row = connection.execute(sa.select(sweeps).where(sweeps.c.id == wanted.id)).first()
            if row is None:
                connection.execute(sa.insert(sweeps).values(**asdict(wanted), owner=text))
                return wanted
            if row.owner and row.owner != text and is_alive(Process(**json.loads(row.owner))):
                raise Conflict(
                    f"process {json.loads(row.owner)['pid']} is at sweep {row.name}",
                    where=row.name,
                    fix="wait for it, or stop it: what it has finished is not repeated",
                )
            connection.execute(sa.update(sweeps).where(sweeps.c.id == wanted.id).values(owner=text))
            return _sweep(row)

    def leave(self, sweep: Digest, *, complete: int | None) -> None:
        """End to be at a sweep; ``complete`` trials were asked for, and all of them have ended."""
        values: dict[str, object] = {"owner": ""} if complete is None else {"owner": "", "complete": complete}
        with self.database.write() as connection:
            connection.execute(sa.update(sweeps).where(sweeps.c.id == sweep).values(**values))

    def ask(self, sweep: Digest, rows: Sequence[TrialRow]) -> None:
        """Write down what is to be tried."""
        with self.database.write() as connection:
            connection.execute(
                sa.insert(trials),
                [
                    {
                        "sweep": sweep,
                        "number": row.number,
                        "state": row.state,
                        "drawn": row.drawn,
                        "shown": json.dumps(row.shown),
                        "run": "",
                        "reads": "[]",
                        "error": "",
                    }
                    for row in rows
                ],
            )

    def change(self, sweep: Digest, number: int, **values: object) -> None:
        """Write down what came of a trial."""
        chosen = (trials.c.sweep == sweep) & (trials.c.number == number)
        with self.database.write() as connection:
            connection.execute(sa.update(trials).where(chosen).values(**values))

    def list(self, sweep: Digest) -> list[TrialRow]:
        """All trials of a sweep, by number."""
        with self.database.read() as connection:
            rows = connection.execute(sa.select(trials).where(trials.c.sweep == sweep).order_by(trials.c.number)).all()
        return [
            TrialRow(
                row.number,
                row.state,
                bytes(row.drawn),
                json.loads(row.shown),
                row.run,
                row.objective,
                None if row.output is None else bytes(row.output),
                tuple(Read(kind, name, value) for kind, name, value in json.loads(row.reads)),
                row.error,
            )
            for row in rows
        ]

    def curves(self, sweep: Digest, metric: str) -> dict[int, tuple[TrialState, Curve]]:
        """What each trial has reported, by number; of several values at one step the last."""
        joined = trials.join(series, series.c.run_id == trials.c.run).join(points, points.c.series_id == series.c.id)
        chosen = (
            sa.select(trials.c.number, trials.c.state, points.c.step, points.c.value)
            .select_from(joined)
            .where(trials.c.sweep == sweep, series.c.key == metric)
            .order_by(trials.c.number, points.c.ordinal)
        )
        found: dict[int, tuple[TrialState, dict[int, float]]] = {}
        with self.database.read() as connection:
            for row in connection.execute(chosen):
                curve = found.setdefault(row.number, (row.state, {}))[1]
                curve[row.step] = float("nan") if row.value is None else row.value
        return {number: (state, curve) for number, (state, curve) in found.items()}


def _sweep(row: sa.Row[tuple[object, ...]]) -> SweepRow:
    held = row._mapping
    return SweepRow(**{name: held[name] for name in SweepRow.__dataclass_fields__})
