"""Parsed source files of a project: where each function, class and top-level name is written."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from types import CodeType

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda


class SourceFile:
    """One file, parsed once.

    Examples
    --------
    >>> file = SourceFile(Path("x.py"), "LIMIT = 3\\ndef f():\\n    return LIMIT\\n")
    >>> [type(node).__name__ for node in file.bindings["LIMIT"]]
    ['Assign']
    """

    def __init__(self, path: Path, text: str) -> None:
        self.path = path
        self.text = text
        self.tree = ast.parse(text, str(path))
        self.lines = text.splitlines()

    @cached_property
    def functions(self) -> dict[tuple[str, int], list[Definition]]:
        """Functions by name and first line, which is that of the first decorator; lambdas are called ``<lambda>``."""
        found: dict[tuple[str, int], list[Definition]] = {}
        for node in ast.walk(self.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                line = min([node.lineno, *(each.lineno for each in node.decorator_list)])
                found.setdefault((node.name, line), []).append(node)
            elif isinstance(node, ast.Lambda):
                found.setdefault(("<lambda>", node.lineno), []).append(node)
        return found

    @cached_property
    def classes(self) -> dict[str, ast.ClassDef]:
        """Classes by qualified name."""
        return dict(_classes(self.tree, ""))

    @cached_property
    def bindings(self) -> dict[str, list[ast.stmt]]:
        """Top-level statements by each name that they bind, also those inside of ``if``, ``try``, ``with`` and loops."""
        found: dict[str, list[ast.stmt]] = {}
        for statement in statements(self.tree.body):
            for name in _bound(statement):
                found.setdefault(name, []).append(statement)
        return found

    @cached_property
    def imports(self) -> dict[str, str]:
        """Modules by the top-level names that absolute imports bind."""
        found: dict[str, str] = {}
        for statement in statements(self.tree.body):
            if isinstance(statement, ast.Import):
                for alias in statement.names:
                    found[alias.asname or alias.name.partition(".")[0]] = alias.name
            elif isinstance(statement, ast.ImportFrom) and statement.level == 0 and statement.module:
                for alias in statement.names:
                    found[alias.asname or alias.name] = statement.module
        return found

    @cached_property
    def codes(self) -> dict[tuple[str, int], list[CodeType]]:
        """What the file compiles to now, by qualified name and first line."""
        found: dict[tuple[str, int], list[CodeType]] = {}
        waiting = [compile(self.text, str(self.path), "exec", dont_inherit=True)]
        while waiting:
            code = waiting.pop()
            found.setdefault((code.co_qualname, code.co_firstlineno), []).append(code)
            waiting.extend(each for each in code.co_consts if isinstance(each, CodeType))
        return found

    def segment(self, node: ast.AST, *, limit: int = 1500) -> str:
        """Source text of a node, cut at a number of characters."""
        first = min([getattr(node, "lineno", 1), *(each.lineno for each in getattr(node, "decorator_list", []))])
        text = "\n".join(self.lines[first - 1 : getattr(node, "end_lineno", first)])
        return text if len(text) <= limit else text[:limit] + " ..."


def statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Statements that run when a module is imported, those inside of compound statements too; not the script part."""
    for statement in body:
        if isinstance(statement, ast.If) and (_is_script_test(statement.test) or _is_checker_test(statement.test)):
            yield from statements(statement.orelse)
            continue
        yield statement
        for name in ("body", "orelse", "finalbody"):
            if isinstance(statement, ast.If | ast.Try | ast.TryStar | ast.With | ast.For | ast.While):
                yield from statements(getattr(statement, name, []))
        for handler in getattr(statement, "handlers", []):
            yield from statements(handler.body)


def _is_script_test(test: ast.expr) -> bool:
    return isinstance(test, ast.Compare) and isinstance(test.left, ast.Name) and test.left.id == "__name__"


def _is_checker_test(test: ast.expr) -> bool:
    """``TYPE_CHECKING``: what stands under it never runs."""
    return (isinstance(test, ast.Name) and test.id == "TYPE_CHECKING") or (
        isinstance(test, ast.Attribute) and test.attr == "TYPE_CHECKING"
    )


def _classes(node: ast.AST, prefix: str) -> Iterator[tuple[str, ast.ClassDef]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef):
            yield prefix + child.name, child
            yield from _classes(child, f"{prefix}{child.name}.")
        elif isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _classes(child, f"{prefix}{child.name}.<locals>.")
        else:
            yield from _classes(child, prefix)


def _bound(statement: ast.stmt) -> Iterator[str]:
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield statement.name
    elif isinstance(statement, ast.Import | ast.ImportFrom):
        for alias in statement.names:
            yield alias.asname or alias.name.partition(".")[0]
    elif isinstance(statement, ast.If | ast.Try | ast.TryStar | ast.While):
        return  # their parts are statements of their own
    else:
        for node in ast.walk(statement):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store | ast.Del):
                yield node.id
