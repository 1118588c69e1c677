"""Fingerprints inside of one process: what is kept, and when it no longer holds."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from tests.counting import calls
from tests.fingerprint.probe import Project

from tidewheel.fingerprint.import_source import import_source
from tidewheel.fingerprint.recipe import Recipe
from tidewheel.fingerprint.walk import Fingerprinter


@pytest.fixture
def load(tmp_path: Path) -> Iterator[object]:
    names: list[str] = []

    def loader(name: str, text: str) -> ModuleType:
        Project(tmp_path).write(**{name: text})
        importlib.invalidate_caches()
        names.append(name)
        return importlib.import_module(name)

    sys.path.insert(0, str(tmp_path))
    import_source(tmp_path)
    yield loader
    sys.path.remove(str(tmp_path))
    for name in names:
        sys.modules.pop(name, None)


def _digest(printer: Fingerprinter, function: object) -> str:
    return Recipe("step", printer.components([function])).digest


def test_a_constant_rebound_while_running_recomputes(load, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]  # fixture
    module = load("live_constant", "LIMIT = 3\nTABLE = {'a': 1}\ndef run(x): return x + LIMIT + TABLE['a']")
    printer = Fingerprinter(tmp_path)
    first = _digest(printer, module.run)
    module.LIMIT = 4
    second = _digest(printer, module.run)
    module.TABLE["a"] = 2
    third = _digest(printer, module.run)
    assert len({first, second, third}) == 3
    module.LIMIT, module.TABLE["a"] = 3, 1
    assert _digest(printer, module.run) == first


def test_a_file_edited_after_the_import_is_not_taken_for_what_runs(load, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]  # fixture
    module = load("live_edit", "def run(x): return x + 1")
    Project(tmp_path).edit("live_edit.py", "+ 1", "+ 2")
    stale = Fingerprinter(tmp_path).components([module.run])
    importlib.invalidate_caches()
    sys.modules.pop("live_edit")
    fresh = Fingerprinter(tmp_path).components([importlib.import_module("live_edit").run])
    assert stale["code:live_edit.run"].value != fresh["code:live_edit.run"].value
    assert "bytecode" in (stale["code:live_edit.run"].note or "")


def test_a_closure_of_fifty_functions_costs_next_to_nothing_once_warm(load, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]  # fixture
    text = "".join(f"C{i} = {i}\ndef f{i}(x):\n    return f{i + 1}(x) + C{i}\n" for i in range(50)) + "def f50(x): return x\n"
    module = load("live_fifty", text)
    printer = Fingerprinter(tmp_path)
    assert len(printer.components([module.f0])) == 50 + 51 + 1
    assert calls(lambda: printer.components([module.f0])) < 500  # the first time: more than 60,000
