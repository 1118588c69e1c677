"""Run steps: look each call up by its recipe, run what is not known, here or on workers, and record it."""

from __future__ import annotations

import inspect
import os
import pickle
import random
import signal
import sysconfig
import threading
import time
import traceback
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import cast

import msgspec

from tidewheel.artifacts.store import ArtifactStore
from tidewheel.clock import SECOND, Clock, Micros, format_duration, system_clock
from tidewheel.digest import Digest
from tidewheel.errors import Corrupt, Invalid, NotFound, StepFailed, TidewheelError
from tidewheel.fingerprint.known import NOTHING, Known
from tidewheel.fingerprint.reads import Read
from tidewheel.fingerprint.recipe import Recipe
from tidewheel.fingerprint.record import Recording, current_recording, heard, recording, unheard
from tidewheel.fingerprint.verify_reads import verify
from tidewheel.fingerprint.walk import Fingerprinter
from tidewheel.ledger.build import Build
from tidewheel.ledger.record import Ledger
from tidewheel.pipelines.calls import Call, CallLog, CallState
from tidewheel.pipelines.codec import Codec, Packed
from tidewheel.pipelines.definition import Step, running
from tidewheel.pipelines.printing import Printing, aside
from tidewheel.pipelines.recipe import call_recipe, with_nonce, with_reads
from tidewheel.pipelines.run_sweep import Stage, own_samplers, run_sweep
from tidewheel.pipelines.search import Sweep, Swept
from tidewheel.pipelines.secrets import HiddenFailure, Opened, call_hidden, open_secrets, secret_in_answer, tell_failure
from tidewheel.pipelines.serve import variables
from tidewheel.pipelines.trial import TrialSpec
from tidewheel.pipelines.worker import Answer, Spec, code_digest
from tidewheel.ports.executor import Executor, JobId, JobSpec, JobState, JobStatus
from tidewheel.ports.model_format import ModelFormat
from tidewheel.ports.printed import LIMIT_BYTES
from tidewheel.ports.sampler import SamplerOpener
from tidewheel.ports.secret_store import SecretStore
from tidewheel.url import without_password

Progress = Callable[[str, int, int | None], None]
"""Told what happened, and how many calls of how many are finished."""

_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 30.0
_CHANCE = random.Random()
"""Not the module's own, whose state belongs to the user's code."""
_LOG_LINES = 20


@dataclass(slots=True)
class _Call:
    step: Step[..., object]
    arguments: Mapping[str, object]
    packed: Mapping[str, Packed]
    recipe: Recipe
    untracked: str = ""
    tries: int = 0
    started_at: Micros = field(default=Micros(0))
    not_before: float = 0.0
    logged: Call | None = None
    log: Path | None = None


@dataclass(slots=True)
class _Done:
    value: object
    trace: tuple[Read, ...] = ()
    content: str = ""


@dataclass(slots=True)
class _Trail:
    """What was asked for in an active block, in order, and what the last block that began the same way had found."""

    asked: dict[Digest, None] = field(default_factory=dict)
    ahead: dict[Digest, Build] | None = None


@dataclass(slots=True)
class _Tally:
    progress: Progress
    total: int
    finished: int = 0
    known: int = 0
    results: dict[int, _Done] = field(default_factory=dict)

    def tell(self, call: _Call, what: str, *, finished: int = 0) -> None:
        """Report one call."""
        self.finished += finished
        with aside():
            self.progress(f"{call.step.name}: {what}", self.finished, self.total)


def silent(what: str, done: int, of: int | None) -> None:
    """Tell nobody.

    Examples
    --------
    >>> silent("fit: known", 1, 4)
    """
    del what, done, of


