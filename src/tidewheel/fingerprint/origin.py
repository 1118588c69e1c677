"""Whose code a file is."""

from __future__ import annotations

import sys
import sysconfig
from functools import lru_cache
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType
from typing import Literal

Origin = Literal["project", "library", "standard", "own", "virtual"]

_OWN = str(Path(__file__).resolve().parent.parent) + "/"
_STANDARD = tuple(
    {str(Path(sysconfig.get_path(name)).resolve()) + "/" for name in ("stdlib", "platstdlib")}
    # The archive that Python looks for beside it, which is rarely there.
    | {
        f"{Path(prefix).resolve()}/lib/python{sys.version_info[0]}{sys.version_info[1]}.zip/"
        for prefix in (sys.prefix, sys.base_prefix)
    }
)
_INSTALLED = ("/site-packages/", "/dist-packages/")


@lru_cache(maxsize=65_536)
def origin(filename: str) -> Origin:
    """Whose code a file is: the project's is all that is not Python's, not installed, not ours and not typed in.

    An editable install or a folder on ``PYTHONPATH`` counts as the project's: its version does not change when its code does.

    Examples
    --------
    >>> import json, os
    >>> origin(json.__file__), origin(__file__), origin("<stdin>"), origin("/home/me/taxi/features.py")
    ('standard', 'own', 'virtual', 'project')
    """
    if filename.startswith("<frozen"):
        return "standard"
    if filename.startswith("<") or not filename:
        return "virtual"
    path = f"{Path(filename).resolve()}/"  # these folders themselves are whose the files in them are
    if any(part in path for part in _INSTALLED) or any(part in filename for part in _INSTALLED):
        return "library"
    if path.startswith(_OWN):
        return "own"
    if path.startswith(_STANDARD):
        return "standard"
    return "project"


def module_origin(name: str) -> Origin:
    """Whose code a loaded module is, by its name.

    Examples
    --------
    >>> module_origin("json"), module_origin("tidewheel.digest")
    ('standard', 'own')
    """
    top = name.partition(".")[0]
    if top == "tidewheel":
        return "own"
    if top in sys.stdlib_module_names:
        return "standard"
    module: object = sys.modules.get(name)
    file = getattr(module, "__file__", None)
    if module is not None and not isinstance(module, ModuleType):  # an object that has taken its module's place
        file = _file_of(name)
    if file is None:
        places = list(getattr(module, "__path__", ()))  # a namespace package
        file = f"{places[0]}/__init__.py" if places else ""
    if not file:
        return "project" if name == "__main__" else "library"
    return origin(file)


def _file_of(name: str) -> str | None:
    """The file that a module comes from, by what the import path says now."""
    top, _, rest = name.partition(".")
    spec = PathFinder.find_spec(top)
    while spec is not None and rest:
        part, _, rest = rest.partition(".")
        top = f"{top}.{part}"
        spec = PathFinder.find_spec(top, list(spec.submodule_search_locations or ()))
    return spec.origin if spec is not None else None
