"""Load a project: read ``tidewheel.toml``, import the definitions, collect what they declare."""

from __future__ import annotations

import ast
import importlib
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType

from tidewheel.errors import Invalid, NotFound, TidewheelError
from tidewheel.fingerprint.import_source import import_source
from tidewheel.ledger.definition import Declaration, NodeId, collecting
from tidewheel.project.configuration import Configuration, parse_configuration
from tidewheel.project.graph import Graph

FILE = "tidewheel.toml"


@dataclass(frozen=True, slots=True)
class Project:
    """A loaded project.

    ``modules`` are the imported modules of the definitions, by name.
    """

    root: Path
    configuration: Configuration
    graph: Graph
    modules: tuple[str, ...]


def find_root(start: Path) -> Path:
    """The nearest folder, from ``start`` upwards, that holds ``tidewheel.toml``.

    Raises
    ------
    NotFound
        When there is none.
    """
    start = start.resolve()
    for folder in (start, *start.parents):
        if (folder / FILE).is_file():
            return folder
    raise NotFound(
        f"no {FILE} in {start} or above", where=str(start), fix="cd into a project, or make one: tidewheel init NAME"
    )


def read_configuration(root: Path) -> Configuration:
    """Read and check ``tidewheel.toml``."""
    try:
        tree = tomllib.loads((root / FILE).read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Invalid(f"{FILE} is not TOML: {error}", where=str(root / FILE), fix="mend the line that is named") from error
    return parse_configuration(tree)


def load_project(root: Path) -> Project:
    """Import the project's definitions afresh and collect what they declare.

    Modules of the project that are loaded already are forgotten first, so the answer is what the files say now. The
    folder stays on ``sys.path``, since functions of the project may import later.

    Raises
    ------
    Invalid
        When a definition file does not import; the message names the file and line at fault.
    """
    configuration = read_configuration(root)
    names = configuration.definitions or tuple(_guess(root, configuration.project))
    if not names:
        raise NotFound(
            f"no definitions in {root}",
            where=str(root / FILE),
            fix=f"make a package {configuration.project}/, or list modules: definitions = [...]",
        )
    _forget(root)
    for name in [name for name in sys.modules if name.partition(".")[0] in {each.partition(".")[0] for each in names}]:
        del sys.modules[name]  # another project of this process with a package of the same name
    text = str(root)
    sys.path[:] = [text, *(place for place in sys.path if place != text)]
    importlib.invalidate_caches()
    import_source(root)
    with collecting() as declared:
        modules = tuple(module.__name__ for name in names for module in _import_all(root, name))
    return Project(root, configuration, Graph.of(_gated([_relative(root, declaration) for declaration in declared])), modules)


@contextmanager
def isolated(root: Path) -> Iterator[None]:
    """Import from another copy of the project without disturbing this process's own.

    On leaving, ``sys.path`` and the project's modules are as before; functions loaded inside keep working on their own globals.
    """
    tops = {path.stem for path in root.iterdir() if path.suffix == ".py" or path.is_dir()}
    path = list(sys.path)
    kept = {name: module for name, module in sys.modules.items() if name.partition(".")[0] in tops}
    for name in kept:
        del sys.modules[name]
    try:
        yield
    finally:
        sys.path[:] = path
        for name in [name for name in sys.modules if name.partition(".")[0] in tops]:
            del sys.modules[name]
        sys.modules.update(kept)


def _guess(root: Path, project: str) -> Iterator[str]:
    if (root / project).is_dir() and any((root / project).glob("*.py")):
        yield project
        return
    for path in sorted(root.glob("*.py")):
        if _mentions_tidewheel(path):
            yield path.stem


def _mentions_tidewheel(path: Path) -> bool:
    try:
        tree = ast.parse(path.read_text())
    except SyntaxError:
        return True
    imports = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    names = {alias.name for node in imports if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in imports if isinstance(node, ast.ImportFrom)}
    return any(name.partition(".")[0] == "tidewheel" for name in names)


def _forget(root: Path) -> None:
    for name, module in list(sys.modules.items()):
        if name == "__main__":
            continue  # a script of the project that is running
        file = getattr(module, "__file__", None)
        paths = list(getattr(module, "__path__", [])) if file is None else [file]
        if any(_is_project_file(root, Path(path)) for path in paths):
            del sys.modules[name]


def _is_project_file(root: Path, path: Path) -> bool:
    if not path.is_absolute() or not path.is_relative_to(root):
        return False
    return not any(part in {"site-packages", ".venv", "venv"} for part in path.relative_to(root).parts)


def _import_all(root: Path, name: str) -> Iterator[ModuleType]:
    module = _import(root, name)
    yield module
    for folder in getattr(module, "__path__", []):
        for path in sorted(Path(folder).glob("*.py")):
            if path.stem not in {"__init__", "__main__"}:
                yield _import(root, f"{name}.{path.stem}")


def _import(root: Path, name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except TidewheelError as error:
        place = place_of(root, error)
        if place is not None:
            error.at(place)
        raise
    except (Exception, SystemExit) as error:  # the user's module may raise anything; it is told with its place
        raise Invalid(
            f"{name} does not import: {type(error).__name__}: {error}",
            where=place_of(root, error) or name,
            fix="mend that line; nothing was planned or changed",
        ) from error


def place_of(root: Path, error: BaseException) -> str | None:
    """The innermost line of the project that an error came through; ``None`` when it came through none."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}"
    place, trace = None, error.__traceback__
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if _is_project_file(root, Path(file)):
            place = f"{Path(file).relative_to(root)}:{trace.tb_lineno}"
        trace = trace.tb_next
    return place


@contextmanager
def own_code(root: Path, name: str) -> Iterator[None]:
    """Tell what the project's own code raises in the block with its place, as an error of Tidewheel.

    Raises
    ------
    Invalid
        Instead of what came through a line of the project. What did not is ours, and is raised as it is.
    """
    try:
        yield
    except TidewheelError:
        raise
    except Exception as error:  # the user's code may raise anything
        place = place_of(root, error)
        if place is None:
            raise
        told = f": {error}" if str(error) else ""
        fix = "mend it and run again: what was finished is found, and not done twice"
        raise Invalid(f"{name} failed: {type(error).__name__}{told}", where=place, fix=fix) from error


def _gated(declared: list[Declaration]) -> list[Declaration]:
    """A deployment needs the gates of its model, though neither definition names the other."""
    gates: dict[NodeId, tuple[NodeId, ...]] = {}
    for declaration in declared:
        if declaration.kind == "gate":
            for model in declaration.upstream:
                gates[model] = (*gates.get(model, ()), declaration.id)
    linked = []
    for declaration in declared:
        if declaration.kind == "deployment":
            needed = dict.fromkeys(
                [*declaration.upstream, *(gate for model in declaration.upstream for gate in gates.get(model, ()))]
            )
            declaration = replace(declaration, upstream=tuple(needed))
        linked.append(declaration)
    return linked


def _relative(root: Path, declaration: Declaration) -> Declaration:
    file, _, line = declaration.where.rpartition(":")
    path = Path(file)
    if not path.is_relative_to(root):
        return declaration
    return replace(declaration, where=f"{path.relative_to(root)}:{line}")
