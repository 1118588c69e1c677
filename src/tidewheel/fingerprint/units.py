"""Units of code: the normal form of each function, class and top-level statement that a walk reaches, made once."""

from __future__ import annotations

import ast
import importlib.util
import os
import sys
import types
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import Literal, cast

from tidewheel.digest import Digest, digest, digest_bytes
from tidewheel.fingerprint.distributions import Distributions
from tidewheel.fingerprint.import_source import FromSource
from tidewheel.fingerprint.normal import Normal, chain_of, normalise
from tidewheel.fingerprint.origin import module_origin, origin
from tidewheel.fingerprint.source import SourceFile, statements

Text = Literal["code", "docs", "source"]
"""What of its own text the code reads when it runs: nothing, docstrings, or the file with its lines and comments."""

LocalImport = tuple[str, str | None, str | None]
"""Module, name in it or ``None`` for the module itself, alias."""


@dataclass(slots=True)
class Unit:
    """One piece of code.

    ``roots`` are the names that the code can look up outside of itself, or ``None`` when any name may be one; ``imported`` the
    modules that its file's import statements bind.
    """

    normal: Normal
    where: str | None = None
    note: str | None = None
    roots: frozenset[str] | None = None
    imported: Mapping[str, str] = field(default_factory=dict)
    literal_defaults: bool = True
    values: dict[bool, Digest] = field(default_factory=dict)
    nodes: Sequence[ast.AST] = ()
    source: SourceFile | None = None

    def value(self, *, annotated: bool, text: Text = "code") -> Digest:
        """Digest of the normal form, with what else the code reads of its own text."""
        if annotated not in self.values:
            self.values[annotated] = digest_bytes((self.normal.annotated if annotated else self.normal.text).encode())
        if text == "code" or self.source is None:
            return self.values[annotated]
        read = self.source.text if text == "source" else [_docstring(self.source.tree), *_docstrings(self.nodes)]
        return digest([self.values[annotated], read])

    def local_imports(self, package: str | None) -> Iterator[LocalImport]:
        """Import statements inside of the code, with relative ones resolved."""
        for node in self.normal.imports:
            if isinstance(node, ast.Import):
                for alias in node.names:
                    yield alias.name, None, alias.asname
                continue
            module = node.module or ""
            if node.level:
                if not package:
                    continue
                module = importlib.util.resolve_name("." * node.level + module, package)
            for alias in node.names:
                yield module, alias.name, alias.asname


