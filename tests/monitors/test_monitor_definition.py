"""What a project says about a monitor."""

from __future__ import annotations

import pytest

from tidewheel.clock import DAY, HOUR, Micros
from tidewheel.errors import Invalid
from tidewheel.ledger.definition import collecting
from tidewheel.monitors import FalseAlarms, monitor
from tidewheel.predictions import labels
from tidewheel.serving.definition import deployment
from tidewheel.sources.definition import source

TRIPS = source("trips", "data/*.parquet", time="dropoff_time")


def test_a_monitor_is_downstream_of_its_deployment_and_of_its_source_of_labels() -> None:
    with collecting() as declared:
        api = deployment("eta", model="eta")
        watch = monitor(api, labels=labels(TRIPS, value="minutes", by=["zone"], time="pickup_time", delay="6h"))
    assert [one.id for one in declared] == ["deployment:eta", "monitor:eta"]
    assert declared[1].upstream == ("deployment:eta", "source:trips")
    assert declared[1].where.startswith(__file__)
    assert watch.delay == 6 * HOUR


def test_where_alerts_go_and_what_they_start_never_changes_the_recipe() -> None:
    with collecting() as declared:
        monitor("eta")
        monitor("eta", on_breach="retrain", webhook="https://example.org/hook", owner="ada", description="x", tags=("y",))
        monitor("eta", window="1d")
    assert declared[0].parameters == declared[1].parameters != declared[2].parameters


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"metrics": ["mea"]}, "unknown metric"),
        ({"webhook": "ftp://x"}, "not a URL"),
        ({"false_alarms": "often"}, "not a rate"),
        ({"false_alarms": "0/7d"}, "no alarm at all"),
        ({"window": "0s"}, "cannot be watched"),
        ({"window": "week"}, "not a duration"),
        ({"min_rows": 3}, "too few"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_a_fix(wrong: dict[str, object], told: str) -> None:
    with pytest.raises(Invalid, match=told) as caught:
        monitor("eta", **wrong)  # type: ignore[arg-type]  # wrong on purpose
    assert caught.value.fix


def test_a_rate_of_false_alarms_is_a_chance_per_window() -> None:
    assert FalseAlarms.parse("2/100d").per_window(Micros(5 * DAY)) == pytest.approx(0.1)
    assert FalseAlarms.parse("9/1d").per_window(Micros(5 * DAY)) == 0.2
    assert str(FalseAlarms.parse("1/365d")) == "1/365d"
