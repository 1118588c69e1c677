"""The fingerprint of functions: walk what they reach, and name every part."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tidewheel.digest import digest
from tidewheel.fingerprint.distributions import Distributions
from tidewheel.fingerprint.known import Known
from tidewheel.fingerprint.lint import Finding, findings, seeds
from tidewheel.fingerprint.purity import impurities
from tidewheel.fingerprint.reach import Reach, Reached, combine, still_holds
from tidewheel.fingerprint.recipe import Component
from tidewheel.fingerprint.units import Units
from tidewheel.fingerprint.verify_reads import environment_value

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"

_MOST_KEPT = 4096


class Fingerprinter:
    """Finds the components of functions: code, constants, libraries, environment variables, Python's version.

    The walk is over the live objects, so a name means what it means when the code runs: through re-exports, star imports,
    registries, partials and closures. The text of each part is the syntax of its source, normalised. What was walked once
    is kept, and used again for as long as every name on the way still means the same object.

    Parameters
    ----------
    root
        The project's folder; places are shown relative to it.
    lock
        Versions by distribution from the project's lock file, in place of the installed ones.
    movable
        Let the project's folder, where constants name it, stand for itself wherever it lies. Two copies of a project are then
        the same code; recipes are made without this, for a result may well hold the name of a folder.

    Examples
    --------
    >>> from pathlib import Path
    >>> def double(x):
    ...     return 2 * x
    >>> sorted(Fingerprinter(Path(".")).components([double]))
    ['code:tidewheel.fingerprint.walk.double', 'python']
    """

    def __init__(self, root: Path, lock: Mapping[str, str] | None = None, *, movable: bool = False) -> None:
        self.root = root
        # The longer name first, so that none is replaced within another.
        self._roots = sorted({str(root.absolute()), str(root.resolve())}, key=len, reverse=True) if movable else []
        self._units = Units(root, Distributions(lock))
        self._findings: dict[int, tuple[Reached, list[Finding]]] = {}
        self._known: dict[int, tuple[Reached, Known]] = {}
        self._kept: dict[tuple[int, ...], tuple[tuple[object, ...], Reached, dict[str, Component]]] = {}

    def components(self, functions: Sequence[object]) -> dict[str, Component]:
        """Components of functions, classes and other callables together, by name.

        Returns
        -------
        ``code:module.name``, ``const:module.name``, ``lib:distribution``, ``env:NAME`` and ``python``, in order of names.
        """
        key = tuple(id(each) for each in functions)
        kept = self._kept.get(key)
        if kept is None or not still_holds(kept[1]):
            if len(self._kept) >= _MOST_KEPT:  # each keeps its modules alive, also those that were loaded afresh since
                self._kept.clear()
                self._findings.clear()
                self._known.clear()
            reached = Reach(self._units, roots=self._roots).run(functions)
            kept = self._kept[key] = (tuple(functions), reached, self._static(reached))
        _, reached, static = kept
        if not reached.environment and reached.whole_project is None:
            return dict(static)
        found = dict(static)
        for name in reached.environment:
            found[f"env:{name}"] = Component(environment_value(name) or "absent", note="an environment variable")
        if reached.whole_project is not None:
            note = f"{reached.whole_project} can reach any module of the project"
            found["code:*"] = Component(self._units.whole_project(), None, note)
        return dict(sorted(found.items()))

    def reached(self, functions: Sequence[object]) -> Reached:
        """What a walk finds, in full; the lint reads it."""
        self.components(functions)
        return self._kept[tuple(id(each) for each in functions)][1]

    def findings(self, functions: Sequence[object]) -> list[Finding]:
        """What the functions and all that they reach use that cannot be followed."""
        reached = self.reached(functions)
        known = self._findings.get(id(reached))
        if known is None or known[0] is not reached:
            known = self._findings[id(reached)] = (reached, findings(reached))
        return known[1]

    def known(self, functions: Sequence[object]) -> Known:
        """What those who watch the functions run must know of them."""
        reached = self.reached(functions)
        told = self._known.get(id(reached))
        if told is None or told[0] is not reached:
            names = frozenset(label for label, _, _ in reached.units)
            told = self._known[id(reached)] = (reached, Known(names, seeds(reached), tuple(reached.caches)))
        return told[1]

    def impurities(self, functions: Sequence[object]) -> list[Finding]:
        """What they depend on besides their arguments, the findings too: see :mod:`tidewheel.fingerprint.purity`."""
        return impurities(self.reached(functions))

    @staticmethod
    def _static(reached: Reached) -> dict[str, Component]:
        parts = {name: dict(values) for name, values in reached.parts.items()}
        for label, unit, _ in reached.units:
            value = unit.value(annotated=reached.reads_annotations, text=reached.reads_text)
            links = reached.links.get(label)
            if links:
                value = digest([value, links])
            parts.setdefault(f"code:{label}", {})[value] = Component(value, unit.where, unit.note)
        found = {name: combine(values) for name, values in parts.items()}
        for name, version in reached.libraries.items():
            found[f"lib:{name}"] = Component(version, note=f"{name} {version}")
        found["python"] = Component(PYTHON, note=f"Python {PYTHON}")
        return dict(sorted(found.items()))
