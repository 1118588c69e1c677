"""The walk from a live function to everything of the project that it can reach."""

from __future__ import annotations

import builtins
import code as interactive
import functools
import importlib
import importlib.machinery
import importlib.util
import os
import pkgutil
import posix
import re
import runpy
import sys
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from tidewheel.digest import digest, digest_bytes
from tidewheel.fingerprint.known import Cache
from tidewheel.fingerprint.live import MISSING, Cells, functions_of, is_loaded_library, is_made, name_of, registered
from tidewheel.fingerprint.normal import Chain, Normal
from tidewheel.fingerprint.origin import module_origin, origin
from tidewheel.fingerprint.recipe import Component
from tidewheel.fingerprint.record import plain_of
from tidewheel.fingerprint.units import Text, Unit, Units
from tidewheel.fingerprint.values import CODE as _CODE
from tidewheel.fingerprint.values import Opaque, describe, is_plain

Space = Mapping[str, object]

_ANNOTATION_READERS = frozenset(
    {"get_type_hints", "__annotations__", "get_annotations", "signature", "getfullargspec", "fields"}
)
_DOC_READERS = frozenset({"__doc__", "getdoc"})
_SOURCE_READERS = frozenset(
    (
        *("getsource", "getsourcelines", "getsourcefile", "findsource", "getcomments", "getframeinfo", "extract_stack"),
        *("f_lineno", "tb_lineno", "co_firstlineno", "co_positions", "co_lines", "format_stack", "format_exc"),
    )
)
_WHOLE_MODULE: tuple[object, ...] = (globals, eval, exec)
_IMPORTERS: tuple[object, ...] = (importlib.import_module, __import__)
_EVERYTHING: tuple[object, ...] = (
    *(importlib.util.spec_from_file_location, importlib.machinery.SourceFileLoader),  # load a file by its path
    *(pkgutil.iter_modules, pkgutil.walk_packages, pkgutil.resolve_name),
    *(runpy.run_module, runpy.run_path, eval, exec),
    *(interactive.InteractiveInterpreter, interactive.InteractiveConsole, interactive.interact),
)
"""Reach any code by a name or a text that is only known when they are called."""

_STATELESS = frozenset(
    {"_thread", "threading", "contextvars", "_contextvars", "weakref", "logging", "queue", "_queue", "asyncio"}
)
"""Where opaque objects come from that hold no data of their own: locks, queues, context variables."""

_CLASS_NOISE = frozenset(
    f"__{name}__"
    for name in (
        *("dict", "weakref", "doc", "module", "annotations", "qualname", "firstlineno", "static_attributes", "slots"),
        *("dataclass_fields", "dataclass_params", "match_args", "abstractmethods", "orig_bases", "parameters"),
        *("new_member", "annotate", "annotate_func", "annotations_cache", "conditional_annotations"),
    )
)
"""What Python or dataclasses derive from a class's body, which is followed itself. So are an enum's ``_names_``."""


@dataclass(frozen=True, slots=True)
class Unloaded:
    """A library's module, or a name in one, that the code imports when it runs."""

    name: str


@dataclass(slots=True)
class Reached:
    """What a walk found, and what must still hold for it to be true."""

    parts: dict[str, dict[str, Component]] = field(default_factory=dict)
    links: dict[str, dict[str, str]] = field(default_factory=dict)
    units: list[tuple[str, Unit, tuple[Space, ...]]] = field(default_factory=list)
    libraries: dict[str, str] = field(default_factory=dict)
    environment: set[str] = field(default_factory=set)
    bindings: list[tuple[Space, str, object]] = field(default_factory=list)
    mutable: list[tuple[object, bytes]] = field(default_factory=list)
    codes: list[tuple[types.FunctionType, types.CodeType]] = field(default_factory=list)
    opaque: list[tuple[str, str | None]] = field(default_factory=list)
    met: list[tuple[object, str | None]] = field(default_factory=list)
    modules: set[str] = field(default_factory=set)
    caches: list[Cache] = field(default_factory=list)
    reads_annotations: bool = False
    reads_text: Text = "code"
    whole_project: str | None = None

    def add(self, name: str, value: str, *, where: str | None = None, note: str | None = None) -> None:
        """Record one component; several of one name are kept apart and combined at the end."""
        self.parts.setdefault(name, {})[value] = Component(value, where, note)


