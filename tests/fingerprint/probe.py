"""Fingerprints of a small project in a process of its own, so that what is measured is what a new run would see."""

from __future__ import annotations

import importlib
import json
import os
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path

from tidewheel.fingerprint.recipe import Component, Recipe
from tidewheel.fingerprint.walk import Fingerprinter


class Project:
    """Files in a folder, written and edited by tests."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def write(self, **files: str) -> None:
        """Write files by path; ``.py`` is added."""
        for name, text in files.items():
            path = self.root / f"{name}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(text))

    def edit(self, name: str, old: str, new: str) -> None:
        """Replace text that must be there."""
        path = self.root / name
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    def components(
        self,
        function: str = "steps:run",
        *,
        environment: Mapping[str, str] | None = None,
        lock: Mapping[str, str] | None = None,
    ) -> dict[str, Component]:
        """Components as a new process finds them."""
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(read)
            code = 1
            try:
                os.environ.update(environment or {})
                answer = _components(self.root, function, lock)
                with os.fdopen(write, "w") as pipe:
                    json.dump(answer, pipe)
                code = 0
            finally:
                os._exit(code)
        os.close(write)
        with os.fdopen(read) as pipe:
            text = pipe.read()
        _, status = os.waitpid(child, 0)
        assert status == 0, "the probe failed; its traceback is on stderr"
        return {name: Component(*parts) for name, parts in json.loads(text).items()}

    def digest(
        self,
        function: str = "steps:run",
        *,
        environment: Mapping[str, str] | None = None,
        lock: Mapping[str, str] | None = None,
    ) -> str:
        """Digest of the recipe that a new process finds."""
        return Recipe("step", self.components(function, environment=environment, lock=lock)).digest


def _components(root: Path, function: str, lock: Mapping[str, str] | None) -> dict[str, list[str | None]]:
    import traceback

    sys.dont_write_bytecode = True  # two edits within one clock tick would else meet an old .pyc
    sys.path.insert(0, str(root))
    importlib.invalidate_caches()
    module, _, name = function.partition(":")
    try:
        found = Fingerprinter(root, lock).components([getattr(importlib.import_module(module), name)])
    except BaseException:
        traceback.print_exc()
        raise
    return {name: [part.value, part.where, part.note] for name, part in found.items()}
