"""Keys as numbers against a dict, and both forms of the kernel that numbers them."""

from __future__ import annotations

import importlib.util
from datetime import date
from pathlib import Path
from types import ModuleType

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidewheel.features import key_kernel
from tidewheel.features.match import KeyIndex
from tidewheel.features.row_sum import RowSum

Part = int | str | None
SMALL = st.one_of(st.none(), st.integers(-3, 3))
WIDE = st.one_of(st.none(), st.sampled_from([-(2**63), -1, 0, 1, 2**40, 2**63 - 1]))
TEXT = st.one_of(st.none(), st.sampled_from(["", "a", "ab", "ä", "a\0", "a\0b", "longer than eight bytes"]))


def wanted(asked: list[tuple[Part, ...]], held: list[tuple[Part, ...]]) -> tuple[list[int], list[int], int]:
    """Numbers in order of appearance, by a dict."""
    numbers: dict[tuple[Part, ...], int] = {}
    left = [-2 if None in key else numbers.setdefault(key, len(numbers)) for key in asked]
    right = [-2 if None in key else numbers.get(key, -1) for key in held]
    return left, right, len(numbers)


@given(st.data(), st.lists(st.sampled_from([SMALL, WIDE, TEXT]), min_size=1, max_size=3))
def test_keys_are_numbered_as_a_dict_does(data: st.DataObject, parts: list[st.SearchStrategy[Part]]) -> None:
    kinds = [pa.string() if part is TEXT else pa.int64() for part in parts]
    asked, held = (data.draw(st.lists(st.tuples(*parts), max_size=20)) for _ in range(2))
    columns = [[pa.array([key[i] for key in keys], kind) for i, kind in enumerate(kinds)] for keys in (asked, held)]
    index = KeyIndex(columns[0])
    assert (index.asked.tolist(), index.find(columns[1]).tolist(), index.keys) == wanted(asked, held)


def test_dates_booleans_bytes_and_slices_are_keys() -> None:
    days = pa.array([date(2026, 1, 1), None, date(1969, 1, 1)])
    assert KeyIndex([days]).find([days.slice(1)]).tolist() == [-2, 1]
    assert KeyIndex([pa.array([True, False])]).find([pa.array([False, None])]).tolist() == [1, -2]
    names = pa.array([b"x", b"y", b"\0", None])
    assert KeyIndex([names.slice(1)]).find([names]).tolist() == [-1, 0, 1, -2]


def interpreted() -> ModuleType:
    path = Path(key_kernel.__file__).with_name("key_kernel.py")
    spec = importlib.util.spec_from_file_location("interpreted_key_kernel", path)
    assert spec is not None and spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    assert not made.COMPILED
    return made


@pytest.mark.parametrize("seed", range(3))
def test_both_forms_of_the_kernel_number_and_mix_alike(seed: int) -> None:
    kept = []
    for form in (key_kernel, interpreted()):
        chance = np.random.default_rng(seed)
        values, others = chance.integers(-(2**63), 2**63 - 1, 50), chance.integers(-40, 40, 50)
        values[::2] = others[::2]
        codes, distinct = np.zeros(50, dtype=np.int64), np.zeros(50, dtype=np.int64)
        table = np.full(128, -1, dtype=np.int64)
        count = form.number_integers(values, table, distinct=distinct, codes=codes)
        found, near = np.zeros(50, dtype=np.int64), np.zeros(50, dtype=np.int64)
        form.find_integers(others, table, distinct=distinct, codes=found)
        form.find_near(others, table, low=-30, codes=near)
        data = chance.integers(97, 100, 80).astype(np.uint8)
        pieces = form.Pieces(np.concatenate([[0], np.sort(chance.integers(0, 80, 49)), [80]]).astype(np.int64), data)
        names, first = np.full(128, -1, dtype=np.int64), np.zeros(50, dtype=np.int64)
        numbers, again = np.zeros(50, dtype=np.int64), np.zeros(50, dtype=np.int64)
        pieces_count = form.number_pieces(pieces, names, first=first, codes=numbers)
        form.find_pieces(pieces, pieces, table=names, first=first, codes=again)
        words, sums, chains = (np.zeros(50, dtype=np.uint64) for _ in range(3))
        form.hash_pieces(pieces, 2**63 + 5, words=words)
        form.mix_words(words, 2**64 - 3, real=False, sums=sums, chains=chains)
        form.mix_words(values.view(np.uint64), 7, real=False, sums=sums, chains=chains)
        floats = np.where(values % 3, values / 7, np.where(values % 2, -np.nan, -np.inf))
        form.mix_words(floats.view(np.uint64), 7, real=True, sums=sums, chains=chains)
        arrays = (codes, distinct, table, found, near, names, first, numbers, again, words, sums, chains)
        kept.append(
            (count, pieces_count, form.mixed_total(sums), form.mixed_total(chains), *(array.tobytes() for array in arrays))
        )
    assert kept[0] == kept[1]


def test_a_row_sum_tells_what_is_different() -> None:
    table = pa.table({"a": [1, 0, None], "b": [0.0, -0.0, float("nan")], "c": ["x", None, ""]})
    seen = set()
    for changed in (
        table,
        table.slice(1),
        pa.concat_tables([table, table]),
        table.set_column(0, "a", pa.array([1, None, 0])),
        table.set_column(1, "b", pa.array([-0.0, -0.0, float("nan")])),
        table.set_column(2, "c", pa.array(["x", "", ""])),
        table.set_column(2, "c", pa.array(["", None, "x"])),
        table.set_column(0, "a", pa.array([1, 0, None], pa.int32())),
        table.rename_columns(["b", "a", "c"]),
    ):
        one = RowSum()
        one.add(changed)
        seen.add(one.digest())
    assert len(seen) == 9


def test_a_row_sum_does_not_know_the_order_of_rows() -> None:
    table = pa.table({"a": [1, 0, None], "c": ["x", None, ""]})
    one, other = RowSum(), RowSum()
    one.add(table)
    for row in (2, 0, 1):
        other.add(table.slice(row, 1))
    assert one.digest() == other.digest()
