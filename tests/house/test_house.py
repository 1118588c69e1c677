"""The house style, executed: every rule here is checked on the source as it is."""

from __future__ import annotations

import ast
import functools
import importlib
import re
import subprocess
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "tidewheel"
MODULES = sorted(SOURCE.rglob("*.py"))
T = TypeVar("T", bound=ast.AST)
NOUNS = {
    *("ports", "database", "artifacts", "fingerprint", "ledger", "access", "sources", "features", "datasets", "runs"),
    *(
        "pipelines",
        "models",
        "predictions",
        "serving",
        "monitors",
        "triggers",
        "releases",
        "project",
        "cli",
        "web",
        "backends",
        "testing",
    ),
}
FORBIDDEN_FOLDERS = {"utils", "helpers", "common", "core", "misc"}
FORBIDDEN_CLASS_ENDINGS = ("Manager", "Helper", "Service", "Handler")
MAX_LINES, MAX_BODY, MAX_METHODS, MAX_PARAMETERS, MAX_POSITIONAL = 700, 60, 20, 8, 3

# Dated exceptions, in one list that only shrinks: "path:name" -> reason.
EXCEPTIONS: dict[str, str] = {}


@functools.cache
def trees() -> tuple[tuple[Path, ast.Module], ...]:
    return tuple((path.relative_to(SOURCE), ast.parse(path.read_text())) for path in MODULES)


@functools.cache
def places() -> dict[type[ast.AST], list[tuple[Path, ast.AST]]]:
    """Every node of every module by its type: the trees are walked once for all checks."""
    found: dict[type[ast.AST], list[tuple[Path, ast.AST]]] = defaultdict(list)
    for path, tree in trees():
        for node in ast.walk(tree):
            found[type(node)].append((path, node))
    return found


def nodes(kind: type[T]) -> Iterator[tuple[Path, T]]:
    for path, node in places().get(kind, []):
        assert isinstance(node, kind)
        yield path, node


def functions() -> Iterator[tuple[Path, ast.FunctionDef | ast.AsyncFunctionDef]]:
    yield from nodes(ast.FunctionDef)
    yield from nodes(ast.AsyncFunctionDef)


