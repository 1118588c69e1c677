"""Transforms as Spark's SQL: hard rows are Python's to the bit."""

from __future__ import annotations

from shutil import which

import pytest
from tests.features.sql_functions import GROUPS, hard_rows, holds_on

from tidewheel.backends.spark.query_engine import Spark

pytestmark = [pytest.mark.slow, pytest.mark.skipif(which("java") is None, reason="Spark needs Java")]


@pytest.mark.parametrize("name", GROUPS)
def test_hard_rows_are_pythons_to_the_bit(name: str, spark: Spark) -> None:
    group = GROUPS[name]
    sure = holds_on(spark, group, hard_rows(group[0].inputs, 600))
    assert min(sure) > 100, "the query itself answers"
