"""Search and show after an apply: without the project's code, and with what is expected of the rows."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from tidewheel.errors import ExpectationFailed
from tidewheel.ledger.catalog import Wanted
from tidewheel.project.apply import apply_plan
from tidewheel.project.load import load_project
from tidewheel.project.open import open_workspace
from tidewheel.project.search import search_catalog
from tidewheel.project.show import describe_node
from tidewheel.project.survey import make_plan

DEFINITIONS = """
import tidewheel as tw

shop = tw.entity("shop", shop_id=int)
sales = tw.source(
    "sales", "sales.csv", time="at", owner="Ann", tags=["retail"],
    expect=[tw.expect("amount", between=(0, None), otherwise="quarantine"), tw.expect("shop_id", null=False){more}],
)

@tw.features(sales, by=shop, description="What a shop sells")
class Sold:
    total = tw.sum("amount", "1d")

inputs = tw.service("inputs", Sold)
"""


def write(root: Path, more: str = "") -> None:
    (root / "tidewheel.toml").write_text('project = "made"\n[workspace.local]\nonline = "memory"\n')
    (root / "made").mkdir(exist_ok=True)
    (root / "made" / "__init__.py").touch()
    (root / "made" / "definitions.py").write_text(DEFINITIONS.replace("{more}", more))
    with (root / "sales.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["at", "shop_id", "amount"])
        rows.writerows([[f"2026-01-01 0{hour}:00:00", 7, amount] for hour, amount in enumerate([1.5, -9.0, 2.5])])


def test_what_was_applied_is_found_without_its_code_and_shown_with_its_rows(tmp_path: Path) -> None:
    write(tmp_path)
    with open_workspace(tmp_path) as workspace:
        assert [hit.entry.node for hit in search_catalog(workspace, "dev", Wanted("sold"))] == ["view:Sold"]
        project = load_project(tmp_path)
        apply_plan(project, workspace, make_plan(project, workspace, "dev"))
        shown = describe_node(project, workspace, "Sold").to_json()
        assert "1 of 3 fail" in str(shown["expectations"])
        assert "in quarantine" in str(shown["expectations"])
        assert "2 values, 0 null; mean 2" in str(shown["statistics"])
    (tmp_path / "made" / "definitions.py").write_text("raise SystemExit('this must not run')\n")
    with open_workspace(tmp_path) as workspace:
        (hit,) = search_catalog(workspace, "dev", Wanted(column="amount", kind="source"))
        assert (hit.entry.owner, hit.entry.tags, dict(hit.entry.columns)["amount"]) == ("Ann", ("retail",), "float64")
        assert hit.downstream == ("view:Sold", "service:inputs")
        assert [one.entry.node for one in search_catalog(workspace, "dev", Wanted("shop sells"))] == ["view:Sold"]


def test_a_rule_that_stops_stops_an_apply_also_when_it_is_new(tmp_path: Path) -> None:
    write(tmp_path)
    with open_workspace(tmp_path) as workspace:
        project = load_project(tmp_path)
        apply_plan(project, workspace, make_plan(project, workspace, "dev"))
        write(tmp_path, more=', tw.expect("amount", between=(2, None))')
        project = load_project(tmp_path)
        with pytest.raises(ExpectationFailed, match=r"1 of 2 rows .*amount is at least 2.*amount=1\.5, in sales\.csv"):
            apply_plan(project, workspace, make_plan(project, workspace, "dev"))
