"""tidewheel.toml."""

from __future__ import annotations

from pathlib import Path

import pytest

from tidewheel.errors import Invalid, NotFound
from tidewheel.project.configuration import parse_configuration
from tidewheel.project.load import find_root, read_configuration


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
        ({"project": "x", "workspace": {"team": 1}}, "tidewheel.toml [workspace.team]"),
        ({"project": "x", "push": {"future_allowance": 5}}, "tidewheel.toml push.future_allowance"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(tree: dict[str, object], place: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_configuration(tree)
    assert caught.value.where == place


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
