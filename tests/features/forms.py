"""Both forms of a kernel: as it is imported, and its source interpreted."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from tidewheel.features import kernel


def interpreted(name: str, **beside: ModuleType) -> ModuleType:
    """A kernel's source, interpreted, beside whatever form is imported; it imports the kernels ``beside`` as they are given."""
    path = Path(kernel.__file__).with_name(f"{name}.py")
    spec = importlib.util.spec_from_file_location(f"interpreted_{name}", path)
    assert spec is not None and spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    others = {f"tidewheel.features.{other}": module for other, module in beside.items()}
    before = {other: sys.modules[other] for other in others}
    sys.modules.update(others)
    try:
        spec.loader.exec_module(made)
    finally:
        sys.modules.update(before)
    assert not made.COMPILED
    return made
