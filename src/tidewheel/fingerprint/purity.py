"""What a function that must answer from its arguments alone may not do: keep state, read files, settings, clocks or chance.

A step of a pipeline may draw with a seed and read files that are followed. A transform runs on each request and for each row of
a training set, in any order and in many processes, so what it remembers or looks up would differ between the two.
"""

from __future__ import annotations

import ast
import random
import re
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tidewheel.fingerprint.lint import Finding, findings, names_of
from tidewheel.fingerprint.live import Cells
from tidewheel.fingerprint.origin import module_origin
from tidewheel.fingerprint.patterns import Kind
from tidewheel.fingerprint.reach import Reached
from tidewheel.fingerprint.units import Unit

_PATTERNS: tuple[tuple[Kind, re.Pattern[str]], ...] = (
    ("clock", re.compile(r"time\.(monotonic|perf_counter|process_time|thread_time|clock_gettime)(_ns)?")),
    ("file", re.compile(r"builtins\.(open|print|input)|(_?io|os|posix|codecs|gzip|bz2|lzma|zipfile|tarfile)\.(fd)?open")),
    ("file", re.compile(r"(os|posix)\.(listdir|scandir|walk|l?stat|access|read|write|remove|unlink|mkdir|makedirs|getcwd)")),
    ("file", re.compile(r"(os\.path|posixpath|genericpath)\.(l?exists|is(file|dir|link)|getsize|realpath|abspath|expanduser)")),
    ("file", re.compile(r"pathlib(\._local)?\.(Posix|Windows)?Path(\.\w+)*|(glob|shutil|tempfile|fileinput|sqlite3)\.\w+")),
    ("file", re.compile(r"numpy(\.\w+)*\.(load|save|savez|loadtxt|savetxt|genfromtxt|fromfile)|pandas(\.\w+)*\.read_\w+")),
    ("environment", re.compile(r"os\.(environb?(\.\w+)*|getenvb?)|sys\.argv")),
    (
        "identity",
        re.compile(r"builtins\.(hash|id)|os\.get(p|pp|t)?(id|uid|gid)|platform\.\w+|threading\.(get_ident|current_thread)"),
    ),
    ("random", re.compile(r"random\.(?!Random$)[a-z]\w*|numpy\.random\.(?!default_rng$)[a-z]\w*|(os|posix)\.urandom")),
)
_BUILTINS = frozenset({"open", "print", "input", "hash", "id"})
_CHANGES = frozenset(
    (
        *("append", "appendleft", "extend", "insert", "add", "update", "setdefault", "pop", "popleft", "popitem", "remove"),
        *("discard", "clear", "sort", "reverse", "write", "writelines", "__setitem__", "__setattr__", "put", "send"),
    )
)
"""Methods that change what they are called on."""

_MAKERS = frozenset({"__init__", "__new__", "__post_init__", "__setstate__"})
_MUTABLE = (list, dict, set, bytearray)

Spaces = tuple[Mapping[str, object], ...]


def impurities(reached: Reached) -> list[Finding]:
    """What of the code that a walk reached depends on more than its arguments, in order of place."""
    found = set(findings(reached))
    kept = _instances(reached)
    for label, unit, spaces in reached.units:
        found.update(_named(unit, spaces))
        found.update(_held(unit, spaces))
        for node in unit.nodes:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                method = label.rpartition(".")[0] in kept and node.name not in _MAKERS
                found.update(Finding("state", name, _place(unit, line)) for name, line in _Changes.of(node, spaces, method))
    return sorted(found, key=lambda each: (each.where or "", each.name))


def _place(unit: Unit, line: int) -> str | None:
    return f"{unit.where.rpartition(':')[0]}:{line}" if unit.where else None


def _named(unit: Unit, spaces: Spaces) -> Iterator[Finding]:
    """Names of what reads files, settings, clocks, chance."""
    names = names_of(unit.normal.lines, spaces)
    for chain, line in unit.normal.lines.items():
        if chain[0] in _BUILTINS and not any(chain[0] in space for space in spaces):
            names.append((f"builtins.{chain[0]}", line))
    for name, line in names:
        for kind, pattern in _PATTERNS:
            if pattern.fullmatch(name):
                yield Finding(kind, name, _place(unit, line))
                break


def _held(unit: Unit, spaces: Spaces) -> Iterator[Finding]:
    """Values that the code shares with others and that change when they are used, or may."""
    for chain, line in unit.normal.lines.items():
        for space in spaces:
            if chain[0] in space:
                value = space[chain[0]]
                closed = isinstance(space, Cells) and isinstance(value, _MUTABLE)
                if closed or _moves(value):
                    yield Finding("state", chain[0], _place(unit, line))
                elif type(value).__name__ == "_Environ":
                    yield Finding("environment", chain[0], _place(unit, line))
                break


def _moves(value: object) -> bool:
    """Whether using a value changes it: an iterator, a generator of random numbers."""
    if isinstance(value, type | types.ModuleType):
        return False
    return isinstance(value, random.Random | Iterator) or type(value).__module__.startswith("numpy.random")


