"""Loading definitions."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tidewheel.clock import DAY
from tidewheel.errors import AlreadyExists, Invalid, NotFound
from tidewheel.features.definition import view_of
from tidewheel.ledger.definition import NodeId
from tidewheel.project.load import isolated, load_project

DEFINITIONS = """
import tidewheel as tw
from {package}.numbers import DAYS

shop = tw.entity("shop", shop_id=int)
orders = tw.source("orders", "data/*.csv", time="paid_time")


@tw.features(orders, by=shop)
class Lately:
    orders_n = tw.count(f"{{DAYS}}d")
"""


def project(root: Path, package: str, days: int = 1) -> Path:
    (root / package).mkdir(parents=True)
    (root / "tidewheel.toml").write_text(f'project = "{package}"')
    (root / package / "__init__.py").touch()
    (root / package / "numbers.py").write_text(f"DAYS = {days}\n")
    (root / package / "definitions.py").write_text(DEFINITIONS.format(package=package))
    return root


def test_definitions_are_collected_with_places_relative_to_the_project(tmp_path: Path) -> None:
    found = load_project(project(tmp_path, "load_one"))
    assert {node: d.where for node, d in found.graph.nodes.items()} == {
        "source:orders": "load_one/definitions.py:6",
        "view:Lately": "load_one/definitions.py:9",
    }


def test_loading_again_sees_the_files_as_they_are_now(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)  # an edit of one digit within a second
    root = project(tmp_path, "load_two")
    before = load_project(root).graph.nodes
    (root / "load_two" / "numbers.py").write_text("DAYS = 7\n")
    after = load_project(root).graph.nodes
    assert before[NodeId("view:Lately")].parameters != after[NodeId("view:Lately")].parameters


def test_a_second_copy_loads_beside_the_first_without_touching_it(tmp_path: Path) -> None:
    root = project(tmp_path / "now", "load_three")
    load_project(root)
    mine = sys.modules["load_three.numbers"]
    old = project(tmp_path / "old", "load_three", days=3)
    with isolated(old):
        pinned = load_project(old)
    (feature,) = view_of(pinned.graph.nodes[NodeId("view:Lately")].definition).features  # type: ignore[arg-type]
    assert feature.window == 3 * DAY
    assert sys.modules["load_three.numbers"] is mine


def test_a_file_that_does_not_import_is_told_with_file_and_line(tmp_path: Path) -> None:
    root = project(tmp_path, "load_four")
    (root / "load_four" / "numbers.py").write_text("\nDAYS = 1 / 0\n")
    with pytest.raises(Invalid, match="ZeroDivisionError") as caught:
        load_project(root)
    assert caught.value.where == "load_four/numbers.py:2"
    (root / "load_four" / "numbers.py").write_text("DAYS = (\n")
    with pytest.raises(Invalid, match="SyntaxError"):
        load_project(root)


@pytest.mark.parametrize("text", ["raise SystemExit(3)\n", "import sys\nsys.exit()\n"])
def test_a_file_that_ends_the_process_is_told_too(tmp_path: Path, text: str) -> None:
    root = project(tmp_path, "load_ender")
    (root / "load_ender" / "definitions.py").write_text(text)
    with pytest.raises(Invalid, match=r"load_ender\.definitions does not import: SystemExit"):
        load_project(root)


def test_a_configuration_that_is_no_text_is_told(tmp_path: Path) -> None:
    (tmp_path / "tidewheel.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(Invalid, match="is not TOML"):
        load_project(tmp_path)


def test_one_name_twice_is_refused_with_both_places(tmp_path: Path) -> None:
    root = project(tmp_path, "load_five")
    again = 'import tidewheel as tw\n\norders = tw.source("orders", "other/*.csv", time="paid_time")\n'
    (root / "load_five" / "more.py").write_text(again)
    with pytest.raises(AlreadyExists, match="source:orders is declared twice"):
        load_project(root)


def test_a_project_without_definitions_says_where_they_would_be(tmp_path: Path) -> None:
    (tmp_path / "tidewheel.toml").write_text('project = "nothing_here"')
    with pytest.raises(NotFound, match="no definitions"):
        load_project(tmp_path)


def test_single_files_that_import_tidewheel_are_found_without_being_named(tmp_path: Path) -> None:
    (tmp_path / "tidewheel.toml").write_text('project = "load_flat"')
    (tmp_path / "flat_defs.py").write_text('import tidewheel as tw\n\nx = tw.source("x", "x.csv", time="t")\n')
    (tmp_path / "script.py").write_text("raise SystemExit('a script must not run')\n")
    assert list(load_project(tmp_path).graph.nodes) == ["source:x"]
