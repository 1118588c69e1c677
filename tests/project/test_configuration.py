"""tidewheel.toml."""

from __future__ import annotations

from pathlib import Path

import pytest

from tidewheel.errors import Invalid, NotFound
from tidewheel.project.configuration import parse_configuration
from tidewheel.project.cost import Rates
from tidewheel.project.load import find_root, read_configuration
from tidewheel.project.measure_memory import measure_memory
from tidewheel.project.open import open_workspace


def test_a_project_needs_only_its_name() -> None:
    found = parse_configuration({"project": "taxi"})
    assert (found.project, found.environment, found.workspace("local").online) == ("taxi", "dev", "lmdb")


@pytest.mark.parametrize(
    ("tree", "place"),
    [
        ({}, "tidewheel.toml"),
        ({"project": 3}, "tidewheel.toml project"),
        ({"project": "x", "enviroment": "dev"}, "tidewheel.toml enviroment"),
        ({"project": "x", "definitions": "taxi"}, "tidewheel.toml definitions"),
        ({"project": "x", "workspace": {"team": {"onlin": "redis"}}}, "tidewheel.toml workspace.team.onlin"),
        ({"project": "x", "workspace": {"team": {"allow_pickle": "yes"}}}, "tidewheel.toml workspace.team.allow_pickle"),
        ({"project": "x", "workspace": {"team": {"memory_limit": "much"}}}, "tidewheel.toml workspace.team.memory_limit"),
        ({"project": "x", "workspace": {"team": {"memory_limit": "0GB"}}}, "tidewheel.toml workspace.team.memory_limit"),
        ({"project": "x", "workspace": {"team": {"memory_limit": 4}}}, "tidewheel.toml workspace.team.memory_limit"),
        ({"project": "x", "workspace": {"team": 1}}, "tidewheel.toml [workspace.team]"),
        ({"project": "x", "push": {"future_allowance": 5}}, "tidewheel.toml push.future_allowance"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(tree: dict[str, object], place: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_configuration(tree)
    assert caught.value.where == place


def test_a_limit_of_memory_is_of_its_workspace_and_half_of_it_is_the_engines(tmp_path: Path) -> None:
    (tmp_path / "tidewheel.toml").write_text('project = "x"\n[workspace.local]\nmemory_limit = "3GB"\n')
    with open_workspace(tmp_path, "local") as workspace:
        assert workspace.memory_limit == 3_000_000_000
        told = workspace.engine.stream("SELECT current_setting('memory_limit') AS held", {}).read_all()
        assert told["held"].to_pylist() == ["1.3 GiB"]


def test_memory_is_that_of_the_container_where_it_is_less(tmp_path: Path) -> None:
    machine = measure_memory(tmp_path)
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text("0::/a/b\n")
    group = tmp_path / "sys/fs/cgroup/a"
    (group / "b").mkdir(parents=True)
    (group / "b/memory.max").write_text("max\n")
    assert measure_memory(tmp_path) == machine
    (group / "memory.max").write_text("1000000\n")
    assert measure_memory(tmp_path) == 1_000_000


def test_memory_is_that_of_an_old_control_group(tmp_path: Path) -> None:
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text("3:cpu:/c\n2:pids,memory:/c\n")
    group = tmp_path / "sys/fs/cgroup/memory/c"
    group.mkdir(parents=True)
    (group / "memory.limit_in_bytes").write_text("2000000\n")
    assert measure_memory(tmp_path) == 2_000_000


def test_an_unknown_workspace_is_not_found_with_a_near_miss() -> None:
    found = parse_configuration({"project": "x", "workspace": {"team": {}}})
    with pytest.raises(NotFound, match="did you mean team"):
        found.workspace("tean")


def test_toml_that_does_not_parse_is_told_with_the_file(tmp_path: Path) -> None:
    (tmp_path / "tidewheel.toml").write_text("project = ")
    with pytest.raises(Invalid, match="not TOML"):
        read_configuration(tmp_path)


def test_the_root_is_found_from_below(tmp_path: Path) -> None:
    (tmp_path / "tidewheel.toml").write_text('project = "x"')
    (tmp_path / "a" / "b").mkdir(parents=True)
    assert find_root(tmp_path / "a" / "b") == tmp_path


def test_rates_are_numbers_from_0_on() -> None:
    tree = {"project": "x", "cost": {"cpu_hour": 0.04, "machine_hour": 1, "currency": "EUR"}}
    assert parse_configuration(tree).rates == Rates(0.04, 1.0, "EUR")
    for wrong in ({"cpu_hour": -1}, {"cpu_hour": "0.04"}, {"machine_hour": True}, {"gpu_hour": 1}, {"currency": 3}):
        with pytest.raises(Invalid, match=next(iter(wrong))):
            parse_configuration({"project": "x", "cost": wrong})
    with pytest.raises(Invalid, match="not a table"):
        parse_configuration({"project": "x", "cost": 3})
