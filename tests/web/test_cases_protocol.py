"""Case table J of features.md over HTTP: the status, a stable code, the name of the thing, and how to mend it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
from tests.web.feature_world import shop
from tests.web.world import call

from tidewheel.web.application import Application

SOLD = {"label": "j", "ts": "2026-01-01T11:30:00Z", "amount": 5}


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Application]:
    with shop(tmp_path_factory.mktemp("shop")) as (made, _, _):
        yield made


def sold(app: Application) -> object:
    told = call(app, "POST", "/get-online-features", {"features": ["Sales:sold_1h"], "entities": {"label": ["j"]}})[1]
    return told["results"][1]["values"]  # type: ignore[index]


def test_j1_an_unknown_feature_is_404_with_the_nearest(app: Application) -> None:
    status, told = call(app, "POST", "/get-online-features", {"features": ["Sales:sold_1"], "entities": {"label": ["a"]}})
    assert (status, told["code"], told["fix"]) == (404, "UnknownFeature", "did you mean Sales:sold_1h?")
    assert "Sales:sold_1" in str(told["error"])


@pytest.mark.parametrize(
    ("row", "code", "field"),
    [
        ({"label": "j", "ts": SOLD["ts"]}, "MissingColumns", "rows[1].amount"),
        (SOLD | {"amount": "five"}, "TypeMismatch", "rows[1].amount"),
        ({"label": "j", "amount": 5}, "MissingColumns", "rows[1].ts"),
        (SOLD | {"ts": None}, "MissingTime", "rows[1].ts"),
        (SOLD | {"ts": "2026-01-02T00:00:00Z"}, "FutureEvent", "rows[1].ts"),
    ],
)
def test_j8_a_bad_row_in_a_push_is_422_with_its_row_and_column_and_nothing_is_written(
    app: Application, row: dict[str, object], code: str, field: str
) -> None:
    status, told = call(app, "POST", "/push/sales", {"rows": [SOLD, row]})
    assert (status, told["code"], told["field"]) == (422, code, field), told
    assert told["fix"]
    assert sold(app) == [0]


def test_j9_a_push_to_an_unknown_source_is_404_with_the_nearest(app: Application) -> None:
    status, told = call(app, "POST", "/push/sale", {"rows": [SOLD]})
    assert (status, told["code"], told["fix"]) == (404, "NotFound", "did you mean sales?")


def test_a_view_that_was_never_materialised_is_409_and_not_silent_nulls(app: Application) -> None:
    status, told = call(app, "POST", "/features/never", {"rows": [{"label": "a"}]})
    assert (status, told["code"]) == (409, "NotMaterialized")
    assert "Never" in str(told["error"])


ORDER = """
import tidewheel as tw
facts = tw.source("facts", "facts.parquet", time="ts")
class View: pass
for name in ("zeta", "alpha", "mid", "beta"): setattr(View, name, tw.lookup(name))
View = tw.features(facts, by=tw.entity("user", uid=int))(View)
print(*tw.service("s", tw.request(z=int, a=int), tw.use(View, prefix="q_"), View).names)
"""


def test_f10_the_order_of_features_does_not_depend_on_the_hash_seed() -> None:
    shown = {
        subprocess.run(
            [sys.executable, "-c", ORDER], env=os.environ | {"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout
        for seed in ("1", "77")
    }
    assert shown == {"z a q_zeta q_alpha q_mid q_beta zeta alpha mid beta\n"}
