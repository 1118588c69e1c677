"""What code uses that cannot be followed: files that C++ opens, the network, the clock, randomness without a seed."""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass

from tidewheel.artifacts.file import File
from tidewheel.fingerprint.normal import ANY_NAME, Chain, Normal
from tidewheel.fingerprint.patterns import ADDRESS, ATTACH, ENGINE, HARMLESS, NOW, SEEDERS, UNSEEDED, Kind, kind_of
from tidewheel.fingerprint.reach import Reached, Unloaded


@dataclass(frozen=True, slots=True)
class Finding:
    """One use of something that cannot be followed.

    Examples
    --------
    >>> str(Finding("clock", "time.time", "taxi/eta.py:12"))
    'taxi/eta.py:12: time.time reads the clock, which no recipe can hold'
    """

    kind: Kind
    name: str
    where: str | None

    @property
    def message(self) -> str:
        """What is wrong with it."""
        return f"{self.name} {_MESSAGES[self.kind]}"

    def __str__(self) -> str:
        return f"{self.where}: {self.message}"


_MESSAGES: Mapping[Kind, str] = {
    "reader": "opens files where Python does not see it: hand it a tw.File or a tw.Table, or name the files in reads=",
    "network": "reads the network, which cannot be followed: say for how long an answer holds, fresh='1h'",
    "process": "runs in another process, which cannot be followed: name what it reads in reads=, an empty list for nothing",
    "time": "tells about a file what cannot be followed, its times or the size of an entry of a listing: read what is in it",
    "clock": "reads the clock, which no recipe can hold",
    "opaque": "holds something whose content cannot be seen: build it inside of the function that uses it",
    "random": "is random without a seed: give it one",
    "state": "can change from call to call, and an answer must not depend on the calls before",
    "file": "reads or writes outside of the process",
    "environment": "reads settings of the process, which differ where it trains and where it serves",
    "identity": "is another one in each process",
}


def findings(reached: Reached) -> list[Finding]:
    """What a walk came across that cannot be followed, in order of place.

    A call that seeds a generator of a module allows that module's random functions.
    """
    names = [
        (name, line, unit.where)
        for _, unit, spaces in reached.units
        for name, line in names_of(_not_handed(unit.normal, spaces), spaces, of_instances=True)
    ]
    used = {name for name, _, _ in names}
    bare = _bare(reached)
    names += [(name, 0, unit.where) for _, unit, _ in reached.units for name in _times(unit.normal.attributes)]
    names += [(name, 0, unit.where) for _, unit, _ in reached.units for name in _models(unit.normal.attributes, used)]
    seeded = {name.rpartition(".")[0] for name in used if name in ("random.seed", "numpy.random.seed") and name not in bare}
    names += [(name, 0, where) for value, where in reached.met for name in _full_names(value)]
    if "polars" in reached.libraries or any("polars" in unit.normal.attributes for _, unit, _ in reached.units):
        names += [
            (f"polars.{draw}", line, unit.where) for _, unit, _ in reached.units for draw, line in unit.normal.draws.items()
        ]
    found = {Finding("opaque", name, where) for name, where in reached.opaque}
    for _, unit, spaces in reached.units:
        found.update(Finding(kind, name, _place(unit.where, line)) for kind, name, line in _texts(unit.normal, spaces))
    for name, line, where in names:
        if name in UNSEEDED and name in bare:
            found.add(Finding("random", name, _place(where, line)))
        if name in HARMLESS or name.rpartition(".")[0] in seeded:
            continue
        kind = kind_of(name)
        if kind is not None:
            found.add(Finding(kind, name.replace(f".{ANY_NAME}", "'s getattr"), _place(where, line)))
    return sorted(found, key=lambda each: (each.where or "", each.name))


def seeds(reached: Reached) -> bool:
    """Whether some of the code gives a seed to a generator that all code shares."""
    bare = _bare(reached)
    found = (
        name
        for _, unit, spaces in reached.units
        for name, _ in names_of(dict.fromkeys(unit.normal.handed, 1), spaces)
        if name.rpartition(".")[2] in SEEDERS
    )
    return any(name not in bare for name in found)


def _bare(reached: Reached) -> frozenset[str]:
    """What is called without an argument, or with ``None``."""
    calls = ((unit.normal.bare_calls, spaces) for _, unit, spaces in reached.units)
    return frozenset(name for bare, spaces in calls for name, _ in names_of(dict.fromkeys(bare, 1), spaces))


def _place(where: str | None, line: int) -> str | None:
    return f"{where.rpartition(':')[0]}:{line}" if where and line else where


def _models(attributes: Set[str], used: Set[str]) -> list[str]:
    """Methods that read a model from a path, of libraries that are written in C++."""
    boosted = any(name.startswith(("xgboost.", "catboost.")) for name in used)
    return ["xgboost.load_model"] if boosted and "load_model" in attributes else []


