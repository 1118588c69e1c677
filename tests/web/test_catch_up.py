"""What a killed server has kept of a push and not brought online is there when the next one answers."""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.own_servers import RedisServer, private_folder
from tests.web.feature_world import NOW, write_project
from tests.web.world import call

from tidewheel.clock import Micros
from tidewheel.project.load import load_project
from tidewheel.project.open import open_workspace
from tidewheel.project.prepare_services import list_views
from tidewheel.web.assemble import assemble

KEPT = """
import os, signal, sys
from pathlib import Path
from tidewheel.clock import Micros
from tidewheel.project.load import load_project
from tidewheel.project.open import open_workspace
now = Micros(int(sys.argv[1]))
source = load_project(Path.cwd()).graph.nodes["source:sales"].definition
with open_workspace(Path.cwd(), clock=lambda: now) as workspace:
    row = {"label": "a", "ts": "2026-01-01T11:50:00Z", "amount": 50.0}
    rows = workspace.sources.validate(source, [row], now=now, allowance=0)
    workspace.push_log("sales").append(source, rows)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_push_that_a_killed_server_kept_and_did_not_bring_online_counts_when_the_next_one_starts(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_project(tmp_path)
    project = load_project(tmp_path)
    with open_workspace(tmp_path, clock=lambda: Micros(NOW)) as workspace:
        for name in ("Facts", "Sales"):
            workspace.materializer.materialize(list_views(project)[name], until=NOW)
    killed = subprocess.run([sys.executable, "-c", KEPT, str(NOW)], cwd=tmp_path, check=False)
    assert killed.returncode == -signal.SIGKILL
    asked = {
        "rows": [{"uid": 1, "label": "a", "when": "2026-01-01T10:00:00Z", "factor": 1.0}],
        "features": ["sold_1h", "mean_1h"],
    }
    for start in range(2):  # the second start has nothing to do, and a source without ids counts the row once
        caplog.clear()
        with open_workspace(tmp_path, clock=lambda: Micros(NOW)) as workspace, caplog.at_level(logging.WARNING, "tidewheel"):
            app = assemble(project, workspace, ())
            app.refresh()
            status, answer = call(app, "POST", "/features/everything", asked)
            app.answerer.close()
        assert (status, answer.get("values")) == (200, [[4, 30.0]]), answer
        assert ("killed while it took pushes to sales" in caplog.text) is (start == 0)


@pytest.mark.redis
def test_a_push_that_was_kept_while_the_store_was_away_comes_online_with_the_next_one(tmp_path: Path) -> None:
    (tmp_path / "definitions.py").write_text(
        "import tidewheel as tw\n"
        'facts = tw.source("facts", "facts.parquet", time="ts")\n'
        '@tw.features(facts, by=tw.entity("user", uid=int))\n'
        "class Facts:\n"
        '    whole = tw.lookup("whole")\n'
        'facts_only = tw.service("facts_only", Facts)\n'
    )
    pq.write_table(
        pa.table({"uid": [1], "ts": pa.array([NOW - 1], pa.timestamp("us", "UTC")), "whole": [1]}), tmp_path / "facts.parquet"
    )
    with private_folder() as folder:
        server = RedisServer(folder)
        try:
            (tmp_path / "tidewheel.toml").write_text(
                f'project = "shop"\ndefinitions = ["definitions"]\n[workspace.local]\nonline = "{server.url}"\n'
            )
            project = load_project(tmp_path)
            with open_workspace(tmp_path, clock=lambda: Micros(NOW)) as workspace:
                workspace.materializer.materialize(list_views(project)["Facts"], until=NOW)
                app = assemble(project, workspace, ())
                app.refresh()
                row = {"ts": "2026-01-01T12:00:00Z", "whole": 2}
                assert call(app, "POST", "/push/facts", {"rows": [{"uid": 1, **row}]})[0] == 200
                server.kill()
                assert call(app, "POST", "/push/facts", {"rows": [{"uid": 2, **row}]})[0] == 503
                server.start()
                assert call(app, "POST", "/push/facts", {"rows": [{"uid": 3, **row}]})[0] == 200
                _, answer = call(app, "POST", "/features/facts_only", {"rows": [{"uid": 1}, {"uid": 2}, {"uid": 3}]})
                assert answer["values"] == [[2], [2], [2]]
                app.answerer.close()
        finally:
            server.kill()