class Session:
    """Runs the steps that are called while it is active.

    A call's recipe is its code with all that this reaches, and the content of its arguments. When the ledger has a build of
    it whose recorded reads are unchanged, that result is the answer; otherwise the step runs and its build is recorded. So a
    pipeline that was killed is simply run again.

    Parameters
    ----------
    executor
        Where steps run; ``None``, or an executor that ``runs_here``, calls them in this process.
    formats
        How models are stored.
    actor
        Who is recorded as having built.
    progress
        Told of every call.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tidewheel.clock import system_clock
    >>> from tidewheel.database.open import Database
    >>> from tidewheel.pipelines.definition import step
    >>> ledger = Ledger(Database.open("sqlite://"), system_clock)
    >>> session = Session(ledger, ArtifactStore.open("memory:///"), fingerprinter=Fingerprinter(Path(".")), actor="ann")
    >>> @step
    ... def double(x: int) -> int:
    ...     print("doubling", x)
    ...     return 2 * x
    >>> with session.active():
    ...     double(4), double(4)
    doubling 4
    (8, 8)
    """

    def __init__(
        self,
        ledger: Ledger,
        artifacts: ArtifactStore,
        *,
        fingerprinter: Fingerprinter,
        actor: str,
        executor: Executor | None = None,
        formats: Sequence[ModelFormat] = (),
        clock: Clock = system_clock,
        progress: Progress = silent,
    ) -> None:
        self.ledger = ledger
        self.artifacts = artifacts
        self.fingerprinter = fingerprinter
        self.actor = actor
        self._executor = None if getattr(executor, "runs_here", False) else executor
        self._movable = Fingerprinter(fingerprinter.root, movable=True) if getattr(executor, "apart", False) else None
        self._clock = clock
        self._progress = progress
        self.samplers: Callable[[str], SamplerOpener] = own_samplers  # what is found by name, for sweeps
        self.secrets: Callable[[], SecretStore] | None = None
        self.secrets_url = "env"  # where workers find the store
        self._codecs = {allowed: Codec(artifacts, formats, pickle=allowed) for allowed in (False, True)}
        self._signatures: dict[object, inspect.Signature] = {}
        self._trail: _Trail | None = None
        self._calls: CallLog | None = None
        self._printing: Printing | None = None
        self._stopping = False

    def stop(self) -> None:
        """Let whoever calls steps be interrupted, as by Ctrl-C: at once where they run on workers, before the next one here."""
        self._stopping = True

    def _go_on(self) -> None:
        if self._stopping:
            raise KeyboardInterrupt

    @contextmanager
    def active(
        self, *, calls: CallLog | None = None, printing: Printing | None = None, known: Known = NOTHING
    ) -> Iterator[Recording]:
        """Run steps that are called inside of the block; the answer records what the block and its steps read.

        ``calls`` are those of the run that the block belongs to, when it is one, and ``printing`` keeps what they print. A
        build is found by its recipe, whatever run asked for it first.
        """
        before, self._calls, self._printing = (self._calls, self._printing), calls or self._calls, printing or self._printing
        try:
            with (
                nullcontext() if printing is None else printing.active(),
                recording(self.fingerprinter.root, known=known) as reads,
                running(self),
                self._following(),
            ):
                yield reads
        finally:
            self._calls, self._printing = before
            if calls is not None:
                with unheard():
                    calls.close()

    def _note(self, call: _Call, state: CallState, *, error: str = "", done: _Done | None = None) -> None:
        if self._calls is not None and call.logged is not None:
            content = "" if done is None else done.content
            self._calls.note(call.logged, state, tries=call.tries, error=error, recipe=call.recipe.digest, content=content)

    @contextmanager
    def _following(self) -> Iterator[None]:
        """Remember what is asked for, so that the next run finds all of it in one query. A part is on its whole's trail."""
        if self._trail is not None:
            yield
            return
        trail = self._trail = _Trail()
        try:
            yield
        finally:
            self._trail = None
            if len(trail.asked) > 1 and trail.asked.keys() != (trail.ahead or {}).keys():
                with unheard():
                    self.ledger.trails.put(list(trail.asked))

    def _find_builds(self, recipes: Sequence[Digest]) -> Mapping[Digest, Build]:
        """What is known of some recipes: from the trail that the first one of the block leads to, or by asking for them."""
        trail = self._trail
        if trail is None or not recipes:
            return self.ledger.find_builds(recipes) if recipes else {}
        if trail.ahead is None:
            trail.ahead = self.ledger.trails.find(recipes[0])
        ahead = trail.ahead
        trail.asked.update(dict.fromkeys(recipes))
        unknown = [recipe for recipe in recipes if recipe not in ahead]
        if len(unknown) == 1:
            build = self.ledger.find_build(unknown[0])
            found = {} if build is None else {unknown[0]: build}
        else:
            found = self.ledger.find_builds(unknown) if unknown else {}
        return {recipe: ahead[recipe] for recipe in recipes if recipe in ahead} | found

    def bind(self, step: Step[..., object], args: tuple[object, ...], kwargs: Mapping[str, object]) -> Mapping[str, object]:
        """Arguments by name, so that it does not matter how they were passed."""
        signature = self._signatures.get(step.function)
        if signature is None:
            signature = self._signatures[step.function] = inspect.signature(step.function)
            for parameter in signature.parameters.values():
                if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
                    raise Invalid(
                        f"step {step.name} takes {parameter}: arguments of a step have names",
                        where=step.where,
                        fix="name each parameter, and pass a list or a dict for many",
                    )
        return signature.bind(*args, **kwargs).arguments

    def call(self, step: Step[..., object], arguments: Mapping[str, object]) -> object:
        """Result of one call."""
        return self.map(step, [arguments])[0]

    def map(self, step: Step[..., object], calls: Sequence[Mapping[str, object]]) -> list[object]:
        """Results of many calls, in their order; equal calls are run once.

        Raises
        ------
        StepFailed
            When a call failed for the last time. Calls that run on workers are stopped; what was finished is kept.
        """
        with unheard(), variables(step.policy.environment):
            prepared = dict(enumerate(self._prepare(step, arguments) for arguments in calls))
            tally = _Tally(self._progress, len(prepared))
            missing = self._look_up(prepared, tally)
        if self._executor is None:
            for indexes in missing:
                self._finish(indexes, self._run_here(prepared[indexes[0]], tally), tally, prepared)
        elif missing:
            with unheard(), self._flight(self._executor, prepared, tally) as flight:
                flight.waiting.extend(missing)
                while flight.advance():
                    continue
        outer = current_recording()
        if outer is not None:
            for done in tally.results.values():
                outer.include(done.trace)
        return [tally.results[index].value for index in range(len(prepared))]

    def imap(self, step: Step[..., object], calls: Sequence[Mapping[str, object]], *, ahead: int) -> Iterator[object]:
        """Results of many calls, one by one in their order; of those that are not taken yet at most ``ahead`` are begun."""
        prepared: dict[int, _Call] = {}
        tally, begun = _Tally(self._progress, len(calls)), 0
        executor, outer = self._executor, current_recording()
        with ExitStack() as stack:
            flight = None if executor is None else stack.enter_context(self._flight(executor, prepared, tally))
            for index in range(len(calls)):
                # Half of them at a time, so that they are looked up in few queries.
                if begun < len(calls) and begun - index <= ahead // 2:
                    coming = range(begun, min(len(calls), index + (1 if flight is None else ahead)))
                    with unheard(), variables(step.policy.environment):
                        prepared.update((each, self._prepare(step, calls[each])) for each in coming)
                        missing = self._look_up({each: prepared[each] for each in coming}, tally)
                    begun = max(begun, coming.stop)
                    if flight is not None:
                        flight.waiting.extend(missing)
                    elif missing:
                        self._finish([index], self._run_here(prepared[index], tally), tally, prepared)
                while index not in tally.results:
                    assert flight is not None
                    with unheard():
                        flight.advance()
                done = tally.results.pop(index)
                del prepared[index]
                if outer is not None:
                    outer.include(done.trace)
                yield done.value

    def sweep(self, wanted: object) -> Swept:
        """Search a space: see :func:`tidewheel.sweep`."""
        assert isinstance(wanted, Sweep)
        executor, codec = self._executor, self._codecs[wanted.step.policy.pickle]
        stage = Stage(
            self.ledger.database,
            codec,
            self.fingerprinter,
            self.actor,
            self._clock,
            self._progress,
            self.samplers,
            executor,
            self._printing,
            self._open_secrets,
            None if executor is None else partial(self._submit_call, executor),
            1 if executor is None else os.cpu_count() or 1,
        )
        return run_sweep(stage, wanted)

    # ── look up ──────────────────────────────────────────────────────────────────────────────────

    def _prepare(self, step: Step[..., object], arguments: Mapping[str, object]) -> _Call:
        codec = self._codecs[step.policy.pickle]
        packed = {name: _pack(codec, step, name, value) for name, value in arguments.items()}
        recipe = call_recipe(step, packed, self.fingerprinter, shown=arguments, now=self._clock())
        untracked = ""
        if not step.policy.trusted:
            found = self.fingerprinter.findings([step.function])
            untracked = str(found[0]) if found else ""
        logged = None if self._calls is None else self._calls.begin(step.name, packed)
        return _Call(step, arguments, packed, recipe, untracked, logged=logged)

    def _look_up(self, calls: Mapping[int, _Call], tally: _Tally) -> list[list[int]]:
        """Answer what is known; return the indexes of the rest, equal calls together."""
        tracked = [call.recipe.digest for call in calls.values() if not call.untracked]
        builds = self._find_builds(tracked)
        missing: dict[Digest, list[int]] = {}
        for index, call in calls.items():
            if call.untracked:
                call.recipe = with_nonce(call.recipe, call.untracked, uuid.uuid4().hex)
                missing[call.recipe.digest] = [index]
                continue
            done = self._known(call, builds)
            if done is None:
                missing.setdefault(call.recipe.digest, []).append(index)
            else:
                tally.results[index] = done
                tally.tell(call, "known", finished=1)
                self._note(call, "known", done=done)
        return list(missing.values())

    def _known(self, call: _Call, builds: Mapping[Digest, Build]) -> _Done | None:
        build = builds.get(call.recipe.digest)
        root = self.fingerprinter.root
        while build is not None:
            if not verify(build.trace, root):
                try:
                    return _Done(self._codecs[call.step.policy.pickle].unpack(build.output), build.trace, build.content)
                except (NotFound, Corrupt) as error:
                    self.ledger.retire_build(build.recipe, actor=self.actor, reason=str(error))
                    if self._trail is not None and self._trail.ahead is not None:
                        self._trail.ahead.pop(build.recipe, None)
                    return None
            # What it read has changed since. The values of now are part of the recipe then, and that may be known as well.
            changed = with_reads(call.recipe, build.trace, root)
            if changed.digest == call.recipe.digest:
                call.recipe = with_nonce(call.recipe, "what it reads does not stand still", uuid.uuid4().hex)
                return None
            call.recipe = changed
            build = self._find_builds([call.recipe.digest]).get(call.recipe.digest)
        return None

    def _finish(self, indexes: Sequence[int], done: _Done, tally: _Tally, calls: Mapping[int, _Call]) -> None:
        for index in indexes:
            tally.results[index] = done
            self._note(calls[index], "done" if index == indexes[0] else "known", done=done)
        tally.tell(calls[indexes[0]], "done", finished=len(indexes))

    def _record(self, call: _Call, packed: Packed, trace: Sequence[Read], doubts: Sequence[str]) -> _Done:
        recipe = call.recipe
        if doubts and not call.untracked:
            recipe = with_nonce(recipe, "; ".join(doubts), uuid.uuid4().hex)
        build = Build(
            recipe.digest,
            call.step.node,
            packed.content,
            packed.data,
            tuple(trace),
            call.started_at,
            self._clock(),
            self.actor,
            uuid.uuid4().hex,
        )
        self.ledger.record_build(build, recipe)
        return _Done(None, tuple(trace), packed.content)

    # ── in this process ──────────────────────────────────────────────────────────────────────────

    def _run_here(self, call: _Call, tally: _Tally) -> _Done:
        policy = call.step.policy
        codec = self._codecs[policy.pickle]
        known = self.fingerprinter.known([call.step.function])
        self._go_on()
        while True:
            call.tries += 1
            call.started_at = self._clock()
            tally.tell(call, "running")
            self._note(call, "running")
            opened = self._open_secrets(call.step)
            try:
                with (
                    unheard(),
                    variables({**policy.environment, **dict(opened.items())}),
                    heard(),
                    self._inside(call),
                    self._kept(call, opened),
                    recording(self.fingerprinter.root, hidden=opened.names, known=known) as reads,
                    _limit(policy.timeout),
                ):
                    value = call_hidden(call.step.function, call.arguments, opened)
                break
            except Exception as error:  # noqa: BLE001 - what a step raises is its answer, which is raised below
                why = tell_failure(error)
                where, cause = (error.where, None) if isinstance(error, HiddenFailure) else (_place(error), error)
            if call.tries > policy.retries:
                tally.tell(call, f"failed: {why}")
                self._note(call, "failed", error=why)
                raise self._failed(call, why, where) from cause
            tally.tell(call, f"failed, trying again: {why}")
            self._note(call, "retrying", error=why)
            time.sleep(_pause(call.tries))
        with unheard():
            packed = codec.pack(value)
            leaked = opened.holds(packed.data)
            if leaked is not None:
                del value, packed
                raise secret_in_answer(leaked, step=call.step.name)
            done = self._record(call, packed, list(reads), reads.doubts(trusted=policy.trusted))
        return _Done(value, done.trace, done.content)

    def _open_secrets(self, step: Step[..., object]) -> Opened:
        wanted = {variable: one.name for variable, one in step.policy.secrets.items()}
        return open_secrets(self.secrets() if wanted and self.secrets is not None else None, wanted, step=step.name)

    @contextmanager
    def _kept(self, call: _Call, opened: Opened) -> Iterator[None]:
        """Keep what is printed inside of the block, and where it stopped when it fails."""
        if self._printing is None or call.logged is None:
            yield
            return
        hidden = opened.values()
        with self._printing.attempt(call.step.name, call.logged.ordinal, attempt=call.tries, hidden=hidden) as attempt:
            try:
                yield
            except HiddenFailure:
                raise  # the traceback without the secrets is printed
            except Exception:
                attempt.keep(traceback.format_exc())
                raise

    @contextmanager
    def _inside(self, call: _Call) -> Iterator[None]:
        """Calls that are made inside of the block belong to this one."""
        if self._calls is None:
            yield
            return
        log = self._calls
        before = log.enter(call.logged)
        try:
            yield
        finally:
            log.leave(before)

    def _failed(self, call: _Call, why: str, where: str | None = None) -> TidewheelError:
        tries = f" after {call.tries} tries" if call.tries > 1 else ""
        return StepFailed(
            f"step {call.step.name} failed{tries}: {why}",
            where=where or call.step.where,
            fix="mend it and run again: finished steps are not run twice",
        )

    # ── on workers ───────────────────────────────────────────────────────────────────────────────

    @contextmanager
    def _flight(self, executor: Executor, calls: Mapping[int, _Call], tally: _Tally) -> Iterator[_Flight]:
        flight = _Flight(self, executor, calls, tally)
        try:
            yield flight
        finally:
            for job in flight.jobs:  # something was raised, Ctrl-C perhaps: nothing is left running
                executor.cancel(job)

    def _note_open(self, call: _Call, status: JobStatus) -> None:
        """Say of a call what is seen of its job while that is not final."""
        if self._calls is None or call.logged is None or status.state not in (JobState.QUEUED, JobState.RUNNING):
            return
        if status.state is JobState.RUNNING and call.logged.state != "running":
            self._note(call, "running")
        self._calls.look(call.logged, silent_seconds=status.silent_seconds, note=status.note)

    def _submit(self, executor: Executor, call: _Call) -> JobId:
        call.tries += 1
        if self._printing is not None and call.logged is not None:
            call.log = self._printing.submitted(call.step.name, call.logged.ordinal, attempt=call.tries)
        submitted = self._submit_call(executor, call.step, call.packed, log=call.log)
        call.started_at = self._clock()
        return submitted

    def _submit_call(
        self,
        executor: Executor,
        step: Step[..., object],
        packed: Mapping[str, Packed],
        trial: TrialSpec | None = None,
        log: Path | None = None,
    ) -> JobId:
        function, policy = step.function, step.policy
        module, name = function.__module__, function.__qualname__
        if module == "__main__" or "<" in name:
            raise Invalid(
                f"step {step.name} cannot be found by a worker, because it is {module}.{name}",
                where=step.where,
                fix="define it at the top level of a module of the project",
            )
        spec = Spec(
            str(self.fingerprinter.root),
            f"{module}:{name}",
            {name: msgspec.Raw(value.data) for name, value in packed.items()},
            without_password(self.artifacts.url),
            code_digest((self._movable or self.fingerprinter).components([function])),
            policy.pickle,
            self._movable is not None,
            trial,
            {variable: one.name for variable, one in policy.secrets.items()},
            self.secrets_url,
        )
        limit = None if policy.timeout is None else policy.timeout / SECOND
        asked = policy.resources
        data, own = msgspec.json.encode(spec), dict(policy.environment)
        kept = LIMIT_BYTES if self._printing is None else self._printing.limit_bytes
        return executor.submit(JobSpec(data, asked.cpu, limit, asked.memory_bytes, own, log, kept))

    def _collect(self, executor: Executor, job: JobId, call: _Call, status: JobStatus, tally: _Tally) -> _Done | None:
        """Record a finished job's result; ``None`` when it is to be tried again."""
        if self._printing is not None and call.log is not None:
            self._printing.ended(call.log)
        if status.state is not JobState.DONE:
            why = status.error or status.state.value
            if status.state is JobState.FAILED and call.tries <= call.step.policy.retries:
                tally.tell(call, f"failed, trying again: {why}")
                self._note(call, "retrying", error=why)
                call.not_before = time.monotonic() + _pause(call.tries)
                return None
            tally.tell(call, f"failed: {why}")
            self._note(call, "failed", error=why)
            printed = "\n".join(executor.logs(job).splitlines()[-_LOG_LINES:])
            raise self._failed(call, why + (f"\n{printed}\n" if printed else ""))
        answer = msgspec.json.decode(status.result, type=Answer)
        packed = Packed(bytes(answer.value), answer.content)
        reads = [Read(kind, name, value) for kind, name, value in answer.reads]
        if self._movable is not None:
            self._refuse_other_files(call, reads)
        done = self._record(call, packed, reads, answer.unstable)
        return _Done(self._codecs[call.step.policy.pickle].unpack(packed.data), done.trace, done.content)

    def _refuse_other_files(self, call: _Call, reads: Sequence[Read]) -> None:
        """A worker elsewhere has copies of the project's files; what it read of them must be what is here."""
        ours = [read for read in reads if read.kind != "env" and not read.name.startswith("/")]
        other = [read.name for read in verify(ours, self.fingerprinter.root)]
        if other:
            raise self._failed(
                call,
                f"on its worker it read {', '.join(other)}, which is not there what it is here: large and hidden files are not"
                " sent to workers, and a file may have been edited meanwhile; pass data as arguments",
            )


