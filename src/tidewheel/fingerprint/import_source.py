"""Import a project's files from what they say, never from cached bytecode.

Python takes a file's cached bytecode for good when the file has the same size and, to the second, the same time of change. An
edit of one digit within that second, or files unpacked with their times set, would run yesterday's code under today's text.
"""

from __future__ import annotations

import importlib.machinery as machinery
import sys
from collections.abc import Callable
from importlib.abc import PathEntryFinder
from pathlib import Path
from types import CodeType

from tidewheel.fingerprint.origin import origin

_roots: set[str] = set()


class FromSource(machinery.SourceFileLoader):
    """Compiles the file each time; bytecode is neither read nor written."""

    def get_code(self, fullname: str) -> CodeType | None:
        """The code of the file as it is now."""
        path = self.get_filename(fullname)
        return self.source_to_code(self.get_data(path), path)


_finder: Callable[[str], PathEntryFinder] = machinery.FileFinder.path_hook(
    (machinery.ExtensionFileLoader, machinery.EXTENSION_SUFFIXES),
    (FromSource, machinery.SOURCE_SUFFIXES),
    (machinery.SourcelessFileLoader, machinery.BYTECODE_SUFFIXES),
)


def import_source(root: Path) -> None:
    """From now on, import modules under ``root`` from their text; libraries installed there stay as they are.

    >>> import tempfile, sys, importlib
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     import_source(Path(folder))
    ...     sys.path.insert(0, folder)
    ...     _ = Path(folder, "from_source_example.py").write_text("DAYS = 1")
    ...     first = importlib.import_module("from_source_example").DAYS
    ...     _ = Path(folder, "from_source_example.py").write_text("DAYS = 7")
    ...     del sys.modules["from_source_example"]
    ...     second = importlib.import_module("from_source_example").DAYS
    ...     sys.path.remove(folder)
    >>> first, second
    (1, 7)
    """
    if _find not in sys.path_hooks:
        sys.path_hooks.insert(0, _find)
    text = str(root.resolve())
    if text not in _roots:
        _roots.add(text)
        for path in [path for path in sys.path_importer_cache if _is_under(path)]:
            del sys.path_importer_cache[path]


def _find(path: str) -> PathEntryFinder:
    if not _is_under(path):
        raise ImportError(path)  # the next hook is asked
    return _finder(path)


def _is_under(path: str) -> bool:
    place = Path(path).resolve()
    return any(place.is_relative_to(root) for root in _roots) and origin(str(place / "module.py")) == "project"