def _instances(reached: Reached) -> frozenset[str]:
    """Classes of which the code shares an instance with others."""
    values = [value for _, _, value in reached.bindings]
    kinds = {kind for value in values if not isinstance(value, type) for kind in type(value).__mro__}
    return frozenset(f"{kind.__module__}.{kind.__qualname__}" for kind in kinds)


@dataclass(frozen=True, slots=True)
class _Changes:
    """Changes that a function makes to what is not its own."""

    own: frozenset[str]
    aliases: Mapping[str, str]
    spaces: Spaces

    @classmethod
    def of(cls, node: ast.FunctionDef | ast.AsyncFunctionDef, spaces: Spaces, method: bool) -> Iterator[tuple[str, int]]:
        """Names with lines.

        Parameters
        ----------
        method
            Of an object that others hold too, so that what it does to itself counts.
        """
        inside = list(ast.walk(node))
        outer = {name for each in inside if isinstance(each, ast.Global | ast.Nonlocal) for name in each.names}
        stored = {name for each in inside if each is not node for name in _bound(each)}
        parameters = [each.arg for one in inside if isinstance(one, ast.arguments) for each in _parameters(one)]
        shared = {name for one in inside if isinstance(one, ast.arguments) for name in _kept_defaults(one)}
        first = parameters[0] if method and parameters else None
        own = frozenset((stored | set(parameters)) - outer - shared - {first})
        aliases = {
            each.targets[0].id: each.value.id
            for each in inside
            if isinstance(each, ast.Assign)
            and len(each.targets) == 1
            and isinstance(each.targets[0], ast.Name)
            and isinstance(each.value, ast.Name)
            and each.value.id not in own
        }
        return cls(own, aliases, spaces)._in(inside, outer & stored)

    def _in(self, inside: list[ast.AST], outer: set[str]) -> Iterator[tuple[str, int]]:
        for each in inside:
            if isinstance(each, ast.Name) and each.id in outer and isinstance(each.ctx, ast.Store | ast.Del):
                yield each.id, each.lineno
            elif isinstance(each, ast.AugAssign) and isinstance(each.target, ast.Name) and each.target.id in self.aliases:
                if isinstance(self._value(ast.Name(self.aliases[each.target.id])), _MUTABLE):
                    yield from self._foreign(each.target, each.lineno)
            elif isinstance(each, ast.Attribute | ast.Subscript) and isinstance(each.ctx, ast.Store | ast.Del):
                yield from self._foreign(each.value, each.lineno)
            elif isinstance(each, ast.Call) and isinstance(each.func, ast.Attribute) and self._changes(each.func):
                yield from self._foreign(each.func.value, each.lineno)

    def _changes(self, method: ast.Attribute) -> bool:
        """Whether a method changes its object, by its name; code of the project is looked at itself."""
        value = self._value(method.value)
        if method.attr not in _CHANGES or isinstance(value, type | types.ModuleType):
            return False
        kind = type(value)
        return not (
            isinstance(getattr(kind, method.attr, None), types.FunctionType) and module_origin(kind.__module__) == "project"
        )

    def _foreign(self, node: ast.expr, line: int) -> Iterator[tuple[str, int]]:
        while isinstance(node, ast.Attribute | ast.Subscript):
            node = node.value
        if isinstance(node, ast.Name) and (node.id not in self.own or node.id in self.aliases):
            yield self.aliases.get(node.id, node.id), line

    def _value(self, node: ast.expr) -> object:
        """What an expression is, as far as that is known before the code runs."""
        if isinstance(node, ast.Attribute):
            return getattr(self._value(node.value), node.attr, None)
        if isinstance(node, ast.Name) and node.id not in self.own:
            return next((space[node.id] for space in self.spaces if node.id in space), None)
        return None


def _bound(node: ast.AST) -> Iterator[str]:
    """Names that a piece of code binds by itself, less parameters and imports."""
    if isinstance(node, ast.Name):
        found = node.id if isinstance(node.ctx, ast.Store | ast.Del) else None
    elif isinstance(
        node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    ):
        found = node.name
    else:
        found = node.rest if isinstance(node, ast.MatchMapping) else None
    if found is not None:
        yield found


def _parameters(one: ast.arguments) -> list[ast.arg]:
    rest = [each for each in (one.vararg, one.kwarg) if each is not None]
    return [*one.posonlyargs, *one.args, *one.kwonlyargs, *rest]


def _kept_defaults(one: ast.arguments) -> set[str]:
    """Parameters whose default is an object that all calls share."""
    positional = [*one.posonlyargs, *one.args]
    pairs = [
        *zip(reversed(positional), reversed(one.defaults), strict=False),
        *zip(one.kwonlyargs, one.kw_defaults, strict=True),
    ]
    return {parameter.arg for parameter, default in pairs if isinstance(default, ast.List | ast.Dict | ast.Set | ast.Call)}