def body_length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def test_no_new_top_level_folder_without_a_place_in_the_layers() -> None:
    folders = {path.name for path in SOURCE.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert folders == NOUNS


def test_no_folder_or_class_is_named_after_nothing() -> None:
    found = [str(path.relative_to(SOURCE)) for path in SOURCE.rglob("*") if path.stem in FORBIDDEN_FOLDERS]
    found += [
        f"{path}:{node.lineno} class {node.name}"
        for path, node in nodes(ast.ClassDef)
        if node.name.endswith(FORBIDDEN_CLASS_ENDINGS)
    ]
    assert found == []


def test_files_are_at_most_700_lines() -> None:
    checked = [
        *MODULES,
        *(ROOT / "tests").rglob("*.py"),
        *(ROOT / "examples").rglob("*.py"),
        *(ROOT / "benchmarks").rglob("*.py"),
    ]
    assert [str(path) for path in checked if len(path.read_text().splitlines()) > MAX_LINES] == []


def test_function_bodies_are_at_most_60_lines() -> None:
    found = [
        f"{path}:{function.lineno} {function.name}: {body_length(function)} lines"
        for path, function in functions()
        if body_length(function) > MAX_BODY and f"{path}:{function.name}" not in EXCEPTIONS
    ]
    assert found == []


def test_classes_have_at_most_20_public_methods() -> None:
    found = []
    for path, node in nodes(ast.ClassDef):
        public = [f for f in node.body if isinstance(f, ast.FunctionDef) and not f.name.startswith("_") and not _property(f)]
        if len(public) > MAX_METHODS:
            found.append(f"{path}:{node.lineno} {node.name}: {len(public)}")
    assert found == []


def _property(function: ast.FunctionDef) -> bool:
    """An attribute, not a verb."""
    return any(
        ast.unparse(decorator).rpartition(".")[2] in {"property", "cached_property"} for decorator in function.decorator_list
    )


def test_functions_take_at_most_8_parameters_and_keywords_after_the_second() -> None:
    found = []
    for path, function in functions():
        if any(ast.unparse(decorator).startswith(("click.", "admin.")) for decorator in function.decorator_list):
            continue  # click hands a command its options by keyword
        if any(ast.unparse(decorator) == "overload" for decorator in function.decorator_list):
            continue  # a type of the function below, which is looked at itself
        arguments = function.args
        positional = [a.arg for a in [*arguments.posonlyargs, *arguments.args] if a.arg not in {"self", "cls"}]
        total = len(positional) + len(arguments.kwonlyargs)
        private = function.name.startswith("_")
        too_many = total > MAX_PARAMETERS and not _declares(function)
        too_positional = not private and len(positional) > MAX_POSITIONAL
        if (too_many or too_positional) and f"{path}:{function.name}" not in EXCEPTIONS:
            found.append(f"{path}:{function.lineno} {function.name}: {total} parameters, {len(positional)} positional")
    assert found == []


def _declares(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """A definition function such as ``tw.source`` is a form that its user fills in by keyword: it may have more fields."""
    calls = [node for node in ast.walk(function) if isinstance(node, ast.Call)]
    return any(isinstance(call.func, ast.Name) and call.func.id == "declare" for call in calls)


def test_ports_have_3_to_7_methods_and_no_any() -> None:
    found = []
    for path in (SOURCE / "ports").glob("*.py"):
        text = path.read_text()
        if re.search(r"\bAny\b|\*\*kwargs", text):
            found.append(f"{path.name}: Any or **kwargs")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ClassDef) and any(isinstance(b, ast.Name) and b.id == "Protocol" for b in node.bases):
                methods = [f for f in node.body if isinstance(f, ast.FunctionDef)]
                if len(methods) > 7:
                    found.append(f"{path.name} {node.name}: {len(methods)} methods")
    assert found == []


def test_inner_modules_never_import_the_package_itself() -> None:
    whole = [f"{path}:{n.lineno}" for path, n in nodes(ast.Import) if any(alias.name == "tidewheel" for alias in n.names)]
    parts = [f"{path}:{n.lineno}" for path, n in nodes(ast.ImportFrom) if n.module == "tidewheel" or n.level > 0]
    assert [*whole, *parts] == []


def test_only_project_reads_the_environment() -> None:
    subject = {
        "fingerprint/record.py",  # what a step reads of the environment is part of its recipe
        "fingerprint/verify_reads.py",  # and what it is now
        "fingerprint/reach.py",  # the same, seen in its code
        "pipelines/serve.py",  # a job's own variables are set around it
        "testing/executor.py",  # what a job sees of its variables
    }
    found = []
    for path, node in nodes(ast.Attribute):
        if path.parts[0] == "project" or str(path) in subject:
            continue
        if node.attr in {"environ", "getenv"} and isinstance(node.value, ast.Name):
            found.append(f"{path}:{node.lineno} os.{node.attr}")
    assert [place for place in found if place.split()[0] not in EXCEPTIONS] == []


def test_broad_excepts_are_at_process_edges_only() -> None:
    edges = {
        *("cli", "web"),  # the command's and the server's outermost loops
        "pipelines/serve.py",  # the worker's outermost loop: a step may raise anything
        "pipelines/execute.py",  # the same, in process
        "pipelines/secrets.py",  # the same: what a step raises may hold its secrets, and another error is raised for it
        "project/emit_lineage.py",  # a library's client may raise anything in its own thread, and work goes on without it
        "pipelines/run_sweep.py",  # a trial may raise anything, and the others go on
        "backends/inprocess/executor.py",  # the same
        "triggers/work.py",  # the outermost loop of a worker of tasks: what a task runs may raise anything
        "project/load.py",  # a user's module may raise anything on import
        "features/transform.py",  # a user's transform may raise anything on a row
        "serving/answer.py",  # a user's model may raise anything on a batch
    }
    found = []
    for path, node in nodes(ast.ExceptHandler):
        if node.type is None or (isinstance(node.type, ast.Name) and node.type.id in {"Exception", "BaseException"}):
            reraises = any(isinstance(inner, ast.Raise) and inner.exc is None for inner in ast.walk(node))
            if path.parts[0] not in edges and str(path) not in edges and not reraises:
                found.append(f"{path}:{node.lineno}")
    assert found == []


def test_nothing_of_ours_is_mocked() -> None:
    found = []
    words = re.compile("unittest" + r"\.mock|Magic" + r"Mock|monkeypatch\." + r"setattr\(.{0,2}tidewheel")
    for path in (ROOT / "tests").rglob("*.py"):
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if words.search(line):
                found.append(f"{path.relative_to(ROOT)}:{number}")
    assert found == []


def test_no_unfinished_work_in_the_source() -> None:
    words = re.compile(r"\bTO" + r"DO\b|\bFIX" + r"ME\b|raise NotImplemented" + "Error")
    found = [
        f"{path.relative_to(SOURCE)}:{number}"
        for path in MODULES
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if words.search(line)
    ]
    assert found == []


def test_commands_that_messages_and_docs_name_exist() -> None:
    from tidewheel.cli import cli

    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *MODULES]
    said = re.compile(r"(?:fix=f?[\"'][^\n]*?|^)tidewheel (?!to\b)([a-z]+)", re.MULTILINE)
    found = [
        f"{path.relative_to(ROOT)}: tidewheel {verb}"
        for path in pages
        for verb in said.findall(path.read_text())
        if verb not in cli.commands
    ]
    assert found == []


def test_no_host_of_a_registry_and_no_path_of_this_machine_in_the_project() -> None:
    hosts = re.compile("py" + r"pi\.org|python" + r"hosted\.org|npm" + r"js\.org|deb\.debian" + r"\.org|/root/|/wo" + "rk/")
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\n")
    found = []
    for name in tracked:
        path = ROOT / name
        # uv.lock names its registry by the lock format's own rule; there is no lock without it.
        if not path.is_file() or name == "uv.lock" or path.suffix in {".parquet", ".png"} or path == Path(__file__):
            continue
        if hosts.search(path.read_text(errors="replace")):
            found.append(name)
    assert found == []


def packages() -> list[str]:
    return [f"tidewheel.{path.name}" for path in sorted(SOURCE.iterdir()) if (path / "__init__.py").is_file()]


@pytest.mark.parametrize("package", ["tidewheel", *packages()])
def test_every_name_in_all_exists_and_says_what_it_is(package: str) -> None:
    module = importlib.import_module(package)
    assert module.__doc__, f"{package} has no paragraph that defines it"
    for name in getattr(module, "__all__", []):
        value = getattr(module, name)
        if callable(value) and getattr(value, "__module__", "").startswith("tidewheel"):
            assert value.__doc__, f"{package}.{name} has no docstring"