class Units:
    """Makes units, and keeps them for as long as the code objects and files that they come from."""

    def __init__(self, root: Path, distributions: Distributions) -> None:
        self.root = root.resolve()
        self.distributions = distributions
        self._sources: dict[str, tuple[tuple[int, int], SourceFile | None]] = {}
        self._codes: dict[types.CodeType, Unit] = {}
        self._classes: dict[tuple[int, frozenset[int]], tuple[ast.ClassDef, Unit]] = {}
        self._effects: dict[int, tuple[SourceFile, list[Unit]]] = {}
        self._imports: dict[int, tuple[SourceFile, list[str]]] = {}
        self._names: dict[tuple[int, str], tuple[SourceFile, Unit]] = {}
        self._normals: dict[int, tuple[SourceFile, Digest]] = {}
        self._files: dict[str, tuple[tuple[int, int], Digest]] = {}
        self._tops: dict[str, bool] = {}

    def of_code(self, code: types.CodeType, space: dict[str, object]) -> Unit:
        """Unit of a live function; of its bytecode when its file is gone or was edited after the import."""
        key = code
        if key not in self._codes:
            source = self.source(code.co_filename)
            nodes = source.functions.get((code.co_name, code.co_firstlineno), []) if source is not None else []
            if source is None or not nodes or not self._is_current(source, code, space):
                self._codes[key] = _bytecode(code)
            else:
                self._codes[key] = self._of_nodes(source, cast("list[ast.AST]", nodes), space, roots=_roots(code, nodes))
                self._codes[key].literal_defaults = all(_literal_defaults(node) for node in nodes)
        return self._codes[key]

    def of_class(self, kind: type, functions: Collection[types.FunctionType], space: dict[str, object]) -> Unit:
        """Unit of a class without those of its methods that were found alive and so have units of their own."""
        source = self.source(getattr(sys.modules.get(kind.__module__), "__file__", None) or "")
        node = source.classes.get(kind.__qualname__) if source is not None else None
        if source is None or node is None:
            found = self.of_name(kind.__module__, kind.__qualname__.partition(".")[0])
            return found or Unit(Normal(text=f"class {kind.__qualname__}", annotated=f"class {kind.__qualname__}"))
        lines = {(function.__code__.co_name, function.__code__.co_firstlineno) for function in functions}
        covered = frozenset(id(each) for line in lines for each in source.functions.get(line, ()))
        known = self._classes.get((id(node), covered))
        if known is None:
            known = (node, self._of_nodes(source, [node], space, covered=covered))
            self._classes[id(node), covered] = known
        return known[1]

    def of_name(self, home: str, name: str) -> Unit | None:
        """Unit of the top-level statements of a module that bind a name."""
        module = sys.modules.get(home)
        source = self.source(getattr(module, "__file__", None) or "")
        if module is None or source is None or name not in source.bindings:
            return None
        known = self._names.get((id(source), name))
        if known is None:
            nodes = cast("list[ast.AST]", source.bindings[name])
            known = (source, self._of_nodes(source, nodes, vars(module)))
            self._names[id(source), name] = known
        return known[1]

    def effects(self, module: types.ModuleType) -> list[Unit]:
        """Statements that call into libraries on import, such as ``np.random.seed(1)``."""
        source = self.source(module.__file__ or "")
        if source is None:
            return []
        known = self._effects.get(id(source))
        if known is None:
            found = [node for node in statements(source.tree.body) if _is_effect(node, vars(module))]
            known = (source, [self._of_nodes(source, [node], vars(module)) for node in found])
            self._effects[id(source)] = known
        return known[1]

    def imported_modules(self, module: types.ModuleType) -> Sequence[str]:
        """Modules that a module's own statements import, by name; not those for type checkers only."""
        source = self.source(module.__file__ or "")
        if source is None:
            return ()
        known = self._imports.get(id(source))
        if known is None:
            found: list[str] = []
            for node in statements(source.tree.body):
                if isinstance(node, ast.Import):
                    found += [alias.name for alias in node.names]
                elif isinstance(node, ast.ImportFrom):
                    package = str(vars(module).get("__package__") or "")
                    name = node.module or ""
                    if node.level and package:
                        name = importlib.util.resolve_name("." * node.level + name, package)
                    found += [name, *(f"{name}.{alias.name}" for alias in node.names)]
            known = self._imports[id(source)] = (source, found)
        return known[1]

    def binding(self, home: str | None, label: str) -> tuple[str | None, str | None]:
        """Where a top-level name is bound, and the statement."""
        source = self.source(getattr(sys.modules.get(home or ""), "__file__", None) or "")
        found = source.bindings.get(label.rpartition(".")[2]) if source is not None else None
        if source is None or not found:
            return None, None
        return self.place(source, found[-1]), source.segment(found[-1], limit=300)

    def place(self, source: SourceFile, node: ast.AST) -> str:
        """``file:line`` of a node, relative to the project's root where it lies in it."""
        path = source.path
        shown = path.relative_to(self.root) if path.is_relative_to(self.root) else path
        return f"{shown}:{getattr(node, 'lineno', 1)}"

    def shown(self, filename: str) -> str:
        """A file's name, relative to the project's root where it lies in it."""
        path = Path(filename).resolve()
        return str(path.relative_to(self.root) if path.is_relative_to(self.root) else path)

    def source(self, filename: str) -> SourceFile | None:
        """A parsed file, as it is on disk now; ``None`` when it is not there or is not Python's text."""
        if not filename or filename.startswith("<") or not filename.endswith(".py"):
            return None
        try:
            stat = Path(filename).stat()
        except OSError:
            return None
        state = (stat.st_mtime_ns, stat.st_size)
        known = self._sources.get(filename)
        if known is None or known[0] != state:
            path = Path(filename).resolve()
            try:
                made = SourceFile(path, path.read_text(encoding="utf-8"))
            except (SyntaxError, UnicodeDecodeError, OSError):
                made = None
            self._sources[filename] = known = (state, made)
        return known[1]

    def bytes_of(self, filename: str) -> Digest:
        """Digest of a file's bytes, kept per size and time of change."""
        stat = Path(filename).stat()
        state = (stat.st_mtime_ns, stat.st_size)
        known = self._files.get(filename)
        if known is None or known[0] != state:
            self._files[filename] = known = (state, digest_bytes(Path(filename).read_bytes()))
        return known[1]

    def is_project_module(self, name: str) -> bool:
        """Whether a module that may not be loaded yet belongs to the project; only its top package is looked up."""
        top = name.partition(".")[0]
        if top in sys.modules:
            return module_origin(top) == "project"
        if top not in self._tops:
            try:
                spec = importlib.util.find_spec(top) if top.isidentifier() else None
            except (ImportError, ValueError):
                spec = None
            place = spec and (spec.origin or next(iter(spec.submodule_search_locations or ()), None))
            self._tops[top] = bool(place) and place not in ("built-in", "frozen") and origin(str(place)) == "project"
        return self._tops[top]

    def whole_project(self) -> Digest:
        """Digest of the normal form of every Python file below the root, and of compiled modules."""
        found: dict[str, str] = {}
        for folder, names, files in os.walk(self.root):
            names[:] = sorted(name for name in names if not self._is_foreign(Path(folder, name)))
            for file in files:
                path = str(Path(folder, file))
                source = self.source(path)
                if source is not None:
                    found[path] = self._normal_file(source)
                elif file.endswith((".py", ".so", ".pyd")):
                    found[path] = self.bytes_of(path)
        return digest({os.path.relpath(path, self.root): text for path, text in found.items()})

    def _normal_file(self, source: SourceFile) -> Digest:
        known = self._normals.get(id(source))
        if known is None:
            text = normalise([source.tree], transparent=lambda _: False).text
            known = self._normals[id(source)] = (source, digest_bytes(text.encode("utf-8", "surrogatepass")))
        return known[1]

    @staticmethod
    def _is_foreign(folder: Path) -> bool:
        name = folder.name
        hidden = name.startswith(".") or name in ("__pycache__", "node_modules", "site-packages", "dist-packages")
        return hidden or (folder / "pyvenv.cfg").exists()

    def _of_nodes(
        self,
        source: SourceFile,
        nodes: list[ast.AST],
        space: dict[str, object],
        *,
        roots: frozenset[str] | None = None,
        covered: frozenset[int] = frozenset(),
    ) -> Unit:
        normal = normalise(nodes, transparent=lambda node: _is_ours(node, space), covered=covered)
        note = "\n".join(source.segment(node) for node in nodes)
        place = self.place(source, nodes[0])
        return Unit(normal, place, note, roots, self._imported(source), nodes=nodes, source=source)

    @staticmethod
    def _imported(source: SourceFile) -> Mapping[str, str]:
        return {name: module for name, module in source.imports.items() if module_origin(module) == "library"}

    @staticmethod
    def _is_current(source: SourceFile, code: types.CodeType, space: dict[str, object]) -> bool:
        loader = getattr(space.get("__spec__"), "loader", None) or space.get("__loader__")
        if type(loader) not in (SourceFileLoader, FromSource):
            return True  # compiled in a way of its own (pytest rewrites asserts), so there is nothing to compare with
        return code in source.codes.get((code.co_qualname, code.co_firstlineno), ())