class Reach:
    """One walk. It keeps every object that it has seen alive, so that identities mean something."""

    def __init__(self, units: Units, *, roots: Sequence[str] = ()) -> None:
        self.units = units
        self._roots = roots
        self.reached = Reached()
        self._seen: dict[int, object] = {}
        self._queue: list[Callable[[], None]] = []
        self._touched = self.reached.modules
        self._identifying: set[int] = set()
        self._imported: set[str] = set()
        self._place: str | None = None

    def run(self, functions: Iterable[object]) -> Reached:
        """Follow all functions to the end."""
        for function in functions:
            self.visit(function, getattr(function, "__qualname__", type(function).__name__))
        self._drain()
        if self.reached.reads_annotations:
            for label, unit, spaces in list(self.reached.units):
                self._chains(label, unit, unit.normal.annotation_chains - unit.normal.chains, spaces)
            self._drain()
        return self.reached

    def _drain(self) -> None:
        while self._queue:
            self._queue.pop()()

    # ── objects ──────────────────────────────────────────────────────────────────────────────────

    def visit(self, value: object, label: str, *, home: str | None = None) -> None:
        """Follow one object.

        Parameters
        ----------
        label
            What a constant's component is called.
        home
            Name of the module whose top-level name led here, when one did.
        """
        if is_plain(value):
            if home is None or not self._is_dunder(label):
                self._constant(value, label, home)
            return
        if id(value) in self._seen:
            return
        self._seen[id(value)] = value
        self._queue.append(functools.partial(self._dispatch, value, label, home))

    @staticmethod
    def _is_dunder(label: str) -> bool:
        return label.rpartition(".")[2] in ("__name__", "__file__", "__package__", "__spec__", "__doc__", "__builtins__")

    def _dispatch(self, value: object, label: str, home: str | None) -> None:
        if isinstance(value, types.FunctionType):
            self._function(value)
        elif isinstance(value, type):
            self._class(value)
        elif isinstance(value, types.ModuleType):
            self._module(value)
        elif isinstance(value, types.MethodType):
            self.visit(value.__func__, label)
            self.visit(value.__self__, label)
        elif isinstance(value, staticmethod | classmethod):
            self.visit(value.__func__, label)
        elif isinstance(value, property):
            for accessor in (value.fget, value.fset, value.fdel):
                if accessor is not None:
                    self.visit(accessor, label)
        elif isinstance(value, types.BuiltinFunctionType):
            self._builtin(value)
        elif isinstance(value, functools.cached_property):
            self.visit(value.func, label)
        elif isinstance(value, functools.singledispatchmethod):
            self.visit(value.func, label)
            self.visit(value.dispatcher, label)
            self._registry(value.dispatcher, label)
        elif not self._ours(value, label):
            self._constant(value, label, home)

    def _ours(self, value: object, label: str) -> bool:
        # A step or transform stands for its function; resources, owner and the like never count.
        if type(value).__module__.partition(".")[0] != "tidewheel":
            return False
        wrapped = getattr(value, "__wrapped__", None) or getattr(value, "function", None)
        if wrapped is None:
            return False
        self.visit(wrapped, label)
        return True

    def _follow(self, value: object) -> str:
        self.reached.met.append((value, self._place))
        self.visit(value, name_of(value))
        return self._identify(value)

    def _link(self, label: str, name: str, value: object) -> None:
        # Which function a name means is part of the code that uses the name: two helpers that swap their names are an edit.
        if isinstance(value, _CODE):
            self.reached.links.setdefault(label, {})[name] = self._identify(value)

    def _identify(self, value: object) -> str:
        """Name of a function, class or module, with its content where a name is not enough: lambdas, closures, methods."""
        name = name_of(value)
        # Of a method, its object: that holds methods again, and each asks for the object anew.
        key = id(value.__self__ if isinstance(value, types.MethodType) else value)
        if key in self._identifying:
            return name
        self._identifying.add(key)
        try:
            if isinstance(value, types.MethodType):
                owner = describe(value.__self__, self._follow, roots=self._roots)
                return f"{self._identify(value.__func__)} of {digest_bytes(owner)}"
            if not isinstance(value, types.FunctionType) or origin(value.__code__.co_filename) not in ("project", "virtual"):
                return name
            if "<" not in value.__qualname__:
                return name  # its content is a component of its own, and only that one is to show as changed
            text = self.units.of_code(value.__code__, value.__globals__).value(annotated=False)
            inside = [value.__defaults__, value.__kwdefaults__, dict(Cells(value))]
            return f"{name} {text} {digest_bytes(describe(inside, self._follow, roots=self._roots)) if any(inside) else ''}"
        except Opaque:
            return name
        finally:
            self._identifying.discard(key)

    def _constant(self, value: object, label: str, home: str | None) -> None:
        self._library_of(type(value))
        if is_loaded_library(value):
            self._loaded(value)
            return
        home_of = getattr(value, "__module__", None)
        if isinstance(home_of, str) and not is_plain(value) and module_origin(home_of) == "project":
            self._touch(home_of)  # a compiled function, perhaps
        where, note = self.units.binding(home, label)
        before, self._place = self._place, where or self._place
        try:
            content = digest_bytes(describe(value, self._follow, roots=self._roots))
        except Opaque:
            self._opaque(value, label, home)
            return
        finally:
            self._place = before
        if isinstance(value, functools._lru_cache_wrapper):
            self.reached.caches.append(value)
        if not is_plain(value):
            self.reached.mutable.append((value, describe(value, _identity)))
        self.reached.add(f"const:{label}", content, where=where, note=note or repr(value)[:200] if is_plain(value) else note)

    def _opaque(self, value: object, label: str, home: str | None) -> None:
        unit = self.units.of_name(home, label.rpartition(".")[2]) if home is not None else None
        self._follow(type(value))
        if type(value).__module__.partition(".")[0] not in _STATELESS:
            self.reached.opaque.append((f"{label}, a {type(value).__qualname__},", unit.where if unit is not None else None))
        if unit is None:
            self.reached.add(f"const:{label}", f"opaque {type(value).__module__}.{type(value).__qualname__}")
            return
        self._unit(label, unit, (vars(sys.modules[cast(str, home)]),))

    def _loaded(self, library: object) -> None:
        """A shared library that ``ctypes`` has loaded: the bytes of its file."""
        name = str(getattr(library, "_name", None))
        if Path(name).is_file() and origin(name) == "project":
            self.reached.add(f"code:{self.units.shown(name)}", self.units.bytes_of(name), where=name)

    def _builtin(self, value: types.BuiltinFunctionType) -> None:
        if self._special((value.__name__,), value, Normal()):
            return
        owner = value.__self__
        module = owner.__name__ if isinstance(owner, types.ModuleType) else value.__module__ or type(owner).__module__
        self._library(module or "")
        if module_origin(module or "") == "project":
            self._touch(module)
        if value.__self__ is not None and not isinstance(value.__self__, types.ModuleType):
            self.visit(value.__self__, value.__qualname__)

    # ── functions ────────────────────────────────────────────────────────────────────────────────

    def _function(self, function: types.FunctionType) -> None:
        code = function.__code__
        home = cast(str, function.__globals__.get("__name__", ""))
        whose = origin(code.co_filename)
        wrapped = getattr(function, "__wrapped__", None)
        if wrapped is not None:
            self.visit(wrapped, f"{home}.{code.co_qualname}")
        if whose in ("library", "standard", "own"):
            if not self._special((function.__name__,), function, Normal()):
                self._library(home)
                self._inside(function)
                self._registry(function, f"{home}.{code.co_qualname}")
            return
        label = f"{home}.{code.co_qualname}"
        self._touch(home)
        unit = self.units.of_code(code, function.__globals__)
        self.reached.codes.append((function, code))
        cells = Cells(function)
        for name in cells:
            self.reached.bindings.append((cells, name, cells[name]))
            self._link(label, f":{name}", cells[name])
            self.visit(cells[name], f"{label}:{name}")
        defaults = [*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()]
        for index, value in enumerate(defaults):
            if not is_plain(value):
                self._link(label, f":default{index}", value)
                self.visit(value, f"{label}:default{index}")
        if defaults and not unit.literal_defaults and all(is_plain(value) for value in defaults):
            self._constant(tuple(defaults), f"{label}:defaults", None)
        for name, value in vars(function).items():
            if name != "__wrapped__":
                self._link(label, f".{name}", value)
                self.visit(value, f"{label}.{name}")
        self._unit(label, unit, (cells, function.__globals__))

    def _inside(self, value: object, depth: int = 0) -> None:
        # What a library's wrapper holds: only the project's code in it counts, the rest is the decorator's own.
        if isinstance(value, functools.partial):
            self._inside(value.func, depth)
        elif isinstance(value, types.FunctionType) and origin(value.__code__.co_filename) not in ("project", "virtual"):
            if depth < 4:
                for part in (*Cells(value).values(), *vars(value).values()):
                    self._inside(part, depth + 1)
        elif isinstance(value, types.FunctionType | types.MethodType | type):
            if module_origin(value.__module__ or "") == "project":
                self.visit(value, value.__qualname__)
        elif isinstance(value, Mapping | list | tuple | set | frozenset) and depth < 4:
            for item in list(value.values() if isinstance(value, Mapping) else value)[:10_000]:
                self._inside(item, depth + 1)

    def _registry(self, function: object, label: str) -> None:
        """Which type a single dispatch takes to which function."""
        registry = getattr(function, "registry", None)
        if isinstance(registry, Mapping) and hasattr(function, "dispatch"):
            for kind, implementation in list(registry.items()):
                self._link(f"{label}:dispatch", name_of(kind), implementation)
                self._inside(implementation)
            if label + ":dispatch" in self.reached.links:
                self.reached.add(f"const:{label}:dispatch", digest(self.reached.links.pop(f"{label}:dispatch")))

    def _unit(self, label: str, unit: Unit, spaces: tuple[Space, ...]) -> None:
        if _names_one_of(unit, _ANNOTATION_READERS):
            self.reached.reads_annotations = True
        if _names_one_of(unit, _SOURCE_READERS):
            self.reached.reads_text = "source"
        elif self.reached.reads_text == "code" and _names_one_of(unit, _DOC_READERS):
            self.reached.reads_text = "docs"
        overlay = self._local_imports(unit, spaces)
        self.reached.units.append((label, unit, (overlay, *spaces)))
        self._chains(label, unit, unit.normal.chains, (overlay, *spaces))

    def _local_imports(self, unit: Unit, spaces: tuple[Space, ...]) -> dict[str, object]:
        overlay: dict[str, object] = {}
        for module_name, name, alias in unit.local_imports(cast("str | None", spaces[-1].get("__package__"))):
            module = self._import(module_name)
            if module is None:
                overlay[alias or name or module_name.partition(".")[0]] = Unloaded(
                    f"{module_name}.{name}" if name else module_name
                )
                continue
            if name is None:
                top = module if alias is not None else sys.modules[module_name.partition(".")[0]]
                overlay[alias or module_name.partition(".")[0]] = top
                self._library(module_name)
            elif name == "*":
                overlay.update({key: value for key, value in vars(module).items() if not key.startswith("_")})
            else:
                value = self._attribute(module, name, module_origin(module_name) == "project")
                if not isinstance(value, types.ModuleType):  # of a module only what the code uses counts
                    self._resolve((module_name, name), module, Normal())
                overlay[alias or name] = value
        return {key: value for key, value in overlay.items() if value is not MISSING}

    def _import(self, name: str) -> types.ModuleType | None:
        if name.partition(".")[0] in sys.stdlib_module_names:
            return importlib.import_module(name)
        if not self.units.is_project_module(name):
            # Its version is enough. Importing a library here would cost seconds, and looking whether somebody else has
            # imported it already would make a recipe that depends on what this process did before.
            self._library(name)
            return None
        if name in sys.modules:
            return sys.modules[name]
        try:
            return importlib.import_module(name)
        except ImportError:
            return None  # absent now; when it comes, it comes as a new component

    # ── names ────────────────────────────────────────────────────────────────────────────────────

    def _chains(self, label: str, unit: Unit, chains: Iterable[Chain], spaces: tuple[Space, ...]) -> None:
        for chain in sorted(chains):
            root = chain[0]
            if unit.roots is not None and root not in unit.roots and root not in spaces[0]:
                continue
            if root in unit.imported:
                self._library(unit.imported[root])
            for space in spaces:
                value = space.get(root, MISSING)
                if isinstance(value, Unloaded):
                    break
                if value is not MISSING:
                    self.reached.bindings.append((space, root, value))
                    found = self._resolve(chain, value, unit.normal, home=cast("str | None", space.get("__name__")))
                    if isinstance(value, types.ModuleType) and module_origin(value.__name__) != "project":
                        found = value  # whether a library's submodule is loaded by now must not count; the chain is in the text
                    self._link(label, ".".join(chain), found)
                    break
            else:
                self._unknown(label, chain, unit, spaces)

    def _unknown(self, label: str, chain: Chain, unit: Unit, spaces: tuple[Space, ...]) -> None:
        home = cast(str, spaces[-1].get("__name__", ""))
        value = getattr(builtins, chain[0], MISSING)
        if value is MISSING:
            self.reached.bindings.append((spaces[-1], chain[0], MISSING))
        elif any(value is each for each in _WHOLE_MODULE):
            if home in sys.modules:
                self.visit(sys.modules[home], home)
            self._special(chain, value, unit.normal)
        elif value is __import__:
            self._dynamic_import(chain, unit.normal, unit.where)
        elif isinstance(value, types.FunctionType | type) and module_origin(value.__module__) == "project":
            self._link(label, chain[0], value)  # put there by the project
            self.visit(value, chain[0])

    def _resolve(self, chain: Chain, value: object, normal: Normal, *, home: str | None = None) -> object:
        """Go down a dotted name as far as modules go, visit what is there, and answer it."""
        rest = list(chain[1:])
        name = chain[0]
        while isinstance(value, types.ModuleType):
            whose = module_origin(value.__name__)
            if whose in ("library", "own"):
                self._library(value.__name__)
            if not rest:
                if whose == "project":
                    self.visit(value, value.__name__)
                return value
            if whose == "project":
                self._touch(value.__name__)
            module, home, name = value, value.__name__, rest.pop(0)
            value = self._attribute(value, name, whose == "project")
            if value is MISSING:
                if whose == "project" and name.startswith("__"):
                    self.visit(module, module.__name__)  # its dict, perhaps, through which any name is reached
                return None
        if self._special(chain, value, normal):
            return value
        if rest and rest[0] == "__subclasses__" and isinstance(value, type):
            self._subclasses(value)
        if home is not None and module_origin(home) != "project":
            self._library(home)
            if not isinstance(value, types.FunctionType | type):
                return value
        if home is not None:
            self.visit(value, f"{home}.{name}", home=home)
        elif not is_plain(value):  # of closures, classes and local imports; plain ones were visited under their full names
            self.visit(value, name)
        return value

    def _attribute(self, module: types.ModuleType, name: str, project: bool) -> object:
        space = vars(module)
        if name not in space and project:
            if "__path__" in space:
                self._import(f"{module.__name__}.{name}")
            if "__getattr__" in space:
                self.visit(space["__getattr__"], f"{module.__name__}.__getattr__")
                self.visit(module, module.__name__)
        value = plain_of(space.get(name, MISSING))
        if project:
            self.reached.bindings.append((space, name, value))
        return value

    def _special(self, chain: Chain, value: object, normal: Normal) -> bool:
        if value is getattr(posix, "environ", None):
            self.reached.environment.add("*")
            return True
        if any(value is each for each in (os.environ, os.environb, os.getenv, os.getenvb)):
            for used, names in normal.literals.items():
                if used[: len(chain)] == chain or chain[: len(used)] == used:
                    self.reached.environment.update(names)
            return True
        if value is sys.modules or any(value is each for each in _EVERYTHING):
            self.reached.whole_project = ".".join(chain)
            return True
        if value is importlib.util.find_spec:
            self._dynamic_import(chain, normal, ".".join(chain), load=False)
            return True
        if any(value is each for each in _IMPORTERS):
            self._dynamic_import(chain, normal, ".".join(chain))
            return True
        return False

    def _dynamic_import(self, chain: Chain, normal: Normal, where: str | None, *, load: bool = True) -> None:
        names = set(normal.literals.get(chain, ()))
        if chain in normal.dynamic or not names:
            self.reached.whole_project = where or ".".join(chain)
            names |= {
                text for text in normal.strings if text.replace(".", "").isidentifier() and self.units.is_project_module(text)
            }
        for name in sorted(names):
            if name.startswith("."):
                self.reached.whole_project = where or ".".join(chain)
                continue
            if not load:
                found = self.units.is_project_module(name) or module_origin(name) in ("standard", "own")
                self._library(name)
                self.reached.add(f"module:{name}", "there" if found else "no such module of the project")
                continue
            module = self._import(name)
            if module is not None:
                self._resolve((name,), module, Normal())

    def _subclasses(self, kind: type) -> None:
        subclasses: list[type] = kind.__subclasses__()
        for each in subclasses:
            self.visit(each, each.__qualname__)
            self._subclasses(each)

    # ── classes ──────────────────────────────────────────────────────────────────────────────────

    def _class(self, kind: type) -> None:
        if module_origin(kind.__module__) != "project" and not is_made(kind):
            self._library(kind.__module__)
            return
        self._touch(kind.__module__)
        label = f"{kind.__module__}.{kind.__qualname__}"
        for base in (*kind.__mro__[1:], type(kind)):
            self._follow(base)
        functions: list[types.FunctionType] = []
        state: list[tuple[str, object]] = []
        for name, value in vars(kind).items():
            if name in _CLASS_NOISE or name == "_abc_impl" or re.fullmatch(r"_[a-z][a-z0-9_]*_", name):
                continue
            found = list(functions_of(value))
            functions.extend(found)
            for function in found:
                self.visit(function, f"{label}.{name}")
            self.reached.bindings.append((vars(kind), name, value))
            self._link(label, name, value)
            if not (found or isinstance(value, types.FunctionType | property)):
                state.append((name, value))
        for name, value in state:
            if isinstance(value, types.MemberDescriptorType | types.GetSetDescriptorType):
                continue
            self.visit(value, f"{label}.{name}")
        for one in registered(kind):
            self._link(label, f"registered {name_of(one)}", one)
            self._follow(one)
        module = sys.modules.get(kind.__module__)
        space = vars(module) if module is not None else {}
        unit = self.units.of_class(kind, functions, space)
        self._unit(label, unit, (vars(kind), space))

    # ── modules and libraries ────────────────────────────────────────────────────────────────────

    def _module(self, module: types.ModuleType) -> None:
        name = module.__name__
        if module_origin(name) != "project":
            self._library(name)
            return
        self._touch(name)
        for key, value in list(vars(module).items()):
            if key.startswith("__") and key.endswith("__"):
                continue
            self.reached.bindings.append((vars(module), key, value))
            if isinstance(value, types.ModuleType) and module_origin(value.__name__) != "project":
                self._library(value.__name__)
            else:
                self.visit(value, f"{name}.{key}", home=name)

    def _touch(self, name: str) -> None:
        """Record what a project's module does on import to the world outside, and the bytes of one that is compiled."""
        if name in self._touched:
            return
        self._touched.add(name)
        module = sys.modules.get(name)
        file = getattr(module, "__file__", None)
        if not isinstance(module, types.ModuleType) or file is None or module_origin(name) != "project":
            return
        if not file.endswith((".py", ".pyc")):
            self.reached.add(f"code:{name}", self.units.bytes_of(file), where=file)
            return
        for unit in self.units.effects(module):
            self._unit(f"{name}:statements", unit, (vars(module),))
        self._on_import(module)

    def _on_import(self, module: types.ModuleType) -> None:
        """What the modules that a module imports do when they are imported, such as a patch of a library."""
        for name in self.units.imported_modules(module):
            imported = sys.modules.get(name)
            if name not in self._imported and isinstance(imported, types.ModuleType) and module_origin(name) == "project":
                self._imported.add(name)
                if name not in self._touched:
                    for unit in self.units.effects(imported):
                        self._unit(f"{name}:statements", unit, (vars(imported),))
                self._on_import(imported)

    def _library_of(self, kind: type) -> None:
        whose = module_origin(kind.__module__)
        if whose in ("library", "own"):
            self._library(kind.__module__)
        elif whose == "project":
            self._follow(kind)

    def _library(self, module: str) -> None:
        if module.partition(".")[0] == "tidewheel":
            self.reached.libraries["tidewheel"] = self.units.distributions.version("tidewheel") or "unknown"
            return
        if module and module_origin(module) == "project" and module in sys.modules:
            return
        self.reached.libraries.update(self.units.distributions.reached(module))


def still_holds(reached: Reached) -> bool:
    """Whether every name that a walk went through still means the same object, and every mutable constant the same value."""
    for space, name, value in reached.bindings:
        if space.get(name, MISSING) is not value:
            return False
    for function, code in reached.codes:
        if function.__code__ is not code:
            return False
    try:
        return all(describe(value, _identity) == content for value, content in reached.mutable)
    except Opaque:
        return False


def _names_one_of(unit: Unit, names: frozenset[str]) -> bool:
    return bool(unit.normal.attributes & names) or any(chain[-1] in names for chain in unit.normal.chains)


def _identity(value: object) -> str:
    return f"{name_of(value)}#{id(getattr(value, '__func__', value))}"


def combine(values: Mapping[str, Component]) -> Component:
    """One component for all the things of one name, such as several closures over one function."""
    if len(values) == 1:
        return next(iter(values.values()))
    first = values[min(values)]
    return Component(digest(sorted(values)), first.where, first.note)
