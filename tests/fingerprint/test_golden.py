"""Golden values: an unintended change of the algorithm would rebuild everybody's world, so it must not pass unseen."""

from __future__ import annotations

from pathlib import Path

from tests.fingerprint.probe import Project

from tidewheel.fingerprint.recipe import ALGORITHM

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
}


def test_components_of_the_sample_are_those_of_the_algorithms_version(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.write(steps=SAMPLE)
    found = {name: part.value[4:16] for name, part in project.components().items() if name != "python"}
    assert found == GOLDEN[ALGORITHM]
