"""How late rows are is measured, and said where a source declares less."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from tidewheel.clock import MINUTE
from tidewheel.datasets.build import join
from tidewheel.datasets.report import delay_text
from tidewheel.features.definition import entity, features, lookup, service
from tidewheel.features.delays import Delays
from tidewheel.sources import source
from tidewheel.sources.read import Sources

NEW_YEAR = 1_767_225_600_000_000


@pytest.mark.parametrize("seed", range(5))
def test_quantiles_are_never_below_numpys_and_hardly_above(seed: int) -> None:
    draw = np.random.default_rng(seed)
    delays = np.floor(draw.lognormal(15, 4, 5_000)).astype(np.int64)
    one, other = Delays(), Delays()
    one.add(delays[:1_000])
    other.add(delays[1_000:])
    one.merge(other.counts())
    for share in (0.01, 0.5, 0.9, 0.99, 1.0):
        exact = int(np.quantile(delays, share, method="inverted_cdf"))
        assert exact <= one.quantile(share) <= exact * (1 + 2**-12)
        assert one.quantile(share) in delays
        assert exact > 8_192 or one.quantile(share) == exact


@pytest.mark.parametrize(
    ("declared", "leaks"), [({}, True), ({"after": "5m"}, True), ({"after": "2h"}, False), ({"available": "made"}, False)]
)
def test_a_source_that_says_too_early_is_told_with_the_number(sources: Sources, declared: dict[str, str], leaks: bool) -> None:
    ts = NEW_YEAR + np.arange(100) * MINUTE
    made = ts + np.where(np.arange(100) < 90, 10, 60) * MINUTE  # 10 minutes late, one in ten an hour
    at = pa.timestamp("us", "UTC")
    table = pa.table({"uid": [1] * 100, "ts": pa.array(ts, at), "made": pa.array(made, at), "x": np.arange(100.0)})
    facts = source("facts", table, time="ts", created="made", **declared)  # type: ignore[arg-type]

    @features(facts, by=entity("user", uid=int))
    class Facts:
        x = lookup("x")

    spine = pa.table({"uid": [1], "t": pa.array([NEW_YEAR + 200 * MINUTE], at)})
    _, report = join(spine, service("facts_inputs", Facts), time="t", sources=sources)
    half, most = report.views[0].delays or (0, 0)
    assert (half, most) == (10 * MINUTE, 60 * MINUTE)
    assert (delay_text(half), delay_text(most)) == ("10m", "1h")
    told = [f"half of them were there after {delay_text(half)}, and 99 % after {delay_text(most)}"] * leaks
    assert len(report.leaks) == len(told)
    assert all(
        leak.startswith("PossibleLeak: source facts") and text in leak for leak, text in zip(report.leaks, told, strict=True)
    )
