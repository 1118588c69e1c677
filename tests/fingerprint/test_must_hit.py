"""Edits that change nothing that a step computes: each must leave its recipe as it is."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.fingerprint.probe import Project

BASE = '''
"""Module."""
import functools
import tidewheel.pipelines.definition as tw

LIMIT = 1000

def unrelated(x):
    return x + 1

class Base:
    """A base."""

    def m(self, n: int) -> int:
        """Doc."""
        total: int = n  # note
        return total + LIMIT

@tw.step(retries=1)
def run(x: int, flag: bool = True) -> int:
    """Do it."""
    return Base().m(x) if flag else 0
'''

CASES: dict[str, tuple[str, str]] = {
    "a comment": ("# note", "# another note"),
    "a comment that moves every line": ("LIMIT = 1000", "# here\n\n# and here\nLIMIT = 1000"),
    "the module's docstring": ('"""Module."""', '"""Another."""'),
    "a function's docstring": ('"""Do it."""', '"""Do it well."""'),
    "a docstring that goes": ('    """Do it."""\n', ""),
    "a class's docstring": ('"""A base."""', '"""The base."""'),
    "formatting": (
        "return Base().m(x) if flag else 0",
        "return (\n        Base( ).m(x)\n        if flag\n        else 0\n    )",
    ),
    "another spelling of a number": ("LIMIT = 1000", "LIMIT = 1_000"),
    "an argument's type hint": ("x: int, flag", "x: float, flag"),
    "a result's type hint": ('-> int:\n    """Do', '-> float:\n    """Do'),
    "a method's type hint": ("n: int", "n"),
    "a local variable's type hint": ("total: int = n", "total = n"),
    "a constant's type hint": ("LIMIT = 1000", "LIMIT: int = 1000"),
    "an unrelated function": ("return x + 1", "return x + 2"),
    "another unrelated function": ("def unrelated", "def more(): return LIMIT\n\ndef unrelated"),
    "an unused import": ("import functools", "import functools, json"),
    "resources and retries": ("retries=1", "retries=3, resources=tw.resources(cpu=2), timeout='5m'"),
    "no options at all": ("@tw.step(retries=1)", "@tw.step"),
    "the script part": ("LIMIT = 1000", "LIMIT = 1000\nif __name__ == '__main__':\n    print(LIMIT)"),
    "a constant computed to the same value": ("LIMIT = 1000", "LIMIT = 10 * 100"),
}


@pytest.mark.parametrize("name", CASES)
def test_an_edit_of_it_hits(tmp_path: Path, name: str) -> None:
    project, (old, new) = Project(tmp_path), CASES[name]
    project.write(steps=BASE)
    before = project.components()
    project.edit("steps.py", old, new)
    after = project.components()
    assert {name: part.value for name, part in after.items()} == {name: part.value for name, part in before.items()}


def test_an_unrelated_dependency_in_the_lock_hits(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.write(steps="import numpy as np\ndef run(x): return np.mean(x)")
    assert project.digest(lock={"numpy": "2", "duckdb": "1"}) == project.digest(lock={"numpy": "2", "duckdb": "2"})


def test_where_the_project_lies_does_not_count(tmp_path: Path) -> None:
    one, two = Project(tmp_path / "one"), Project(tmp_path / "elsewhere" / "two")
    for project in (one, two):
        project.write(steps=BASE)
    assert one.digest() == two.digest()


def test_what_else_was_imported_before_does_not_count(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.write(
        steps="import lib\ndef run(x): return lib.h(x)",
        lib="def h(x): return x",
        other="import lib, click\nfrom steps import run",
    )
    assert project.digest("steps:run") == project.digest("other:run")