def _is_ours(node: ast.expr, space: Mapping[str, object]) -> bool:
    chain = chain_of(node.func if isinstance(node, ast.Call) else node)
    value = space.get(chain[0]) if chain is not None else None
    name = value.__name__ if isinstance(value, types.ModuleType) else getattr(value, "__module__", None)
    return isinstance(name, str) and name.partition(".")[0] == "tidewheel"


def _is_effect(node: ast.stmt, space: Mapping[str, object]) -> bool:
    target: ast.AST
    if isinstance(node, ast.Expr):
        target = node.value
    elif isinstance(node, ast.Assign | ast.AugAssign):
        target = node.targets[0] if isinstance(node, ast.Assign) else node.target
        if not isinstance(target, ast.Attribute | ast.Subscript):
            return False
    else:
        return False
    while isinstance(target, ast.Call | ast.Attribute | ast.Subscript):
        target = target.func if isinstance(target, ast.Call) else target.value
    if not isinstance(target, ast.Name):
        return False
    value = space.get(target.id)
    name = value.__name__ if isinstance(value, types.ModuleType) else getattr(value, "__module__", None)
    return isinstance(name, str) and module_origin(name) in ("library", "standard")


def _docstrings(nodes: Iterable[ast.AST]) -> list[str | None]:
    return [_docstring(each) for node in nodes for each in ast.walk(node)]


def _docstring(node: ast.AST) -> str | None:
    if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        return ast.get_docstring(node, clean=False)
    return None


def _roots(code: types.CodeType, nodes: list[ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda]) -> frozenset[str]:
    names = set(_names(code)) | set(code.co_freevars)
    for node in nodes:
        outside: list[ast.AST | None] = [*node.args.defaults, *node.args.kw_defaults]
        if not isinstance(node, ast.Lambda):
            outside += [*node.decorator_list, node.returns]
            outside += [arg.annotation for arg in ast.walk(node.args) if isinstance(arg, ast.arg)]
        for each in outside:
            if each is not None:
                names |= {part.id for part in ast.walk(each) if isinstance(part, ast.Name)}
    return frozenset(names)


def _names(code: types.CodeType) -> Iterator[str]:
    yield from code.co_names
    for const in code.co_consts:
        if isinstance(const, types.CodeType):
            yield from _names(const)


def _literal_defaults(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> bool:
    return all(each is None or isinstance(each, ast.Constant) for each in [*node.args.defaults, *node.args.kw_defaults])


def _bytecode(code: types.CodeType) -> Unit:
    def shown(each: types.CodeType) -> str:
        consts = [shown(const) if isinstance(const, types.CodeType) else repr(const) for const in each.co_consts]
        return repr((each.co_code, each.co_names, each.co_varnames[: each.co_argcount + each.co_kwonlyargcount], consts))

    text = shown(code)
    names = frozenset(_names(code)) | frozenset(code.co_freevars)
    normal = Normal(text, text, {(name,) for name in names}, attributes=set(names))
    normal.strings = {const for const in code.co_consts if isinstance(const, str)}
    note = "(bytecode: there is no source file with this code, or it was edited after the import)"
    return Unit(normal, f"{code.co_filename}:{code.co_firstlineno}", note, names, {}, literal_defaults=False)