@dataclass(slots=True)
class _Flight:
    """Calls that are on workers, or are to be: equal ones together, by their indexes."""

    session: Session
    executor: Executor
    calls: Mapping[int, _Call]
    tally: _Tally
    waiting: list[Sequence[int]] = field(default_factory=list)
    jobs: dict[JobId, Sequence[int]] = field(default_factory=dict)

    def advance(self) -> bool:
        """Submit what is due, wait a moment for answers and take them; whether anything is left."""
        session, calls, jobs = self.session, self.calls, self.jobs
        session._go_on()
        now = time.monotonic()
        for indexes in [each for each in self.waiting if calls[each[0]].not_before <= now]:
            self.waiting.remove(indexes)
            jobs[session._submit(self.executor, calls[indexes[0]])] = indexes
        states = self.executor.poll(list(jobs), timeout_seconds=0.05 if self.waiting else 0.5) if jobs else {}
        if not jobs:
            time.sleep(0.02)
        for job, status in states.items():
            call = calls[jobs[job][0]]
            session._note_open(call, status)
            if status.state not in (JobState.DONE, JobState.FAILED, JobState.CANCELLED):
                continue
            indexes = jobs.pop(job)
            done = session._collect(self.executor, job, call, status, self.tally)
            self.executor.forget(job)
            if done is None:
                self.waiting.append(indexes)
            else:
                session._finish(indexes, done, self.tally, calls)
        return bool(self.waiting or jobs)


