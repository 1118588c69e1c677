"""An answer is written in the same bytes, whether its values share status and event time or each is written by itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import msgspec
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidewheel.clock import Micros
from tidewheel.features.online_view import Shared, Status
from tidewheel.serving.feature_response import write_features

T = TypeVar("T")


@dataclass
class Values:
    """An answer of features that was made by hand."""

    values: list[list[object]]
    told: Sequence[Shared]
    shared: Sequence[Shared] | None = None
    transform_errors: Mapping[str, int] = field(default_factory=dict)

    @property
    def statuses(self) -> list[list[Status]]:
        rows = range(len(self.values))
        return [[one.statuses[row] or Status.PRESENT for one in self.told for _ in range(one.width)] for row in rows]

    def columns(self) -> Mapping[int, pa.Array]:
        return {}

    @property
    def event_times(self) -> list[list[int | None]]:
        rows = range(len(self.values))
        return [[one.event_times[row] for one in self.told for _ in range(one.width)] for row in rows]


SOME = (
    st.none() | st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(1 << 63), (1 << 63) - 1) | st.text(max_size=4)
)
TIMES = st.none() | st.integers(-(10**15), 4 * 10**15) | st.sampled_from([0, 1_000_000])


@pytest.mark.parametrize("columnar", [False, True])
@given(data=st.data(), widths=st.lists(st.integers(1, 3), min_size=1, max_size=3), count=st.integers(1, 4))
def test_shared_statuses_and_times_are_written_as_each_by_itself(
    columnar: bool, data: st.DataObject, widths: list[int], count: int
) -> None:
    def rows(one: st.SearchStrategy[T]) -> list[T]:
        return data.draw(st.lists(one, min_size=count, max_size=count))

    told = [Shared(width, [*rows(st.sampled_from(Status))], rows(TIMES)) for width in widths]
    width = sum(widths)
    values: list[list[object]] = [[*row] for row in rows(st.lists(SOME, min_size=width, max_size=width))]
    names = [f'"{number}ü' for number in range(width)]
    include = data.draw(st.lists(st.sampled_from(["statuses", "event_times"]), unique=True))
    at = [Micros(one) for one in rows(st.sampled_from([5, 10**15]))]
    quick, slow = (
        write_features("s\n", names, answer=Values(values, told, shared), at=at, include=include, columnar=columnar)
        for shared in (told, None)
    )
    assert quick == slow
    assert msgspec.json.decode(quick)["service"] == "s\n"


def test_a_row_whose_values_differ_in_status_is_written_value_by_value() -> None:
    told = [Shared(2, [None], [None])]
    answer = Values([[1, None]], told, told)
    written = write_features("s", ["a", "b"], answer=answer, at=[Micros(0)], include=["statuses"], columnar=False)
    assert msgspec.json.decode(written)["statuses"] == [["PRESENT", "PRESENT"]]
