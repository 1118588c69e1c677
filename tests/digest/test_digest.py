"""The canonical encoding: equal values have equal bytes everywhere and for ever; other values have other bytes."""

from __future__ import annotations

import datetime as dt
import json
import math
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidewheel.digest import PREFIX, digest, digest_bytes, digest_chunks, encode
from tidewheel.errors import Invalid

GOLDEN = Path(__file__).with_name("golden.json")


class Colour(Enum):
    RED = "red"
    SCARLET = "scarlet"


@dataclass(frozen=True)
class Point:
    x: int
    y: float


EAST = dt.timezone(dt.timedelta(hours=-5))
CASES: Mapping[str, object] = {
    "none": None,
    "true": True,
    "false": False,
    "zero": 0,
    "one": 1,
    "minus one": -1,
    "beyond 64 bits": 2**80,
    "float one": 1.0,
    "float zero": 0.0,
    "float minus zero": -0.0,
    "float tenth": 0.1,
    "float smallest": 5e-324,
    "float infinity": math.inf,
    "float nan": math.nan,
    "empty text": "",
    "text one": "1",
    "text accent, composed": "\u00e9",
    "text accent, decomposed": "e\u0301",
    "text beyond the plane": "\U0001f600",
    "text lone surrogate": "\udcff",
    "empty bytes": b"",
    "bytes one": b"1",
    "empty list": [],
    "nested lists": [[], [[]]],
    "list": [1, "a", None],
    "empty mapping": {},
    "mapping": {"b": 1, "a": [1.5, None], "": {}},
    "mapping of numbers": {10: "x", 9: "y"},
    "empty set": frozenset(),
    "set": {3, 1, 2},
    "instant": dt.datetime(2020, 1, 1, 10, 0, 0, 1, tzinfo=dt.UTC),
    "instant before 1970": dt.datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=dt.UTC),
    "date": dt.date(2020, 1, 1),
    "decimal": Decimal("1.10"),
    "decimal, one digit less": Decimal("1.1"),
    "enum": Colour.RED,
    "dataclass": Point(1, 2.0),
}


def test_digests_are_those_of_the_golden_file() -> None:
    golden = json.loads(GOLDEN.read_text())
    assert {name: digest(value) for name, value in CASES.items()} == golden


def test_no_two_different_values_have_one_digest() -> None:
    assert len({digest(value) for value in CASES.values()}) == len(CASES)


def test_the_encoding_is_as_the_module_says() -> None:
    assert encode([None, True, 1, "é", b"\0", {"a": 1.0}]) == b"l6;nTi1;s2;\xc3\xa9b1;\0m1;s1;af\x3f\xf0\0\0\0\0\0\0"


def test_a_digest_is_the_version_and_blake2b_of_the_bytes() -> None:
    done = subprocess.run(["b2sum", "-l", "256"], input=b"abc", capture_output=True, check=True)  # coreutils: not ours
    assert digest_bytes(b"abc") == PREFIX + done.stdout.decode().split()[0]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ([1, 2], (1, 2)),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        ({1, 2, 3}, frozenset({3, 2, 1})),
        (b"ab", bytearray(b"ab")),
        (dt.datetime(2020, 1, 1, 10, tzinfo=dt.UTC), dt.datetime(2020, 1, 1, 5, tzinfo=EAST)),
        (math.nan, -math.nan),
    ],
)
def test_equal_values_have_one_digest(one: object, other: object) -> None:
    assert digest(one) == digest(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (["ab", "c"], ["a", "bc"]),
        ([[1], 2], [1, [2]]),
        ({"a": {"b": 1}}, {"a": {}, "b": 1}),
        ({"1": 1}, {1: 1}),
        ([1, 2], [2, 1]),
        ([1], {1}),
        (Colour.RED, "red"),
        (Point(1, 2.0), {"x": 1, "y": 2.0}),
    ],
)
def test_different_values_have_different_digests(one: object, other: object) -> None:
    assert digest(one) != digest(other)


plain = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(), st.binary()),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=4), inner, max_size=4)),
    max_leaves=12,
)


def exact(value: object) -> object:
    """The value with its types made visible, so that ``==`` distinguishes what the digest must."""
    if isinstance(value, list):
        return ["list", *map(exact, value)]
    if isinstance(value, dict):
        return {key: exact(item) for key, item in value.items()}
    return (type(value).__name__, repr(value))


@given(one=plain, other=plain)
def test_digests_are_equal_exactly_when_values_are(one: object, other: object) -> None:
    assert (digest(one) == digest(other)) == (exact(one) == exact(other))


@given(value=plain)
def test_the_order_of_keys_does_not_count(value: object) -> None:
    def turned(part: object) -> object:
        if isinstance(part, dict):
            return {key: turned(part[key]) for key in reversed(part)}
        return [turned(item) for item in part] if isinstance(part, list) else part

    assert encode(turned(value)) == encode(value)


@given(chunks=st.lists(st.binary(max_size=20)))
def test_bytes_in_pieces_are_the_bytes(chunks: list[bytes]) -> None:
    assert digest_chunks(chunks) == digest_bytes(b"".join(chunks))


@pytest.mark.parametrize(
    "value", [object(), len, Point, dt.datetime(2020, 1, 1), dt.timedelta(1), 1j, [object()], {"a": object()}]
)
def test_what_has_no_canonical_bytes_is_refused(value: object) -> None:
    with pytest.raises(Invalid):
        digest(value)


def test_the_seed_of_hashes_does_not_count() -> None:
    code = "from tidewheel.digest import digest; print(digest([{'a', 'b', 'c'}, {'x': 1, 'y': 2}, frozenset({1, 'z'})]))"
    told = set()
    for seed in ("0", "1", "2"):
        environment = {"PYTHONHASHSEED": seed}
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
        told.add(done.stdout)
    assert len(told) == 1
