"""Which installed distribution a module belongs to, its version, and what it requires in turn."""

from __future__ import annotations

import importlib.metadata as metadata
import re
import sys
from collections.abc import Mapping
from functools import cached_property

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_EXTRA = re.compile(r"""extra\s*==""")


def normal_name(name: str) -> str:
    """A distribution's name in its one normal spelling (PEP 503).

    Examples
    --------
    >>> normal_name("Scikit_Learn")
    'scikit-learn'
    """
    return re.sub(r"[-_.]+", "-", name).lower()


class Distributions:
    """Versions of the libraries that code can reach.

    Parameters
    ----------
    lock
        Versions by distribution from a lock file; they take the place of the installed ones.
    """

    def __init__(self, lock: Mapping[str, str] | None = None) -> None:
        self._lock = {normal_name(name): version for name, version in (lock or {}).items()}
        self._owners: dict[str, tuple[str, ...]] = {}
        self._versions: dict[str, str | None] = {}
        self._closures: dict[str, tuple[str, ...]] = {}

    def owners(self, module: str) -> tuple[str, ...]:
        """Distributions that a module's top-level package comes from; empty for the standard library and for none."""
        top = module.partition(".")[0]
        if top in sys.stdlib_module_names or top == "__main__":
            return ()
        if top not in self._owners:
            direct = self._same_name(top)
            self._owners[top] = direct or tuple(sorted({normal_name(name) for name in self._packages.get(top, ())}))
        return self._owners[top]

    def reached(self, module: str) -> dict[str, str]:
        """Versions of a module's distributions and of all that these require, by name."""
        found: dict[str, str] = {}
        for owner in self.owners(module):
            for name in self._closure(owner):
                found[name] = self.version(name) or "absent"
        return found

    def version(self, name: str) -> str | None:
        """Locked or else installed version of a distribution."""
        if name in self._lock:
            return self._lock[name]
        if name not in self._versions:
            try:
                self._versions[name] = metadata.version(name)
            except metadata.PackageNotFoundError:
                self._versions[name] = None
        return self._versions[name]

    @cached_property
    def _packages(self) -> Mapping[str, list[str]]:
        return metadata.packages_distributions()

    def _same_name(self, top: str) -> tuple[str, ...]:
        # Mapping every module costs 0.1 s; most distributions are called like their module and say so.
        try:
            files = metadata.distribution(top).read_text("RECORD") or ""
        except metadata.PackageNotFoundError:
            return ()
        return (normal_name(top),) if re.search(rf"^{re.escape(top)}(/|\.py,|\.[\w.-]*so,)", files, re.MULTILINE) else ()

    def _closure(self, name: str) -> tuple[str, ...]:
        if name not in self._closures:
            seen, waiting = {name}, [name]
            while waiting:
                for required in self._requirements(waiting.pop()):
                    if required not in seen and self.version(required) is not None:
                        seen.add(required)
                        waiting.append(required)
            self._closures[name] = tuple(sorted(seen))
        return self._closures[name]

    @staticmethod
    def _requirements(name: str) -> list[str]:
        try:
            texts = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            return []
        names = []
        for text in texts:
            match = _NAME.match(text)
            if match is not None and not _EXTRA.search(text.partition(";")[2]):
                names.append(normal_name(match.group(0)))
        return names
