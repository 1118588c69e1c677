"""A worker, as a user starts it: a schedule fires, files change under it, it is stopped."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.journeys.acting import Project

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
