"""Sketches and moments against NumPy, SciPy and counting: within what they say, the same in any order, the same for ever."""

from __future__ import annotations

from collections import Counter

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
import scipy.stats

from tidewheel.features.aggregations import Ended, get_aggregation
from tidewheel.features.aggregations.approx_distinct import approx_distinct, registers
from tidewheel.features.aggregations.count import count
from tidewheel.features.aggregations.histogram import histogram
from tidewheel.features.aggregations.quantile import bins, quantile
from tidewheel.features.aggregations.top_k import top_k
from tidewheel.features.aggregations.var import var
from tidewheel.features.encoding import encode_column
from tidewheel.features.feature import Feature
from tidewheel.features.maps import tile_maps
from tidewheel.schema import DataType, data_type_of_arrow

Answer = tuple[npt.NDArray[np.generic], npt.NDArray[np.generic]]


def aggregated(feature: Feature, column: pa.Array) -> Answer:
    """An aggregate of a whole column."""
    aggregation, kind = get_aggregation(feature.aggregation), data_type_of_arrow(column.type)
    state = aggregation.state_of(kind, feature, where="test")
    values = encode_column(column, kind, state)
    assert values.counts is not None
    whole = np.array([0, len(column)], dtype=np.int64)
    maps = tile_maps(state, values.ints, values.counts, first=whole)
    return aggregation.finish(Ended(feature, state, np.array([[len(column)]]), np.empty((1, 0)), maps))


CHANCE = np.random.default_rng(7)
SAMPLES = {
    "normal": CHANCE.normal(size=5_000),
    "heavy": np.exp(CHANCE.normal(size=5_000) * 20),
    "mixed": np.concatenate([CHANCE.normal(-1e6, 1, 2_000), np.zeros(50), CHANCE.exponential(1e-9, 2_000)]),
    "few": np.array([3.0, -1.5]),
    "whole": CHANCE.integers(-1_000, 1_000, 3_000).astype(np.float64),
}


@pytest.mark.parametrize("sample", SAMPLES)
def test_quantiles_are_within_one_part_in_128_of_numpys(sample: str) -> None:
    values = SAMPLES[sample]
    for q in (0.0, 0.01, 0.25, 0.5, 0.75, 0.95, 0.99, 0.999, 1.0):
        (found,), _ = aggregated(quantile("x", q=q), pa.array(values))
        exact = float(np.quantile(values, q, method="lower"))
        assert abs(float(found) - exact) <= abs(exact) / 128, q


@pytest.mark.parametrize("size", [0, 1, 10, 1_000, 30_000, 200_000])
def test_about_how_many_values_differ(size: int) -> None:
    numbers = np.arange(size)
    columns = [pa.array(numbers), pa.array(numbers * 0.37), pa.array(numbers * 1_000_003)]
    if size <= 30_000:
        columns.append(pa.array([f"user-{n}" for n in numbers.tolist()], pa.string()))
    for column in columns:
        doubled = pa.concat_arrays([column, column])
        (found,), _ = aggregated(approx_distinct("x"), doubled)
        assert abs(int(found) - size) <= 4 * 0.0163 * size


def test_the_standard_error_of_approx_distinct_is_what_it_says() -> None:
    errors = []
    for seed in range(60):
        column = pa.array(np.random.default_rng(seed).integers(-(2**62), 2**62, 20_000))
        (found,), _ = aggregated(approx_distinct("x"), column)
        errors.append(int(found) / 20_000 - 1)
    spread = float(np.std(errors))
    low, high = scipy.stats.chi2.ppf([0.0005, 0.9995], 60)
    assert 0.01625 * np.sqrt(low / 60) <= spread <= 0.01625 * np.sqrt(high / 60)
    assert abs(float(np.mean(errors))) <= 4 * 0.01625 / np.sqrt(60)


def test_a_histogram_is_numpys() -> None:
    values = SAMPLES["normal"]
    found, _ = aggregated(histogram("x", edges=[-1.0, 0.0, 2.5]), pa.array(values))
    assert found.tolist() == np.histogram(values, [-np.inf, -1.0, 0.0, 2.5, np.inf])[0].tolist()


def test_the_most_frequent_values_are_those_of_counting() -> None:
    words = [f"w{n}" for n in CHANCE.zipf(1.5, 2_000).tolist()]
    feature = top_k("x", "1d", k=5)
    aggregation = get_aggregation("top_k")
    state = aggregation.state_of(DataType.STRING, feature, where="test")
    values = encode_column(pa.array(words), DataType.STRING, state)
    assert values.dictionary is not None and values.counts is not None
    maps = tile_maps(state, values.ints, values.counts, first=np.array([0, len(words)]))
    ranks, _ = aggregation.finish(Ended(feature, state, np.array([[len(words)]]), np.empty((1, 0)), maps))
    times = Counter(words)
    expected = sorted(times, key=lambda word: (-times[word], word))[:5]
    assert values.dictionary.take(pa.array(ranks)).to_pylist() == expected


def test_variance_is_scipys() -> None:
    values = SAMPLES["normal"]
    mean = float(values.mean())
    floats = np.array([[mean, float(((values - mean) ** 2).sum())]])
    feature = var("x", "1d")
    state = get_aggregation("var").state_of(DataType.FLOAT64, feature, where="test")
    (found,), _ = get_aggregation("var").finish(Ended(feature, state, np.array([[len(values)]]), floats))
    assert found == pytest.approx(scipy.stats.tvar(values))


def test_the_bits_of_sketches_are_pinned() -> None:
    """Stored tiles hold these: a change of any is another aggregation, under another name."""
    numbers = pa.array([0.0, -0.0, 1.0, -1.0, 1.5, 1e300, 5e-324, float("inf"), float("nan")])
    assert bins(numbers)[0].tolist() == [0, 0, 65472, -65472, 65504, 129247, 0, 131008, 131009]
    places, zeros = registers(pa.array([0, 1, -1, 1 << 40]))
    assert (places.tolist(), zeros.tolist()) == ([3618, 2320, 3661, 509], [5, 1, 1, 1])
    places, zeros = registers(pa.array(["", "a", "Harlem"]))
    assert (places.tolist(), zeros.tolist()) == ([3658, 1039, 3928], [2, 1, 1])
    assert count("1h").parameters.keys() == {
        f for f in count("1h").__dataclass_fields__ if f not in ("offset", "options", "parts")
    }
