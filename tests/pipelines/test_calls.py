"""What is kept of the calls of a run."""

from __future__ import annotations

from pathlib import Path

from tests.pipelines.workspace import workspace

from tidewheel.artifacts.store import ArtifactStore
from tidewheel.clock import Micros, system_clock
from tidewheel.ledger.collect import Retention, mark
from tidewheel.pipelines.calls import CallLog, read_calls
from tidewheel.runs.record import Runs


def test_a_call_on_record_does_not_keep_its_build_from_being_collected(tmp_path: Path) -> None:
    with workspace(tmp_path, "@tw.step\ndef double(x): return 2 * x") as ws:
        runs = Runs(ws.database, ArtifactStore.open("memory:///"), system_clock)
        with (
            runs.start("r", experiment="e", environment_lock={}) as run,
            ws.session.active(calls=run.attach(CallLog(ws.database, run.id, system_clock))),
        ):
            assert ws.steps().double(ws.steps().double(4)) == 16
        first, second = read_calls(ws.database, run.id)
        assert (first.state, second.state, second.inputs) == ("done", "done", (0,))
        with ws.database.read() as connection:
            later = Micros(system_clock() + 1)
            found = mark(connection, Retention(0, Micros(0)), now=later, read=lambda _: None)
        assert len(found.unreached) == 2
