"""Run a sweep: draw, try, tell, until there are as many trials as were asked for."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from tidewheel.clock import Clock
from tidewheel.database.open import Database
from tidewheel.digest import digest
from tidewheel.errors import Conflict, Invalid, NotFound, StepFailed, near_miss
from tidewheel.fingerprint.reads import Read
from tidewheel.fingerprint.recipe import Component, Recipe
from tidewheel.fingerprint.record import current_recording, unheard
from tidewheel.fingerprint.verify_reads import verify
from tidewheel.fingerprint.walk import Fingerprinter
from tidewheel.pipelines.codec import Codec, Packed
from tidewheel.pipelines.definition import Step
from tidewheel.pipelines.printing import Printing
from tidewheel.pipelines.recipe import call_recipe, with_reads
from tidewheel.pipelines.record_trials import SweepRow, TrialRow, Trials
from tidewheel.pipelines.samplers import GridSampler, RandomSampler
from tidewheel.pipelines.search import Sweep, Swept, Tried
from tidewheel.pipelines.secrets import NO_SECRETS, Opened, tell_failure
from tidewheel.pipelines.serve import variables
from tidewheel.pipelines.trial import TrialSpec, perform
from tidewheel.ports.executor import Executor, JobId, JobState
from tidewheel.ports.sampler import Axis, Choice, Sampler, SamplerOpener
from tidewheel.runs.observe import observe_process

_OURS: Mapping[str, SamplerOpener] = {"grid": GridSampler, "random": RandomSampler}

Submit = Callable[[Step[..., object], Mapping[str, Packed], TrialSpec, Path | None], JobId]


def own_samplers(name: str) -> SamplerOpener:
    """The samplers that need no library."""
    if name not in _OURS:
        raise NotFound(f"no sampler {name!r} here", where="sampler", fix=near_miss(name, _OURS))
    return _OURS[name]


@dataclass(frozen=True, slots=True)
class Stage:
    """What a session lends to a sweep. Without ``submit`` trials run in this process."""

    database: Database
    codec: Codec
    fingerprinter: Fingerprinter
    actor: str
    clock: Clock
    progress: Callable[[str, int, int | None], None]
    samplers: Callable[[str], SamplerOpener]
    executor: Executor | None = None
    printing: Printing | None = None
    secrets: Callable[[Step[..., object]], Opened] | None = None
    submit: Submit | None = None
    workers: int = 1


def run_sweep(stage: Stage, sweep: Sweep) -> Swept:
    """Try what was not tried yet, and answer everything that was.

    The points and what came of them are written down as they come, so that a sweep whose process was killed goes on with the
    same points, and repeats no trial that has ended.

    Raises
    ------
    StepFailed
        When every trial failed.
    Conflict
        When another process is at it, or the space is not the same twice.
    """
    with unheard():
        swept, reads = _Search(stage, sweep).run()
    outer = current_recording()
    if outer is not None:
        outer.include(reads)
    return swept


class _Search:
    def __init__(self, stage: Stage, sweep: Sweep) -> None:
        self._stage = stage
        self._sweep = sweep
        self._trials = Trials(stage.database)
        opener = own_samplers(sweep.search.sampler) if sweep.search.sampler in _OURS else stage.samplers(sweep.search.sampler)
        self._sampler: Sampler = opener(seed=sweep.search.seed, minimize=sweep.minimize)
        self._takes_trial = "trial" in inspect.signature(sweep.step.function).parameters
        self._parallel = sweep.search.parallel or stage.workers
        self._rows: dict[int, TrialRow] = {}
        self._arguments: dict[int, Mapping[str, object]] = {}
        self._row: SweepRow

    def run(self) -> tuple[Swept, list[Read]]:
        stage, sweep = self._stage, self._sweep
        process = observe_process()
        assert process is not None
        recipe = self._find()
        wanted = SweepRow(
            recipe.digest,
            sweep.name,
            sweep.metric,
            sweep.minimize,
            sweep.search.sampler,
            self._parallel,
            stage.clock(),
        )
        self._row = self._trials.take(wanted, process)
        complete: int | None = None
        try:
            complete = max(self._go_on(), self._row.complete)
        finally:
            self._trials.leave(self._row.id, complete=complete)
        numbers = sorted(self._arguments)
        rows = [self._rows[number] for number in numbers]
        if not any(row.state in ("finished", "stopped") for row in rows):
            raise StepFailed(
                f"all {len(rows)} trials of sweep {sweep.name} failed, the first with: {rows[0].error if rows else 'no trial'}",
                where=sweep.step.where,
                fix="mend the step, and run again",
            )
        return self._answer(rows), [read for row in rows for read in row.reads]

    # ── which sweep it is ────────────────────────────────────────────────────────────────────────

    def _find(self) -> Recipe:
        """What decides the points and their results. A sweep whose trials read what has changed since is another one."""
        recipe = self._recipe()
        root = self._stage.fingerprinter.root
        policy = self._sweep.step.policy
        tracked = policy.fresh is not None or policy.reads is not None
        loose = not tracked and self._stage.fingerprinter.findings([self._sweep.step.function])
        for attempt in itertools.count(1):
            row = self._trials.find(recipe.digest)
            if row is None:
                break
            reads = [read for trial in self._trials.list(row.id) for read in trial.reads]
            if verify(reads, root):
                changed = with_reads(recipe, reads, root)
                if changed.digest == recipe.digest:  # what it reads does not stand still
                    changed = Recipe(recipe.kind, {**recipe.components, "again": Component(str(attempt))})
                recipe = changed
            elif loose and row.complete:
                # What cannot be followed may have changed since: an unfinished one goes on, but a finished one is no answer.
                recipe = Recipe(recipe.kind, {**recipe.components, "untracked": Component(str(attempt), None, str(loose[0]))})
            else:
                break
        return recipe

    def _recipe(self) -> Recipe:
        stage, sweep = self._stage, self._sweep
        packed = {name: stage.codec.pack(value) for name, value in sweep.fixed.items()}
        called = call_recipe(sweep.step, packed, stage.fingerprinter, shown=sweep.fixed, now=stage.clock())
        parts = dict(called.components)
        if isinstance(sweep.space, Mapping):
            for name, axis in sweep.space.items():
                parts[f"axis:{name}"] = Component(self._axis(axis), sweep.step.where, repr(axis)[:120])
        else:
            parts.update(stage.fingerprinter.components([sweep.space]))
            closed = inspect.getclosurevars(sweep.space).nonlocals
            parts["axis:*"] = Component(digest({name: stage.codec.pack(value).content for name, value in closed.items()}))
        told = {
            "metric": sweep.metric,
            "minimize": str(sweep.minimize),
            "sampler": self._sampler.identity,
            "seed": str(sweep.search.seed),
            "prune": repr(sweep.search.prune),
        }
        parts.update({f"param:{name}": Component(value) for name, value in told.items()})
        return Recipe("sweep", parts)

    def _axis(self, axis: Axis) -> str:
        if isinstance(axis, Choice):
            return digest([self._stage.codec.pack(option).content for option in axis.options])
        return digest([type(axis).__name__, axis])

    # ── the trials ───────────────────────────────────────────────────────────────────────────────

    def _go_on(self) -> int:
        """Draw in batches and try; answer how many trials there are."""
        self._rows = {row.number: row for row in self._trials.list(self._row.id)}
        for batch in self._batches():
            fresh = [self._rows[number] for number in batch if self._rows[number].state == "waiting"]
            if fresh:
                self._try(fresh)
                self._rows |= {row.number: row for row in self._trials.list(self._row.id)}
            if self._sampler.learns:
                self._tell(batch)
        return len(self._arguments)

    def _tell(self, batch: Sequence[int]) -> None:
        curves = self._trials.curves(self._row.id, self._sweep.metric) if self._sweep.search.prune is not None else {}
        for number in batch:
            row = self._rows[number]
            reported = sorted(curves[number][1].items()) if number in curves else []
            self._sampler.tell(number, row.objective, reported=reported, stopped=row.state == "stopped")

    def _batches(self) -> Iterator[list[int]]:
        """Trials that are drawn together: as many as at the first time, whatever can run now, so points are the same."""
        left = itertools.count() if self._sweep.search.trials is None else range(self._sweep.search.trials)
        numbers = iter(left)
        ended = False
        while not ended:
            batch: list[int] = []
            fresh: list[TrialRow] = []
            for number in itertools.islice(numbers, self._row.width if self._sampler.learns else None):
                if not self._sampler.begin(number):
                    ended = True
                    break
                row = self._draw(number)
                batch.append(number)
                if number not in self._rows:
                    fresh.append(row)
                    self._rows[number] = row
            if fresh:
                self._trials.ask(self._row.id, fresh)
            if not batch:
                return
            yield batch

    def _draw(self, number: int) -> TrialRow:
        values: dict[str, object] = {}

        def draw(name: str, axis: Axis) -> object:
            if name in values:
                raise Invalid(f"{name} is drawn twice", where=self._sweep.step.where, fix="give each axis its own name")
            drawn = self._sampler.draw(name, axis)
            values[name] = axis.options[int(drawn)] if isinstance(axis, Choice) else drawn
            return values[name]

        space = self._sweep.space
        made = {name: draw(name, axis) for name, axis in space.items()} if isinstance(space, Mapping) else space(draw)
        self._arguments[number] = self._bind({**self._sweep.fixed, **made})
        packed = self._stage.codec.pack(values).data
        known = self._rows.get(number)
        if known is not None and known.drawn != packed:
            raise Conflict(
                f"trial {number} of sweep {self._sweep.name} was drawn as {dict(known.shown)} before, and is not now",
                where=self._sweep.step.where,
                fix="let the space depend on nothing but what is drawn (no clock, no chance of its own)",
            )
        return TrialRow(number, "waiting", packed, {name: str(value) for name, value in values.items()})

    def _bind(self, arguments: Mapping[str, object]) -> Mapping[str, object]:
        step = self._sweep.step
        given = {**arguments, "trial": None} if self._takes_trial else arguments
        try:
            bound = dict(inspect.signature(step.function).bind(**given).arguments)
        except TypeError as error:
            raise Invalid(f"step {step.name}: {error}", where=step.where, fix="let the space name its parameters") from error
        bound.pop("trial", None)
        return bound

    def _spec(self, row: TrialRow) -> TrialSpec:
        return TrialSpec(
            self._stage.database.shown_url,
            self._row.id,
            row.number,
            self._sweep.name,
            self._sweep.metric,
            self._sweep.minimize,
            self._sweep.search.prune,
            dict(row.shown),
            self._stage.actor,
            self._takes_trial,
        )

    def _try(self, rows: Sequence[TrialRow]) -> None:
        if self._stage.executor is None or self._stage.submit is None:
            for row in rows:
                self._try_here(row)
        else:
            self._try_on_workers(self._stage.executor, self._stage.submit, rows)

    def _try_here(self, row: TrialRow) -> None:
        stage, function = self._stage, self._sweep.step.function
        for left in range(self._sweep.step.policy.retries, -1, -1):
            try:
                opened = NO_SECRETS if stage.secrets is None else stage.secrets(self._sweep.step)
                own = {**self._sweep.step.policy.environment, **dict(opened.items())}
                with variables(own), self._kept(row, opened):
                    perform(
                        self._spec(row),
                        function,
                        arguments=self._arguments[row.number],
                        codec=stage.codec,
                        root=stage.fingerprinter.root,
                        database=stage.database,
                        opened=opened,
                    )
            except Exception as error:  # noqa: BLE001 - as on a worker: whatever a trial raises is its answer, and others go on
                if not left:
                    self._fail(row, tell_failure(error))
            else:
                self._told(row)
                return

    def _kept(self, row: TrialRow, opened: Opened) -> AbstractContextManager[object]:
        """Keep what a trial prints in this process."""
        printing, step = self._stage.printing, self._sweep.step.name
        if printing is None:
            return nullcontext()
        return printing.attempt(step, row.number, hidden=opened.values(), run=self._row.id)

    def _log(self, row: TrialRow) -> Path | None:
        """The file for what a trial prints on a worker."""
        printing, step = self._stage.printing, self._sweep.step.name
        return None if printing is None else printing.submitted(step, row.number, run=self._row.id)

    def _try_on_workers(self, executor: Executor, submit: Submit, rows: Sequence[TrialRow]) -> None:
        waiting, tries = list(reversed(rows)), dict.fromkeys((row.number for row in rows), 0)
        jobs: dict[JobId, TrialRow] = {}
        try:
            while waiting or jobs:
                while waiting and len(jobs) < self._parallel:
                    row = waiting.pop()
                    tries[row.number] += 1
                    packed = {name: self._stage.codec.pack(value) for name, value in self._arguments[row.number].items()}
                    jobs[submit(self._sweep.step, packed, self._spec(row), self._log(row))] = row
                for job, status in executor.poll(list(jobs), timeout_seconds=0.5).items():
                    if status.state is JobState.DONE:
                        self._told(jobs.pop(job))
                    elif status.state in (JobState.FAILED, JobState.CANCELLED):
                        row = jobs.pop(job)
                        if tries[row.number] <= self._sweep.step.policy.retries:
                            waiting.append(row)
                        else:
                            self._fail(row, status.error or status.state.value)
                    if job not in jobs:
                        executor.forget(job)
        finally:
            for job in jobs:  # something was raised, Ctrl-C perhaps: nothing is left running
                executor.cancel(job)

    def _fail(self, row: TrialRow, error: str) -> None:
        self._trials.change(self._row.id, row.number, state="failed", error=error)
        self._told(row)

    def _told(self, row: TrialRow) -> None:
        rows = self._trials.list(self._row.id)
        found = rows[row.number]
        values = [one.objective for one in rows if one.state == "finished" and one.objective is not None]
        best = "" if not values else f", best {min(values) if self._sweep.minimize else max(values):.6g}"
        value = "" if found.objective is None else f", {self._sweep.metric} {found.objective:.6g}"
        ended = sum(one.state != "waiting" for one in rows)
        total = self._sweep.search.trials if self._sweep.search.sampler != "grid" else len(rows)
        self._stage.progress(f"sweep {self._sweep.name}: trial {row.number} {found.state}{value}{best}", ended, total)

    def _answer(self, rows: Sequence[TrialRow]) -> Swept:
        unpack, sweep = self._stage.codec.unpack, self._sweep
        tried = tuple(
            Tried(row.number, row.state, _mapping(unpack(row.drawn)), row.objective, row.run, row.error) for row in rows
        )
        swept = Swept(self._row.id, sweep.name, sweep.metric, sweep.minimize, tried)
        if not any(one.state == "finished" for one in tried):
            return swept
        output = self._rows[swept.best.number].output
        result = None if output is None else unpack(output)
        return Swept(self._row.id, sweep.name, sweep.metric, sweep.minimize, tried, result)


def _mapping(value: object) -> Mapping[str, object]:
    assert isinstance(value, dict)
    return value