def _pack(codec: Codec, step: Step[..., object], name: str, value: object) -> Packed:
    try:
        return codec.pack(value)
    except TidewheelError as error:
        raise type(error)(f"argument {name} of step {step.name}: {error.what}", where=error.where, fix=error.fix) from error
    except (pickle.PicklingError, TypeError, AttributeError) as error:  # what pickle raises for what it cannot store
        raise Invalid(
            f"argument {name} of step {step.name} cannot be stored, not even by pickle: {error}",
            where=step.where,
            fix="pass plain values, arrays, tables or models, and open files and connections inside of the step",
        ) from error


def _pause(tries: int) -> float:
    """Seconds until the next try: twice as long each time, and by chance up to a half less, lest all of a map come at once."""
    return min(_FIRST_PAUSE_SECONDS * 2.0 ** (tries - 1), _LONGEST_PAUSE_SECONDS) * _CHANCE.uniform(0.5, 1.0)


_LIBRARIES = tuple({Path(__file__).parents[1], *(Path(sysconfig.get_path(one)) for one in ("stdlib", "purelib", "platlib"))})


def _place(error: BaseException) -> str | None:
    """The innermost line that is neither ours nor a library's, where there is one: what a person can mend."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [one for one in frames if not any(Path(one.filename).is_relative_to(folder) for folder in _LIBRARIES)]
    found = own or frames
    return f"{found[-1].filename}:{found[-1].lineno}" if found else None


@contextmanager
def _limit(span: Micros | None) -> Iterator[None]:
    """Raise ``TimeoutError`` in the block after a span. Only a main thread can be interrupted; elsewhere nothing is."""
    if span is None or threading.current_thread() is not threading.main_thread():
        yield
        return

    def ring(number: int, frame: object) -> None:
        del number, frame
        raise TimeoutError(f"it ran longer than its limit of {format_duration(cast(int, span))}")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, span / SECOND)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
