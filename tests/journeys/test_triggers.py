"""A worker, as a user starts it: a schedule fires, files change under it, it is stopped."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.journeys.acting import Project, Server, serve

pytestmark = pytest.mark.slow

DEFINITIONS = """
import tidewheel as tw

shop = tw.entity("shop", shop_id=int)
orders = tw.source("orders", "data/*.csv", time="paid_time")

@tw.features(orders, by=shop)
class ShopLately:
    orders_1d = tw.count("1d")

tw.trigger(ShopLately, on=tw.schedule("*/2 * * * * *"), name="often")
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    (tmp_path / "data").mkdir()
    (tmp_path / "tidewheel.toml").write_text('project = "often_shop"\n')
    (tmp_path / "often_shop.py").write_text(DEFINITIONS)
    (tmp_path / "data" / "1.csv").write_text("shop_id,paid_time\n1,2026-01-01T10:00:00Z\n")
    return Project(tmp_path)


@pytest.fixture
def worker(project: Project) -> Iterator[subprocess.Popen[str]]:
    started = project.start("work", "--json", "--poll", "100ms", "--lease", "2s")
    yield started
    started.kill()
    started.communicate()


def hear(worker: subprocess.Popen[str], trigger: str) -> dict[str, object]:
    """The next task of a trigger that the worker tells of."""
    assert worker.stdout is not None
    for line in worker.stdout:
        told: dict[str, object] = json.loads(line)
        if told["trigger"] == trigger:
            return told
    raise AssertionError(f"the worker ended: {worker.stderr.read() if worker.stderr else ''}")


def test_a_worker_runs_what_is_due_loads_files_that_change_and_stops_when_told(
    project: Project, worker: subprocess.Popen[str]
) -> None:
    first = hear(worker, "often")
    assert (first["state"], first["target"]) == ("done", "view:ShopLately")
    assert hear(worker, "often")["due"] != first["due"]

    project.edit("often_shop.py", 'tw.schedule("*/2 * * * * *"), name="often"', 'tw.schedule("0 6 * * *"), name="nightly"')
    (listed,) = project.json("schedules")
    assert (listed["trigger"], listed["runs"], listed["next"][11:]) == ("nightly", "view:ShopLately", "06:00:00Z")
    asked = project.json("trigger", "nightly", "--reason", "I cannot wait")
    ran = hear(worker, "nightly")
    assert (ran["id"], ran["state"], ran["reason"], ran["actor"]) == (asked["id"], "done", "I cannot wait", "tester")

    worker.send_signal(signal.SIGTERM)
    assert worker.wait(30) == 0
    assert project.json("schedules")[0]["last"]["id"] == asked["id"]


def test_a_server_starts_triggers_for_who_knows_the_secret_and_works_beside(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.edit("often_shop.py", 'on=tw.schedule("*/2 * * * * *"), name="often"', 'name="asked"')
    project.edit("often_shop.py", "tw.trigger(", 'tw.service("lately", ShopLately)\ntw.trigger(')
    monkeypatch.setenv("TIDEWHEEL_TRIGGER_TOKEN", "open sesame")
    project.run("apply", "--yes")
    server = serve(project, "--work")
    try:
        for secret, code in (("", 403), ("wrong", 403)):
            with pytest.raises(urllib.error.HTTPError, match=str(code)):
                post(server, "asked", secret)
        with pytest.raises(urllib.error.HTTPError, match="404"):
            post(server, "nobody", "open sesame")
        task = post(server, "asked", "open sesame", {"reason": "a hook"})
        assert (task["state"], task["actor"], task["reason"]) == ("waiting", "http", "a hook")
        while (last := project.json("schedules")[0]["last"])["state"] in ("waiting", "running"):
            time.sleep(0.2)
        assert (last["id"], last["state"]) == (task["id"], "done")
    finally:
        assert server.stop() == 0
    worker = int(last["worker"].split(":")[1])
    with pytest.raises(ProcessLookupError):
        os.kill(worker, 0)


def post(server: Server, trigger: str, secret: str, body: dict[str, str] | None = None) -> dict[str, object]:
    data = json.dumps(body).encode() if body else b""
    headers = {"Authorization": f"Bearer {secret}"} if secret else {}
    request = urllib.request.Request(f"{server.url}/api/triggers/{trigger}", data=data, headers=headers, method="POST")
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert answer.status == 202
        told: dict[str, object] = json.loads(answer.read())
        return told
