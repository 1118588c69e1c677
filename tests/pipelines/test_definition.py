"""What a user writes: steps, maps, grids, resources."""

from __future__ import annotations

import pytest

from tidewheel.errors import Invalid
from tidewheel.ledger.definition import collecting
from tidewheel.pipelines.definition import fixed, grid, resources, step
from tidewheel.pipelines.definition import map as tw_map


@step
def add(x: int, y: int = 10) -> int:
    """Add two numbers."""
    return x + y


def test_lists_are_zipped_and_other_values_go_to_every_call() -> None:
    assert tw_map(add, x=[1, 2], y=[3, 4]) == [4, 6]
    assert tw_map(add, x=(1, 2), y=3) == [4, 5]
    assert tw_map(add, x=[]) == []


def test_lists_of_unequal_length_are_refused() -> None:
    with pytest.raises(Invalid, match=r"x: 2, y: 3"):
        tw_map(add, x=[1, 2], y=[1, 2, 3])


def test_a_map_without_a_list_is_refused() -> None:
    with pytest.raises(Invalid, match="no list was given"):
        tw_map(add, x=1)


def test_a_grid_is_the_product() -> None:
    assert tw_map(add, **grid(x=[1, 2], y=[10, 20])) == [11, 21, 12, 22]


def test_a_fixed_list_goes_to_every_call_whole() -> None:
    @step
    def total(xs: list[int], n: int) -> int:
        return sum(xs) * n

    assert tw_map(total, xs=fixed([1, 2]), n=[1, 2]) == [3, 6]


def test_a_step_is_declared_with_what_counts_apart_from_what_does_not() -> None:
    with collecting() as declared:

        @step(resources=resources(cpu=2, memory="1.5G"), retries=3, timeout="5m", fresh="1h")
        def fit(x: int) -> int:
            return x

    (found,) = declared
    assert found.id == "step:fit"
    assert found.where.startswith(__file__)
    assert found.parameters == {"fresh": "1h", "reads": None}
    assert set(found.meta) == {"resources", "retries", "timeout"}
    assert fit.policy.resources.memory_bytes == 1_610_612_736
    assert fit.__doc__ is None
    assert add.__doc__ == "Add two numbers."


@pytest.mark.parametrize("memory", ["2", "2X", "G", "-1G"])
def test_an_amount_of_memory_that_is_none_is_refused(memory: str) -> None:
    with pytest.raises(Invalid, match="no amount of memory"):
        resources(memory=memory)


def test_options_out_of_range_are_refused() -> None:
    with pytest.raises(Invalid, match="cpu is 0"):
        resources(cpu=0)
    with pytest.raises(Invalid, match="retries is -1"):
        step(retries=-1)
    with pytest.raises(Invalid, match="'soon' is not a duration"):
        step(timeout="soon")
