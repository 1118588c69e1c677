"""Golden values: an unintended change of the algorithm would rebuild everybody's world, so it must not pass unseen."""

from __future__ import annotations

from pathlib import Path

from tests.fingerprint.probe import Project

from tidewheel.clock import Micros
from tidewheel.database.open import Database
from tidewheel.fingerprint.recipe import ALGORITHM, Component, Recipe
from tidewheel.ledger.definition import node_id
from tidewheel.ledger.record import Ledger
from tidewheel.project.plan import differences

SAMPLE = """
import functools

LIMIT = {"a": (1, 2.5), "b": {"x"}}

class Base:
    rate: float = 0.1

    def scale(self, x: float) -> float:
        return x * self.rate

@functools.lru_cache
def helper(x, *, n=2):
    return [f"{y:.2f}" for y in range(x) if y not in LIMIT] + [n]

def run(x):
    return Base().scale(x), helper(x)
"""

GOLDEN: dict[int, dict[str, str]] = {
    1: {
        "code:steps.Base": "e42138498042",
        "code:steps.Base.scale": "cd0ebd156578",
        "code:steps.helper": "1693661ae76b",
        "code:steps.run": "59551ae16a44",
        "const:steps.Base.rate": "adc4b63e6eeb",
        "const:steps.LIMIT": "9f094fca1f09",
        "const:steps.helper": "b1fb889bfdba",
    },
    2: {
        "code:steps.Base": "e42138498042",
        "code:steps.Base.scale": "cd0ebd156578",
        "code:steps.helper": "1693661ae76b",
        "code:steps.run": "59551ae16a44",
        "const:steps.Base.rate": "adc4b63e6eeb",
        "const:steps.LIMIT": "9f094fca1f09",
        "const:steps.helper": "b1fb889bfdba",
    },
}


def test_components_of_the_sample_are_those_of_the_algorithms_version(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.write(steps=SAMPLE)
    found = {name: part.value[4:16] for name, part in project.components().items() if name != "python"}
    assert found == GOLDEN[ALGORITHM]


RECIPES: dict[int, str] = {1: "tw1-4387d5f27f84", 2: "tw1-b3eb8ec19fd5"}
"""Beginning of the digest of one recipe under every version that there has been: what was recorded stays found."""


def test_a_recipe_of_every_version_keeps_its_digest() -> None:
    parts = {
        "param:ttl": Component("1d", where="f.py:3", note="a day"),
        "code:a.b": Component("0"),
        "python": Component("3.11"),
    }
    assert set(RECIPES) == set(GOLDEN) == set(range(1, ALGORITHM + 1))
    for version, expected in RECIPES.items():
        assert Recipe("view", parts, version).digest.startswith(expected)
    assert Recipe("view", parts).digest == Recipe("view", parts, ALGORITHM).digest


def test_another_algorithm_does_not_look_like_another_code() -> None:
    ledger = Ledger(Database.open("sqlite://"), lambda: Micros(0))
    same, edited = Component("v1", "f.py:1", "def a(): ..."), Component("w1", "f.py:5", "def b(): 1")
    old = Recipe("step", {"code:a": same, "code:b": edited})
    new = Recipe(
        "step",
        {"code:a": Component("v2", "f.py:1", same.note), "code:b": Component("w2", "f.py:5", "def b(): 2")},
        ALGORITHM + 1,
    )
    for recipe in (old, new):
        ledger.put_recipe(node_id("step", "a"), recipe)
        assert ledger.get_recipe(recipe.digest) == recipe
    assert [reason.component for reason in differences(old, new)] == ["fingerprint", "code:b"]
