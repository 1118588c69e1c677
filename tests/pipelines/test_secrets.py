"""A secret's value is in nothing that a run leaves behind, whoever prints it, raises it or looks for it."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import traceback
import uuid
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import make_url
from tests.pipelines.workspace import workspace

from tidewheel.artifacts.store import ArtifactStore
from tidewheel.backends.file.secret_store import FileSecretStore
from tidewheel.backends.local.executor import LocalExecutor
from tidewheel.clock import system_clock
from tidewheel.errors import Denied, NotFound, StepFailed
from tidewheel.pipelines.calls import CallLog
from tidewheel.pipelines.printing import Printing
from tidewheel.ports.executor import JobId, JobSpec
from tidewheel.runs.record import Runs

pytestmark = pytest.mark.slow

CANARY = f"canary{uuid.uuid4().hex}"

STEPS = """
import logging, subprocess, sys, threading

@tw.step(reads=[], secrets={"TOKEN": tw.secret("shop/token")})
def asks(x):
    token = os.environ["TOKEN"]
    threading.Thread(target=lambda: dict(os.environ)).start()
    print("token is", token)
    half = len(token) // 2
    sys.stdout.write(token[:half]); sys.stdout.flush()
    sys.stdout.write(token[half:] + "\\n")
    logging.getLogger("asks").warning("with %s", token)
    if IN_WORKER:
        subprocess.run(["sh", "-c", "echo child $TOKEN"], check=True)
    return len(token)

@tw.step(secrets={"TOKEN": tw.secret("shop/token")}, retries=1)
def fails(x):
    token = os.environ["TOKEN"]
    raise ValueError("401 for " + token)

@tw.step(secrets={"TOKEN": tw.secret("shop/token")})
def answers(x):
    return {"found": os.environ["TOKEN"]}

@tw.step(secrets={"TOKEN": tw.secret("shop/none")})
def lacks(x):
    return 1

@tw.step
def other(x):
    return os.environ.get("TOKEN")
"""


def holders(folder: Path, value: str) -> list[str]:
    """Files under a folder that hold a value."""
    return [str(file) for file in folder.rglob("*") if file.is_file() and value.encode() in file.read_bytes()]


class Overheard(LocalExecutor):
    """Workers, and what they were told."""

    def submit(self, job: JobSpec) -> JobId:
        told.append(job)
        return super().submit(job)


told: list[JobSpec] = []


@pytest.mark.parametrize("where", ["here", "workers"])
def test_a_canary_is_nowhere(tmp_path: Path, where: str, capfd: pytest.CaptureFixture[str]) -> None:
    mounted, root = tmp_path / "mounted", tmp_path / "project"
    (mounted / "shop").mkdir(parents=True)
    (mounted / "shop" / "token").write_text(CANARY + "\n")
    root.mkdir()
    (root / "tidewheel.toml").write_text('project = "shop"\n')
    told.clear()
    command = [sys.executable, "-m", "tidewheel", "exec", "--serve"]
    executor = Overheard(command, folder=root / "jobs", workers=1) if where == "workers" else None
    with workspace(root, f"IN_WORKER = {executor is not None}\n{STEPS}", executor=executor) as ws:
        ws.session.secrets = lambda: FileSecretStore(mounted)
        ws.session.secrets_url = f"file://{mounted}"
        runs = Runs(ws.database, ArtifactStore.open(f"file://{root / 'artifacts'}"), system_clock, logs=root / "logs")
        steps, shown = ws.steps(), list[str]()
        handler = logging.StreamHandler(sys.stderr)
        logging.root.addHandler(handler)
        failures = []
        with runs.start("r", experiment="e", environment_lock={}) as run:
            calls, printing = CallLog(ws.database, run.id, system_clock), Printing(runs.logs, run.id, show=shown.append)
            with ws.session.active(calls=calls, printing=printing) as reads:
                assert steps.asks(1) == len(CANARY)
                assert steps.other(1) is None, "the variable is taken back"
                for step in (steps.fails, steps.answers, steps.lacks):
                    with pytest.raises((StepFailed, Denied, NotFound)) as caught:
                        step(1)
                    failures.append(caught.value)
        logging.root.removeHandler(handler)
        log = "".join(each.text() for each in run.printed("asks"))
        assert log.startswith("token is ***\n***\nwith ***\n")
        assert log.count("***") == (4 if executor is not None else 3)
        assert "ValueError: 401 for ***" in "".join(each.text() for each in run.printed("fails", attempt=2))
        assert "401 for ***" in failures[0].what
        assert "secret TOKEN" in failures[1].what
        assert "shop/none" in failures[2].what
        everything = [str(failures), str(shown), str(ws.told), str(list(reads)), capfd.readouterr(), *map(str, told)]
        everything += [
            "".join(traceback.TracebackException.from_exception(each, capture_locals=True).format()) for each in failures
        ]
        assert CANARY not in str(everything)
        # Another value is the same recipe, another name is not; the recipe shows the name.
        (mounted / "shop" / "token").write_text("rotated")
        if executor is None:  # it has read all variables, and a worker's are not all the driver's
            with ws.session.active():
                assert steps.asks(1) == len(CANARY), "known"
        build = ws.session.ledger.list_builds(steps.asks.node)[0]
        recipe = ws.session.ledger.get_recipe(build.recipe)
        assert "shop/token" in str(recipe.components["secret:TOKEN"].note)
        assert not [name for name in recipe.components if name == "env:TOKEN"]
        assert not [read for read in build.trace if read.name == "TOKEN"]
    if executor is not None:
        executor.close()
    assert holders(root, CANARY) == []
    assert len(holders(root, "shop/token")) > 0, "the search finds what is there"


def test_the_databases_password_is_in_no_job_and_no_record(tmp_path: Path, postgres_url: str) -> None:
    url = make_url(postgres_url)
    if url.password:
        pytest.skip("the server asks for a password of its own")
    written = url.set(password="PASSWORD").render_as_string(hide_password=False).replace("PASSWORD", "${SHOP_PASSWORD}")
    (tmp_path / "tidewheel.toml").write_text(
        f'project = "shop"\n[workspace.local]\nexecutor = "local"\ndatabase = "{written}"\n'
    )
    (tmp_path / "shop.py").write_text(
        """
import subprocess
import tidewheel as tw

@tw.step(reads=[])
def tries(x: float) -> float:
    print(subprocess.run(["ps", "-eww", "-o", "args"], capture_output=True, text=True).stdout)
    return x

@tw.pipeline
def seek() -> float:
    found = tw.sweep(tries, {"x": tw.uniform(0.0, 1.0)}, minimize="loss", search=tw.search(2, parallel=2))
    return found.best.objective
"""
    )
    environment = os.environ | {"SHOP_PASSWORD": CANARY}
    captured = ""
    for arguments in (["run", "seek"], ["show", "last", "--json"], ["logs", "last"]):
        done = subprocess.run(
            [sys.executable, "-m", "tidewheel", *arguments],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        captured += done.stdout + done.stderr
    assert CANARY not in captured
    assert holders(tmp_path, CANARY) == []
    engine = sa.create_engine(url.set(drivername="postgresql+psycopg"))
    metadata = sa.MetaData()
    metadata.reflect(engine)
    with engine.connect() as connection:
        rows = [str(row) for table in metadata.sorted_tables for row in connection.execute(sa.select(table))]
    engine.dispose()
    assert len(rows) > 10
    assert CANARY not in "".join(rows)
