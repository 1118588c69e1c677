"""The state of the generators of random numbers that all code of a process shares."""

from __future__ import annotations

import random
import sys
from types import ModuleType
from typing import Any

ChanceState = dict[str, object]


def chance_state() -> ChanceState:
    """State of the shared generators that are loaded, by module.

    Examples
    --------
    >>> before = chance_state()
    >>> drew(before)
    False
    >>> _ = random.random()
    >>> drew(before)
    True
    """
    found: ChanceState = {"random": random.getstate(), "modules": len(sys.modules)}
    numpy = sys.modules.get("numpy.random")
    if numpy is not None and hasattr(numpy, "get_state"):
        found["numpy"] = _numpy(numpy)
    torch: Any = sys.modules.get("torch")
    if torch is not None and hasattr(torch, "get_rng_state"):
        found["torch"] = bytes(torch.get_rng_state().numpy())
    return found


def drew(before: ChanceState) -> bool:
    """Whether somebody has drawn from a shared generator since; of one that was not loaded then, since it was."""
    now = chance_state()
    if "numpy" in now and "numpy" not in before:
        position = now["numpy"]
        if isinstance(position, tuple) and position[1:] not in _UNUSED:
            return True
    if now.pop("modules") != before["modules"]:  # some libraries draw from Python's own generator when they are imported
        now["random"] = before["random"]
    return any(now[name] != state for name, state in before.items() if name != "modules")


_UNUSED = ((623, 0), (624, 0))
"""Where NumPy's generator stands before its first number, by version."""


def _numpy(module: ModuleType | Any) -> tuple[bytes, int, int]:
    _, keys, position, has_gauss, _ = module.get_state()
    return keys.tobytes(), position, has_gauss
