"""Garbage collection of a workspace: what is reached stays, whatever happens; what is not goes in two phases."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import obstore
import pytest
from click.testing import CliRunner
from tests.servers import S3, new_bucket, server_url

from tidewheel.cli import cli
from tidewheel.clock import DAY, HOUR, Micros, system_clock
from tidewheel.digest import Digest
from tidewheel.errors import Invalid
from tidewheel.fingerprint.recipe import Component, Recipe
from tidewheel.ledger.definition import node_id
from tidewheel.ledger.record import Build
from tidewheel.project.collect import collect_garbage
from tidewheel.project.open import Workspace, open_workspace

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent


class Later:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.ahead = 0

    def __call__(self) -> Micros:
        return Micros(system_clock() + self.ahead)


@pytest.fixture
def clock() -> Later:
    return Later()


@pytest.fixture(params=["embedded", "servers"])
def workspace(
    request: pytest.FixtureRequest, tmp_path: Path, clock: Later, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Workspace]:
    """SQLite and a folder; or PostgreSQL, and a bucket on what plays S3."""
    root = tmp_path / "project"
    root.mkdir()
    text = 'project = "shop"\n'
    if request.param == "servers":
        settings = {"ENDPOINT": server_url(S3), "ALLOW_HTTP": "true", "REGION": "us-east-1"}
        for name, value in (settings | {"ACCESS_KEY_ID": "me", "SECRET_ACCESS_KEY": "mine"}).items():
            monkeypatch.setenv(f"AWS_{name}", value)
        database = request.getfixturevalue("postgres_url")
        text += f'[workspace.team]\ndatabase = "{database}"\nartifacts = "s3://{new_bucket()}/artifacts"\n'
        monkeypatch.setenv("TIDEWHEEL_WORKSPACE", "team")
    (root / "tidewheel.toml").write_text(text)
    with open_workspace(root, clock=clock, actor="tester") as opened:
        yield opened


def build(workspace: Workspace, name: str, *, data: bytes, age: int = 100 * DAY) -> tuple[Recipe, Digest]:
    recipe = Recipe("step", {"param:name": Component(name)})
    blob = workspace.artifacts.put(data)
    ended = Micros(workspace.clock() - age)
    output = json.dumps({"parts": [blob]}).encode()
    done = Build(recipe.digest, node_id("step", name), blob, output, (), ended, ended, "ann", f"id-{name}-{age}")
    workspace.ledger.record_build(done, recipe)
    return recipe, blob


def fill(workspace: Workspace) -> tuple[set[Digest], set[Digest]]:
    """Blobs that are reached, and blobs that are not."""
    pointed, kept = build(workspace, "pointed", data=b"pointed")
    workspace.ledger.move("prod", {node_id("step", "x"): pointed.digest}, expected=0, actor="ann", reason="")
    _, young = build(workspace, "young", data=b"young", age=DAY)
    lost = {build(workspace, f"lost{one}", data=bytes([one]) * 1_000)[1] for one in range(3)}
    lost.add(workspace.artifacts.put(b"stored by a process that was killed before it recorded a build"))
    with workspace.runs.start("r", experiment="e", actor="ann") as run:
        logged = run.artifact("plot.png", b"of a run")
    environment = Digest(workspace.runs.get(run.id).environment)
    return {kept, young, logged, environment}, lost


def held(workspace: Workspace) -> set[Digest]:
    return {blob.digest for blob in workspace.artifacts.list()}


def test_what_nothing_points_at_goes_in_two_phases(workspace: Workspace, clock: Later) -> None:
    kept, lost = fill(workspace)
    clock.ahead = 2 * DAY
    looked = collect_garbage(workspace, dry_run=True)
    assert (len(looked.builds), looked.artifacts, looked.removed) == (3, 4, 0)
    assert sorted(one.size_bytes for one in looked.builds) == [1_000] * 3
    assert collect_garbage(workspace, dry_run=True) == looked  # it changed nothing

    marked = collect_garbage(workspace)
    assert (len(marked.builds), marked.removed, marked.waiting) == (3, 0, 4)
    assert held(workspace) == kept | lost
    clock.ahead += DAY + HOUR
    assert collect_garbage(workspace, dry_run=True).removed == 4
    assert held(workspace) == kept | lost
    done = collect_garbage(workspace)
    assert (len(done.builds), done.removed, done.removed_bytes) == (0, 4, looked.size_bytes)
    assert held(workspace) == kept
    assert collect_garbage(workspace).artifacts == 0


def test_what_recipes_showed_is_forgotten_with_them(workspace: Workspace, clock: Later) -> None:
    pointed, _ = build(workspace, "pointed", data=b"pointed")
    gone, _ = build(workspace, "gone", data=b"gone")
    workspace.ledger.move("prod", {node_id("step", "x"): pointed.digest}, expected=0, actor="ann", reason="")
    keys = [f"face-2:{recipe.digest}" for recipe in (pointed, gone)]
    workspace.ledger.memory.remember(dict.fromkeys(keys, b"{}"))
    collect_garbage(workspace)
    assert len(workspace.ledger.memory.recall(keys)) == 2  # the other may be planned with once more
    clock.ahead = 40 * DAY
    collect_garbage(workspace)
    assert list(workspace.ledger.memory.recall(keys)) == keys[:1]


def test_what_is_built_again_within_the_grace_period_stays(workspace: Workspace, clock: Later) -> None:
    kept, lost = fill(workspace)
    clock.ahead = 2 * DAY
    collect_garbage(workspace)
    recipe, again = build(workspace, "lost0", data=b"\0" * 1_000, age=0)
    assert again in lost
    clock.ahead += DAY + HOUR
    collect_garbage(workspace)
    assert held(workspace) == kept | {again}
    assert workspace.ledger.find_build(recipe.digest) is not None


def test_nothing_goes_that_a_run_at_work_may_still_hold(workspace: Workspace, clock: Later) -> None:
    kept, lost = fill(workspace)
    run = workspace.runs.start("long", experiment="e", actor="ann")
    clock.ahead = 2 * DAY
    collect_garbage(workspace)
    clock.ahead += 2 * DAY
    assert collect_garbage(workspace).removed == 0
    run.finish()
    assert collect_garbage(workspace).removed == len(lost)
    assert held(workspace) == kept


def test_a_grace_period_that_would_lose_what_is_being_built_is_refused(workspace: Workspace) -> None:
    with pytest.raises(Invalid, match="grace period of 1m"):
        collect_garbage(workspace, grace=Micros(60_000_000))


def test_the_command_tells_what_goes_and_what_waits(workspace: Workspace) -> None:
    fill(workspace)
    command = ["admin", "gc", "--dry-run", "--project", str(workspace.root)]
    told = CliRunner().invoke(cli, [*command, "--json"])
    found = json.loads(told.stdout)
    assert len(found["builds"]) == 3
    assert found["removed"] == 0  # all was stored just now
    assert "3 builds that nothing points at would be retired" in CliRunner().invoke(cli, command).stdout


def spend_a_minute(workspace: Workspace) -> None:
    """After which the mark of a collection that was killed counts no more."""
    for mark in workspace.home.glob("artifacts/collecting/*"):
        os.utime(mark, (0, 0))
    if workspace.artifacts.url.startswith("s3:"):
        bucket = obstore.store.from_url(workspace.artifacts.url)
        for one in [one for batch in obstore.list(bucket, "collecting") for one in batch]:
            obstore.delete(bucket, one["path"])


def test_a_collection_killed_anywhere_loses_nothing_and_the_next_one_finishes(workspace: Workspace, clock: Later) -> None:
    kept, lost = fill(workspace)
    clock.ahead = 2 * DAY
    point, complete, left = 10, False, set()
    while not complete:
        lost |= {build(workspace, f"lost{point}", data=bytes([point, one]) * 500, age=99 * DAY + one)[1] for one in range(3)}
        collect_garbage(workspace)
        assert held(workspace) == kept | lost
        clock.ahead += DAY + HOUR
        child = subprocess.run(
            [sys.executable, str(HERE / "killed_collection.py"), str(workspace.root), str(clock()), str(point)],
            capture_output=True,
            text=True,
            check=False,
        )
        complete = child.stdout.startswith("complete")
        assert complete or child.returncode == -9, child.stderr
        left.add(len(lost) - len(held(workspace) & lost))
        assert kept <= held(workspace)
        assert all(workspace.artifacts.get(one) for one in kept)
        spend_a_minute(workspace)
        collect_garbage(workspace)
        assert held(workspace) == kept
        lost = set()
        point += 60
    assert len(left) > 2  # it was killed before, between and after removals


def test_who_records_a_build_meanwhile_finds_what_it_was_built_from(workspace: Workspace, clock: Later) -> None:
    old = [build(workspace, f"old{one}", data=b"%d" % one)[0] for one in range(40)]
    used, gone, ended = list[Recipe](), list[Recipe](), Micros(workspace.clock())

    def write() -> None:
        with open_workspace(workspace.root, clock=clock, actor="another") as own:
            for number, recipe in enumerate(old):
                with own.database.write():
                    found = own.ledger.find_build(recipe.digest)
                    (gone if found is None else used).append(recipe)
                    if found is None:
                        continue
                    made = Recipe("step", {"upstream:step:old": Component(found.content), "param:n": Component(str(number))})
                    id = f"id-new{number}"
                    done = Build(made.digest, node_id("step", "new"), found.content, b"{}", (), ended, ended, "ann", id)
                    own.ledger.record_build(done, made)

    writer = threading.Thread(target=write)
    writer.start()
    while not used and writer.is_alive():
        threading.Event().wait(0.001)
    collect_garbage(workspace)
    writer.join()
    assert len(used) + len(gone) == len(old)
    assert all(workspace.ledger.find_build(recipe.digest) is not None for recipe in used)
    assert all(workspace.ledger.find_build(recipe.digest) is None for recipe in gone)
