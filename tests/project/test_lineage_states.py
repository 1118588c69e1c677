"""Every state that a pipeline ends in, as a receiver is told by a real process, held against OpenLineage's own classes."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import attr
import pytest
from openlineage.client import event_v2, facet_v2
from tests.project.test_emit_lineage import Receiver, command, receiver

__all__ = ["receiver"]
pytestmark = pytest.mark.slow

DEFINITIONS = """
import pathlib, time
import tidewheel as tw


@tw.step(reads=[])
def first() -> int:
    return 1


@tw.step(reads=[])
def waits(after: int, seconds: float) -> int:
    pathlib.Path("at_work").touch()
    time.sleep(seconds)
    if seconds < 0.5:
        raise ValueError("too short")
    return after


@tw.pipeline
def slow(seconds: float = 60.0) -> int:
    return waits(first(), seconds)
"""


@pytest.fixture
def project(tmp_path: Path, receiver: Receiver) -> Path:
    settings = f'project = "slow"\n[lineage]\nurl = "{receiver.url}"\n'
    (tmp_path / "tidewheel.toml").write_text(settings)
    (tmp_path / "slow.py").write_text(DEFINITIONS)
    return tmp_path


def start(project: Path) -> subprocess.Popen[str]:
    """A run whose step is at work."""
    (project / "at_work").unlink(missing_ok=True)
    run = [sys.executable, "-m", "tidewheel", "run", "slow"]
    process = subprocess.Popen(run, cwd=project, env=os.environ.copy(), stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + 60
    while not (project / "at_work").exists():
        assert time.monotonic() < until
        assert process.poll() is None
        time.sleep(0.05)
    return process


def states(receiver: Receiver) -> list[str]:
    found = [str(event["eventType"]) for event in receiver.events]
    for event in receiver.events:
        check(event)
    assert len({event["run"]["runId"] for event in receiver.events}) == 1
    receiver.events.clear()
    return found


def check(event: dict[str, Any]) -> None:
    """Raises where a part of the event is not what OpenLineage's class for it takes; it checks instants, UUIDs and states."""
    made = dict(event)
    run, job = made.pop("run"), made.pop("job")
    assert re.fullmatch(r"https://openlineage\.io/spec/2-\d+-\d+/OpenLineage\.json#/\$defs/RunEvent", made.pop("schemaURL"))
    inputs = [same(event_v2.InputDataset, one, "dataset") for one in made.pop("inputs")]
    outputs = [same(event_v2.OutputDataset, one, "dataset") for one in made.pop("outputs")]
    kind = event_v2.RunState[made.pop("eventType")]
    event_v2.RunEvent(
        run=same(event_v2.Run, run, "run"),
        job=same(event_v2.Job, job, "job"),
        eventType=kind,
        inputs=inputs,
        outputs=outputs,
        **made,
    )


FACETS: dict[str, Any] = {
    "columnLineage": facet_v2.column_lineage_dataset.ColumnLineageDatasetFacet,
    "schema": facet_v2.schema_dataset.SchemaDatasetFacet,
    "dataSource": facet_v2.datasource_dataset.DatasourceDatasetFacet,
    "version": facet_v2.dataset_version_dataset.DatasetVersionDatasetFacet,
    "parent": facet_v2.parent_run.ParentRunFacet,
    "errorMessage": facet_v2.error_message_run.ErrorMessageRunFacet,
    "jobType": facet_v2.job_type_job.JobTypeJobFacet,
    "tags": facet_v2.tags_run.TagsRunFacet,  # the client's own
    "documentation": facet_v2.documentation_job.DocumentationJobFacet,
}


def same(kind: type, told: dict[str, Any], of: str) -> Any:
    """A value of a class from JSON, all of whose names the class knows."""
    held = dict(told)
    facets = held.pop("facets", {})
    for name, one in facets.items():
        facet = dict(one)
        assert facet.pop("_schemaURL") == FACETS[name]._get_schema()
        assert ("tidewheel" in facet.pop("_producer")) == (name != "tags")
        known = {field.name for field in attr.fields(FACETS[name])}
        needed = {field.name for field in attr.fields(FACETS[name]) if field.default is attr.NOTHING}
        assert needed <= facet.keys() <= known, f"{of}.{name}: {facet.keys()}"
    known = {field.name for field in attr.fields(kind)}
    assert held.keys() <= known
    return kind(**held)


def test_a_run_that_ends_fails_is_interrupted_or_cancelled_is_told_so_in_valid_events(
    project: Path, receiver: Receiver
) -> None:
    command(project, "run", "slow", "--param", "seconds=0.1", code=1)
    assert "ValueError: too short" in receiver.events[-1]["run"]["facets"]["errorMessage"]["message"]
    assert states(receiver) == ["START", "FAIL"]
    command(project, "run", "slow", "--param", "seconds=0.6")
    assert states(receiver) == ["START", "COMPLETE"]

    process = start(project)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "run it again to go on: finished steps are not run twice" in told
    assert states(receiver) == ["START", "ABORT"]

    process = start(project)
    command(project, "cancel", "last")
    _, told = process.communicate(timeout=60)
    assert "was cancelled by" in told
    assert process.returncode == 1
    assert states(receiver) == ["START", "ABORT"]

    # What was finished before is not run again.
    command(project, "run", "slow", "--param", "seconds=0.7")
    assert states(receiver) == ["START", "COMPLETE"]
