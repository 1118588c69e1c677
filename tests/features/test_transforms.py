"""Case G of the normative semantics: on-request transforms."""

from __future__ import annotations

from datetime import UTC, datetime

import pyarrow as pa
import pytest
from tests.features.ask import INSTANT, ask, at, memory, table, view

from tidewheel.errors import CyclicTransform, Invalid, KeyTypeMismatch, NameCollision, TypeMismatch
from tidewheel.features.definition import Transform, entity, lookup, on_request, request, service
from tidewheel.features.retrieve import Retrieved

UID = entity("user", uid=int)


def spine(**columns: pa.Array) -> pa.Table:
    count = len(next(iter(columns.values())))
    return pa.table({"uid": pa.array(range(1, count + 1)), "t": pa.array([at("10:00")] * count, INSTANT), **columns})


def run(*members: object, **columns: pa.Array) -> Retrieved:
    return ask(list(members), spine(**columns))  # type: ignore[arg-type]  # each test hands over members


@on_request
def plus(conv: float, val: float) -> float:
    return conv + val


def test_g1_a_transform_takes_features_and_request_values() -> None:
    types = {"uid": pa.int64(), "ts": INSTANT, "conv": pa.float64()}
    rows = table([{"uid": uid, "ts": "08:00", "conv": 0.5} for uid in (1, 2, 3)], types)
    made = view({"conv": lookup("conv")}, memory("f", rows), UID)
    found = run(made, plus, val=pa.array([100, 1, 2])).table
    assert found.to_pylist() == [{"conv": 0.5, "plus": 100.5}, {"conv": 0.5, "plus": 1.5}, {"conv": 0.5, "plus": 2.5}]


def test_g2_a_null_input_makes_null_without_a_call_unless_it_is_optional() -> None:
    called = []

    @on_request
    def strict(a: float) -> float:
        called.append(a)
        return a

    @on_request
    def lenient(a: float | None) -> str:
        return "none" if a is None else "some"

    found = run(strict, lenient, a=pa.array([None, 1.0])).table.to_pylist()
    assert found == [{"strict": None, "lenient": "none"}, {"strict": 1.0, "lenient": "some"}]
    assert called == [1.0]


@on_request
def ratio(a: int, b: int) -> float:
    return a / b


def test_g3_a_row_that_fails_is_null_and_counted() -> None:
    found = run(ratio, a=pa.array([1, 1, 4]), b=pa.array([0, 2, 2]))
    assert found.table.column("ratio").to_pylist() == [None, 0.5, 2.0]
    assert (found.transforms[0].errors, found.transforms[0].first_error) == (1, "row 0: ZeroDivisionError: division by zero")


def test_g3_or_it_stops_when_asked_to() -> None:
    careful = on_request(on_error="raise")(ratio.function)
    with pytest.raises(Invalid, match="transform ratio failed on row 1: ZeroDivisionError"):
        run(careful, a=pa.array([1, 1]), b=pa.array([1, 0]))


def test_g5_chained_transforms_run_once_each_in_their_order() -> None:
    calls: list[str] = []

    @on_request
    def second(first: int) -> int:
        calls.append("second")
        return first * 10

    @on_request
    def first(a: int) -> int:
        calls.append("first")
        return a + 1

    made = service("s", second, first, request(a=int))
    assert made.names == ("second", "first", "a")
    assert [one.name for one in made.transforms] == ["first", "second"]
    assert ask(made, spine(a=pa.array([1]))).table.to_pylist() == [{"second": 20, "first": 2, "a": 1}]
    assert calls == ["first", "second"]


def test_g5_a_circle_is_refused_and_drawn() -> None:
    @on_request
    def one(two: int) -> int:
        return two

    @on_request
    def two(one: int) -> int:
        return one

    with pytest.raises(CyclicTransform, match="one -> two -> one"):
        service("s", one, two)


def test_a_transform_sees_instants_in_the_zone_it_names() -> None:
    def hour(moment: datetime) -> int:
        return moment.hour

    local: Transform = on_request(timezone="America/New_York")(hour)
    moments = pa.array([datetime(2026, 1, 1, 3, tzinfo=UTC)], INSTANT)
    assert run(local, moment=moments).table.to_pylist() == [{"hour": 22}]
    assert run(on_request(hour), moment=moments).table.to_pylist() == [{"hour": 3}]


def test_an_input_that_nobody_gives_comes_with_the_request_and_is_no_feature() -> None:
    made = service("s", ratio)
    assert [one.name for one in made.request] == ["a", "b"]
    assert made.names == ("ratio",)


def test_a_key_can_be_an_input() -> None:
    @on_request
    def parity(uid: int) -> bool:
        return uid % 2 == 1

    made = view({"x": lookup("x")}, memory("f", table([], {"uid": pa.int64(), "ts": INSTANT, "x": pa.int64()})), UID)
    assert run(made, parity, other=pa.array([0, 0])).table.column("parity").to_pylist() == [True, False]


@pytest.mark.parametrize(
    ("returns", "value", "expected"),
    [(int, 2.5, None), (int, 2**63, None), (float, 1, 1.0), (str, 1, None), (float, float("nan"), None), (int, True, 1)],
)
def test_a_result_must_fit_its_declared_type(returns: type, value: object, expected: object) -> None:
    def body(a: int) -> object:
        return value

    body.__annotations__["return"] = returns
    assert run(on_request(body), a=pa.array([1])).table.column("body").to_pylist() == [expected]


def test_request_values_are_typed() -> None:
    found = run(request(a=float, b=int), a=pa.array([1, 2]), b=pa.array([1, None], pa.int32())).table
    assert (found.schema.types, found.to_pylist()) == ([pa.float64(), pa.int64()], [{"a": 1.0, "b": 1}, {"a": 2.0, "b": None}])
    with pytest.raises(TypeMismatch, match="a is string, declared float64"):
        run(request(a=float), a=pa.array(["1"]))


@pytest.mark.parametrize("source", ["def f(a): return a", "def f(a: int): return a", "def f(*a: int) -> int: return 1"])
def test_an_untyped_transform_is_refused(source: str) -> None:
    scope: dict[str, object] = {}
    exec(source, scope)
    with pytest.raises(Invalid):
        on_request(scope["f"])  # type: ignore[call-overload]  # that is the point


def test_one_column_cannot_have_two_types() -> None:
    @on_request
    def label(uid: str) -> str:
        return uid

    made = view({"x": lookup("x")}, memory("f", table([], {"uid": pa.int64(), "ts": INSTANT, "x": pa.int64()})), UID)
    with pytest.raises(KeyTypeMismatch, match="uid"):
        service("s", made, label, request(uid=str))


def test_a_transform_cannot_take_the_name_of_a_feature() -> None:
    made = view({"ratio": lookup("x")}, memory("f", table([], {"uid": pa.int64(), "ts": INSTANT, "x": pa.int64()})), UID)
    with pytest.raises(NameCollision, match="ratio"):
        service("s", made, ratio)
