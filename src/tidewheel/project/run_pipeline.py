"""Run one pipeline: its body here, its steps where the workspace's executor runs them, all of it on record as a run."""

from __future__ import annotations

import signal
import threading
import uuid
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass

from tidewheel.errors import Cancelled, Invalid
from tidewheel.ledger.definition import Declaration
from tidewheel.pipelines.calls import CallLog
from tidewheel.pipelines.compose import Pipeline, read_arguments
from tidewheel.pipelines.execute import Session
from tidewheel.pipelines.printing import Printing
from tidewheel.ports.lineage_sink import DatasetFacts
from tidewheel.project.emit_lineage import lineage
from tidewheel.project.load import own_code
from tidewheel.project.open import Workspace
from tidewheel.project.progress import Progress, silent

EXPERIMENT = "pipelines"
"""Under what runs of pipelines are found among all runs."""

_WIDTH = 2_000


@dataclass(frozen=True, slots=True)
class PipelineRun:
    """What a run of a pipeline came to: the calls of steps that ran, those that were known, the trials of sweeps that were made
    now, and what the body returned."""

    pipeline: str
    run: str
    ran: int
    known: int
    result: str
    trials: int = 0

    @property
    def summary(self) -> str:
        """What ran, in words.

        Examples
        --------
        >>> PipelineRun("pipeline:p", "r", 0, 0, "", trials=3).summary, PipelineRun("pipeline:p", "r", 2, 1, "").summary
        ('3 trials made', '2 steps ran, 1 known')
        """
        steps = f"{self.ran} steps ran, {self.known} known"
        made = f"{self.trials} trials made"
        return steps if not self.trials else made if not (self.ran or self.known) else f"{steps}, {made}"

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        return asdict(self)


class _Counted:
    """Counts calls, and tells them on."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self.ran = self.known = self.trials = 0
        self.steps: set[str] = set()

    def __call__(self, what: str, done: int, of: int | None) -> None:
        self.ran += what.endswith(": done")
        self.known += what.endswith(": known")
        self.trials += what.startswith("sweep ") and ": trial " in what
        if what.endswith((": done", ": known")):
            self.steps.add(what.rpartition(": ")[0])
        self._progress.step(what, done, of)


def run_pipeline(
    workspace: Workspace,
    declaration: Declaration,
    *,
    given: Mapping[str, str] | None = None,
    environment: str,
    reason: str = "by hand",
    progress: Progress = silent,
) -> PipelineRun:
    """Run a pipeline. Steps that are known are not run again, so one that was stopped goes on where it was.

    Parameters
    ----------
    given
        Arguments as texts, read as the annotations say.

    Raises
    ------
    Invalid
        When the node is no pipeline, or an argument is not of its type.
    StepFailed
        When a step failed for the last time.
    Cancelled
        When somebody asked the run to stop.
    """
    pipeline = declaration.definition
    if not isinstance(pipeline, Pipeline):
        raise Invalid(f"{declaration.id} is no pipeline", where=declaration.where, fix="name a function under @tw.pipeline")
    arguments = read_arguments(pipeline, given or {})
    counted = _Counted(progress)
    session = Session(
        workspace.ledger,
        workspace.artifacts,
        fingerprinter=workspace.fingerprinter,
        actor=workspace.actor,
        executor=workspace.executor,
        formats=workspace.formats,
        clock=workspace.clock,
        progress=counted,
    )
    workspace.equip(session)
    run = workspace.runs.start(
        pipeline.name,
        experiment=EXPERIMENT,
        parameters=given,
        actor=workspace.actor,
        tags={"node": declaration.id, "environment": environment, "reason": reason},
    )
    run.stop_by(_stopper(session))
    try:
        with (
            lineage(workspace, progress) as told,
            run,
            nullcontext() if told is None else told.job(str(declaration.id), "PIPELINE", run=str(uuid.UUID(run.id))) as job,
            session.active(
                calls=run.attach(CallLog(workspace.database, run.id, workspace.clock)),
                printing=Printing(workspace.runs.logs, run.id, show=None if progress is silent else progress.note),
            ) as reads,
        ):
            progress.note(f"run {run.id}")
            try:
                with own_code(workspace.root, str(declaration.id)):
                    result = pipeline(**arguments)
            finally:
                if job is not None:
                    job.inputs.extend(
                        DatasetFacts(str(workspace.root / each.name), "file") for each in reads if each.kind == "file"
                    )
                    job.outputs.extend(DatasetFacts(f"step:{name}") for name in sorted(counted.steps))
    except KeyboardInterrupt as error:
        if not run.cancelled_by:
            progress.note(f"run {run.id} is stopped: run it again to go on: finished steps are not run twice")
            raise
        raise Cancelled(
            f"run {run.id} was cancelled by {run.cancelled_by}", fix="run it again to go on: finished steps are not run twice"
        ) from error
    return PipelineRun(declaration.id, run.id, counted.ran, counted.known, _shown(result), counted.trials)


def _stopper(session: Session) -> Callable[[], None]:
    """What stops the run that this thread is about to make, called from another one."""
    ident = threading.get_ident()
    on_main = threading.current_thread() is threading.main_thread()

    def stop() -> None:
        session.stop()
        # As by Ctrl-C, in the middle of a step too; not where Ctrl-C means another thing: there the step at work is finished.
        if on_main and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.pthread_kill(ident, signal.SIGINT)

    return stop


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _WIDTH else text[: _WIDTH - 3] + "..."