def _texts(normal: Normal, spaces: tuple[Mapping[str, object], ...]) -> Iterator[tuple[Kind, str, int]]:
    """Names and texts that are given to a call: a library by its name, the time by the word, a database by its address."""
    called = {chain: name for chain in normal.literals for name, _ in names_of({chain: 1}, spaces)}
    for chain, name in called.items():
        line = normal.lines.get(chain, 0)
        for text in sorted(normal.literals[chain]):
            if name in ("importlib.import_module", "builtins.__import__") and kind_of(f"{text}.{ANY_NAME}") is not None:
                yield "reader", text, line
            elif NOW.fullmatch(name) and text.lower() in ("now", "today"):
                yield "clock", f"{name}({text!r})", line
    for chain, line in normal.lines.items():
        name = next((name for name, _ in names_of({chain: 1}, spaces)), "")
        if ENGINE.fullmatch(name):
            given = normal.literals.get(chain, set())
            if chain in normal.dynamic or not given or not all(text.startswith("sqlite") for text in given):
                yield "network", name, line
    constants = {value for value in (_value(chain, spaces) for chain in normal.chains) if isinstance(value, str)}
    for text in sorted(normal.strings | constants):
        if ADDRESS.match(text):
            yield "network", f"the address {text.partition(':')[0]}://...", 0
        elif ATTACH.search(text):
            yield "reader", "ATTACH", 0


_FILE_TIMES = frozenset(f"st_{which}time{unit}" for which in "amc" for unit in ("", "_ns"))


def _times(attributes: Set[str]) -> list[str]:
    """Attributes that tell a file's time, or, of an entry of a listing, its size."""
    found = sorted(attributes & _FILE_TIMES)
    return [f"os.stat_result.{name}" for name in (*found, *(["st_size"] if {"scandir", "st_size"} <= attributes else []))]


def _not_handed(normal: Normal, spaces: tuple[Mapping[str, object], ...]) -> Mapping[Chain, int]:
    """Names by line, without those that are only ever called with a typed handle: what that points at is followed."""
    safe = {
        chain
        for chain, handles in normal.handed.items()
        if len(handles) == normal.mentions[chain] and all(_is_file(handle, normal, spaces) for handle in handles)
    }
    return {chain: line for chain, line in normal.lines.items() if chain not in safe} if safe else normal.lines


def _is_file(handle: Chain, normal: Normal, spaces: tuple[Mapping[str, object], ...]) -> bool:
    if not handle:
        return False
    if handle[-1] == "()":
        return _value(handle[:-1], spaces) is File
    kinds = normal.typed.get(handle[0]) if len(handle) == 1 else None
    if kinds is not None:
        return all(_value(kind, spaces) is File for kind in kinds)
    return isinstance(_value(handle, spaces), File)


def _value(chain: Chain, spaces: tuple[Mapping[str, object], ...]) -> object:
    """What a dotted name means, as far as it is known before the code runs."""
    for space in spaces:
        if chain and chain[0] in space:
            value = space[chain[0]]
            for name in chain[1:]:
                value = getattr(value, name, None) if isinstance(value, types.ModuleType) else None
            return value
    return None


def names_of(
    lines: Mapping[Chain, int], spaces: tuple[Mapping[str, object], ...], *, of_instances: bool = False
) -> list[tuple[str, int]]:
    """Full names of what some code uses, with the lines.

    Parameters
    ----------
    of_instances
        Name a method by the type of its object, where that is an object of the module.

    Examples
    --------
    >>> names_of({("types", "ModuleType"): 3}, ({"types": types},))
    [('types.ModuleType', 3)]
    """
    found = []
    for chain, line in lines.items():
        for space in spaces:
            if chain[0] in space:
                value, rest = space[chain[0]], chain[1:]
                name = _full_name(value)
                if rest and isinstance(value, type):
                    name = _name_of(next((base for base in value.__mro__ if rest[0] in vars(base)), value))
                elif rest and name is None and of_instances:
                    name = _name_of(type(value))
                found.append((".".join([name or chain[0], *rest]), line))
                break
    return found


def _name_of(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _full_names(value: object) -> list[str]:
    """Name of a function or class that was met inside of a value; none for the project's own."""
    if not isinstance(value, types.FunctionType | types.BuiltinFunctionType | types.MethodType | type):
        return []
    name = _full_name(value)
    return [] if name is None else [name]


def _full_name(value: object) -> str | None:
    if isinstance(value, types.ModuleType):
        return value.__name__
    if isinstance(value, Unloaded):
        return value.name
    owner = getattr(value, "__self__", None)
    if isinstance(value, types.BuiltinFunctionType | types.MethodType):
        if type(owner).__module__ in ("random", "numpy.random.mtrand"):
            # Functions of the random modules are methods of a hidden generator.
            return f"{type(owner).__module__.removesuffix('.mtrand')}.{value.__name__}"
        if isinstance(owner, type):
            return f"{_name_of(owner)}.{value.__name__}"
    module, name = getattr(value, "__module__", None), getattr(value, "__qualname__", None)
    return f"{module}.{name}" if isinstance(module, str) and isinstance(name, str) else None
