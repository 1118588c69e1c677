"""Errors say what, where and what to do, to people and to programs."""

from __future__ import annotations

import inspect
import pickle

import pytest

from tidewheel import errors
from tidewheel.errors import Conflict, Invalid, TidewheelError, near_miss

ALL = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, TidewheelError)]
BASES = {"NotFound", "AlreadyExists", "Conflict", "Invalid", "Incompatible", "Denied", "Unavailable", "Corrupt"}
NOT_THE_CALLERS = {"TidewheelError", "ModelFailed"}  # a deployed model is broken: no change of the request helps


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_every_error_is_one_of_the_eight_that_a_caller_can_act_on(kind: type[TidewheelError]) -> None:
    expected = 0 if kind.__name__ in NOT_THE_CALLERS else 1
    assert len(BASES & {base.__name__ for base in kind.__mro__}) == expected
    assert kind("x").code == kind.__name__
    assert kind.__doc__


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_every_error_survives_the_way_between_processes(kind: type[TidewheelError]) -> None:
    error = pickle.loads(pickle.dumps(kind("what", where="f.py:1", fix="do this")))
    assert type(error) is kind
    assert error.as_dict() == {"code": kind.__name__, "error": "what", "field": "f.py:1", "fix": "do this"}


def test_what_is_not_known_is_left_out() -> None:
    assert str(Invalid("ttl is 0")) == "ttl is 0"
    assert str(Invalid("ttl is 0", fix="omit it")) == "ttl is 0. Fix: omit it"
    assert Conflict("x").as_dict() == {"code": "Conflict", "error": "x"}


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    drawn = errors.__doc__ or ""
    assert {name for name in BASES if f"─ {name} " in drawn} == BASES


def test_a_near_miss_names_the_nearest_or_all_that_there_is() -> None:
    assert near_miss("champoin", ["champion", "challenger"]) == "did you mean champion?"
    assert near_miss("q", []) == "known: none"
    assert near_miss("q", [f"name{n:02}" for n in range(20)]).endswith("name11, ...")
