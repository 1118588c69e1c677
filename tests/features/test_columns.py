"""Columns that views read: which there are, and what is told of those that cannot be read."""

from __future__ import annotations

import pyarrow as pa
import pytest
from tests.features.ask import ask, memory, view

from tidewheel.errors import TypeMismatch
from tidewheel.features.definition import entity, lookup
from tidewheel.sources.definition import source

UID = entity("user", uid=int)
SPINE = pa.table({"uid": [1], "t": [10]})


@pytest.mark.parametrize(
    ("column", "told"),
    [
        (pa.array([{"a": 1}]), r"'y', which is struct<a: int64> in source f"),
        (pa.array([2**64 - 1], pa.uint64()), "'y', which is uint64 in source f"),
        (pa.nulls(1), "'y', which has no value in it, so no type"),
    ],
)
def test_a_column_that_no_type_holds_is_told_from_one_that_is_missing(column: pa.Array, told: str) -> None:
    found = pa.table({"uid": [1], "ts": [0], "y": column})
    with pytest.raises(TypeMismatch, match=told):
        ask([view({"fy": lookup("y")}, memory("f", found), UID)], SPINE)


def test_a_frame_with_a_column_of_several_types_is_refused_by_name() -> None:
    import pandas as pd

    mixed = pd.DataFrame({"uid": [1, 2], "ts": [0, 0], "y": [1, "a"]})
    with pytest.raises(TypeMismatch, match=r"source f: .*column y"):
        ask([view({"fy": lookup("y")}, source("f", mixed, time="ts"), UID)], SPINE)
