"""Repeat a build in a clean environment, from the locked versions, the recorded code and inputs, and compare content."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.types as kinds

from tidewheel.artifacts.store import ArtifactStore
from tidewheel.artifacts.table import Table
from tidewheel.clock import SECOND, Micros, format_duration, system_clock
from tidewheel.database.open import Database
from tidewheel.datasets.handle import Dataset
from tidewheel.digest import Digest
from tidewheel.errors import Invalid, NotFound, StepFailed
from tidewheel.ledger.definition import NodeId
from tidewheel.ledger.record import Build, Ledger
from tidewheel.models.registry import Registry
from tidewheel.project.furnish import clean_environment, make_environment, restore_inputs
from tidewheel.project.open import FOLDER, Workspace
from tidewheel.project.origin import Origin, find_origin
from tidewheel.project.pack import unpack
from tidewheel.project.plan import differences
from tidewheel.project.progress import Progress, silent
from tidewheel.project.why import find_build
from tidewheel.runs.observe import observe_numerics
from tidewheel.sources.snapshot import Snapshot

Verdict = Literal["equal to the bit", "equal within the tolerance", "different"]
_COMPARED = ("training_set", "step", "model")


@dataclass(frozen=True, slots=True)
class Repetition:
    """The outcome: the recorded content and the content now, where they part first, and what could make arithmetic inexact.

    Parameters
    ----------
    diverges
        The first step or training set with another content, and of a training set its first column; empty when all is equal.
    """

    node: NodeId
    verdict: Verdict
    recorded: Digest
    again: Digest
    diverges: str
    largest: float | None
    tolerance: float
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        return asdict(self)


def repeat(
    workspace: Workspace,
    name: str,
    *,
    tolerance: float = 0.0,
    timeout: Micros | None = None,
    progress: Progress = silent,
) -> Repetition:
    """Build a training set or a model once more where nothing is known but what was recorded, and compare.

    Parameters
    ----------
    name
        A build, ``model@alias``, ``model:version``, or a node, of which the newest build is taken.
    tolerance
        Largest difference, relative and absolute, of numbers that count as equal: of columns, and of a model's predictions for
        the rows that were held out.
    timeout
        How long building may take; then it is ended with all that it started. ``None``: as long as it takes.

    Raises
    ------
    NotFound
        When there is no such build, or it is from before builds kept their origin.
    StalePlan
        When files no longer hold what was read; all of them are named.
    StepFailed
        When the build fails in the clean environment, the message is its own; or when it takes too long.
    """
    build = _find(workspace, name)
    kept = find_origin(build.output)
    if kept is None:
        raise NotFound(
            f"the build {build.id[:12]} of {build.node} kept no lock",
            where=build.node,
            fix="compare in this environment: --here",
        )
    code, made = kept
    origin = Origin.from_json(workspace.artifacts.get(made))
    with tempfile.TemporaryDirectory(prefix="tidewheel-repro-") as folder:
        with progress.doing("install the locked versions"):
            python = make_environment(Path(folder, "environment"), origin)
        clean = unpack(code, workspace.artifacts, Path(folder).resolve())
        restore_inputs(_snapshots(workspace, build), root=workspace.root, home=workspace.home, clean=clean)
        with progress.doing(f"build {build.node} again"):
            pickle = "pickle" if workspace.configuration.allow_pickle else "safe"
            command = [str(python), "-m", "tidewheel.project.rebuild", str(clean), build.node]
            run_apart([*command, pickle], clean, node=build.node, engine=workspace.configuration.engine, timeout=timeout)
        return _Comparison(workspace, clean, tolerance).compare(build, origin)


def run_apart(command: Sequence[str], folder: Path, *, node: NodeId, engine: str, timeout: Micros | None) -> None:
    """Run to the end, or end it with everything that it started.

    The engine's URL may hold a password, and arguments are seen by all: it goes in by standard input.

    Raises
    ------
    StepFailed
        When it fails, with what it has said; or when it takes longer than the timeout.

    Examples
    --------
    >>> run_apart(["true"], Path("."), node=NodeId("model:eta"), engine="duckdb", timeout=None)
    """
    with subprocess.Popen(
        command,
        cwd=folder,
        env=clean_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as child:
        try:
            _, told = child.communicate(engine, timeout=None if timeout is None else timeout / SECOND)
        except BaseException as error:
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            if isinstance(error, subprocess.TimeoutExpired) and timeout is not None:
                what = f"{node} was not built again within {format_duration(timeout)}"
                raise StepFailed(what, where=node, fix="give it more time: --timeout") from error
            raise
    if child.returncode:
        raise StepFailed(f"{node} cannot be built again: {told.strip()[-2000:]}", where=node, fix="see the message")


def _find(workspace: Workspace, name: str) -> Build:
    kind, colon, _ = name.partition(":")
    nodes = [name] if colon and kind in _COMPARED else [f"{kind}:{name}" for kind in ("training_set", "model")]
    for node in nodes:
        builds = workspace.ledger.list_builds(NodeId(node), limit=1)
        if builds:
            return builds[0]
    build = find_build(workspace, name)
    if build.node.partition(":")[0] not in ("training_set", "model"):
        raise Invalid(
            f"{build.node} has no content of its own to compare", where=build.node, fix="name a training set or a model"
        )
    return build


def _snapshots(workspace: Workspace, build: Build) -> dict[str, Snapshot]:
    """What was read of each source, by the builds of the sources upstream."""
    found: dict[str, Snapshot] = {}
    for edge in workspace.ledger.upstream(build.recipe):
        if edge.node.startswith("source:") and edge.recipe is not None:
            made = workspace.ledger.find_build(edge.recipe)
            if made is not None:
                snapshot = Snapshot.from_json(made.output)
                found[snapshot.source] = snapshot
    return found


class _Comparison:
    """The recorded builds beside those of the clean folder."""

    def __init__(self, workspace: Workspace, clean: Path, tolerance: float) -> None:
        self._workspace = workspace
        self._tolerance = tolerance
        self._database = Database.open(f"sqlite:///{clean / FOLDER / 'tidewheel.db'}")
        self._ledger = Ledger(self._database, system_clock)
        self._artifacts = ArtifactStore.open(f"file://{clean / FOLDER / 'artifacts'}")

    def compare(self, build: Build, origin: Origin) -> Repetition:
        """The verdict over a build."""
        try:
            again = self._ledger.list_builds(build.node, limit=1)[0]
            equal = again.content == build.content
            largest = None if equal else self._largest(build, again)
            close = largest is not None and largest <= self._tolerance
            verdict: Verdict = "equal to the bit" if equal else "equal within the tolerance" if close else "different"
            diverges = "" if equal else self._first_difference(build, again)
            notes = tuple(self._notes(build, again, origin))
            return Repetition(build.node, verdict, build.content, again.content, diverges, largest, self._tolerance, notes)
        finally:
            self._database.close()

    def _first_difference(self, build: Build, again: Build) -> str:
        made = [one for edge in self._ledger.upstream(again.recipe) if (one := self._build_of(edge.recipe)) is not None]
        steps = [one for name in self._steps() for one in self._ledger.list_builds(name)]
        for one in sorted([*made, *steps], key=lambda one: one.ended_at):
            before = self._workspace.ledger.find_build(one.recipe)
            if before is not None and before.content != one.content:
                return f"{one.node}{self._column(before, one)}"
        return f"{build.node}{self._column(build, again)}"

    def _build_of(self, recipe: Digest | None) -> Build | None:
        found = None if recipe is None else self._ledger.find_build(recipe)
        return found if found is not None and found.node.partition(":")[0] in _COMPARED else None

    def _steps(self) -> list[NodeId]:
        return [node for node in self._ledger.search("step:", limit=10_000) if node.startswith("step:")]

    def _column(self, before: Build, again: Build) -> str:
        if not before.node.startswith("training_set:"):
            return ""
        for part, old, new in self._tables(before, again):
            for name, column in old.column_digests.items():
                if new.column_digests.get(name) != column:
                    return f", column {name} of its {part} rows"
        return ""

    def _tables(self, before: Build, again: Build) -> Iterator[tuple[str, Table, Table]]:
        old = Dataset.from_json(self._workspace.artifacts, before.output)
        new = Dataset.from_json(self._artifacts, again.output)
        yield "train", old.train.table, new.train.table
        yield "test", old.test.table, new.test.table

    def _largest(self, before: Build, again: Build) -> float | None:
        """The largest difference of numbers; ``None`` when they are not comparable."""
        if before.node.startswith("training_set:"):
            found = [_distance(old.arrow(), new.arrow()) for _, old, new in self._tables(before, again)]
            return None if None in found else max(one for one in found if one is not None)
        return self._predictions(before, again)

    def _predictions(self, before: Build, again: Build) -> float | None:
        own = self._workspace.registry
        pickle = self._workspace.configuration.allow_pickle
        other = Registry(self._database, self._artifacts, self._workspace.formats, system_clock, allow_pickle=pickle)
        version = own.get(json.loads(before.output)["version"])
        table = own.baseline(version)
        if table is None:
            return None
        names = [f"f.{name}" for name in version.features]
        columns = table.arrow(names)
        rows = np.column_stack([columns[name].cast(pa.float64(), safe=False).to_numpy() for name in names])
        old = own.load(version).predictor.predict(rows)
        new = other.load(json.loads(again.output)["version"]).predictor.predict(rows)
        return _far(np.asarray(old, np.float64), np.asarray(new, np.float64))

    def _notes(self, build: Build, again: Build, origin: Origin) -> Iterator[str]:
        for name in origin.local:
            yield f"{name} {origin.lock[name]} was installed from a folder and is taken over from this environment as it is now"
        if again.recipe != build.recipe:
            old = self._workspace.ledger.get_recipes([build.recipe])[build.recipe]
            new = self._ledger.get_recipes([again.recipe])[again.recipe]
            for reason in differences(old, new):
                yield f"{reason.component} is not what it was"
        now = observe_numerics()
        for name, value in origin.machine.items():
            if now.get(name) != value:
                yield f"{name} was {value or 'unknown'}, is {now.get(name) or 'unknown'}: last bits can differ"


def _distance(old: pa.Table, new: pa.Table) -> float | None:
    if old.schema.names != new.schema.names or old.num_rows != new.num_rows:
        return None
    largest = 0.0
    for name in old.schema.names:
        left, right = old[name], new[name]
        if left.equals(right):
            continue
        if left.type != right.type or not kinds.is_floating(left.type):
            return None
        far = _far(left.cast(pa.float64()).to_numpy(), right.cast(pa.float64()).to_numpy())
        if far is None:
            return None
        largest = max(largest, far)
    return largest


def _far(old: np.typing.NDArray[np.float64], new: np.typing.NDArray[np.float64]) -> float | None:
    """The largest difference, relative where numbers are above 1; ``None`` where one is missing and the other is not."""
    if old.shape != new.shape or not np.array_equal(np.isnan(old), np.isnan(new)):
        return None
    with np.errstate(invalid="ignore"):
        far = np.where(old == new, 0.0, np.abs(old - new) / np.maximum(1.0, np.abs(old)))
    return float(np.nanmax(far, initial=0.0))
