"""Normal form of syntax: what a piece of code says, without what nobody reads.

Gone are comments and formatting (the parser drops them), docstrings and other bare strings, and annotations that
nothing reads when the code runs. Kept, next to the text, are the dotted names that the code uses, so that the walk can follow
them.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

Chain = tuple[str, ...]
"""A dotted name: ``("np", "random", "seed")``."""

ANY_NAME = "*"
"""Last part of a name that is only known when the code runs."""

INERT = frozenset(
    (
        *(
            "staticmethod",
            "classmethod",
            "property",
            "cached_property",
            "abstractmethod",
            "override",
            "overload",
            "contextmanager",
        ),
        *("lru_cache", "cache", "wraps", "setter", "getter", "deleter", "final"),
    )
)
"""Decorators, by last name, that do not read annotations."""

_SKIPPED = frozenset({"ctx", "kind", "type_comment", "type_ignores", "lineno", "col_offset", "end_lineno", "end_col_offset"})


@dataclass(slots=True)
class Normal:
    """Normal form of one unit of code.

    ``text`` leaves annotations out and ``annotated`` holds them; the walk takes the second when something in the closure reads
    annotations. ``literals`` are first arguments and subscripts that are constant strings, by the name that is called or
    subscripted; ``bare_calls`` are calls with no first argument, or ``None``; ``lines`` says where a name is first used;
    ``strings`` are all constant strings; ``imports`` the import statements inside functions. ``handed`` tells of each call
    what its first argument is, when that is a name or the ``path`` of one; ``mentions`` how often a name occurs; ``typed``
    what makes or annotates a local name; ``draws`` are lines of calls of methods that draw by chance, and are given no seed.
    """

    text: str = ""
    annotated: str = ""
    chains: set[Chain] = field(default_factory=set)
    annotation_chains: set[Chain] = field(default_factory=set)
    literals: dict[Chain, set[str]] = field(default_factory=dict)
    dynamic: set[Chain] = field(default_factory=set)
    bare_calls: set[Chain] = field(default_factory=set)
    lines: dict[Chain, int] = field(default_factory=dict)
    strings: set[str] = field(default_factory=set)
    attributes: set[str] = field(default_factory=set)
    imports: list[ast.Import | ast.ImportFrom] = field(default_factory=list)
    handed: dict[Chain, list[Chain]] = field(default_factory=dict)
    mentions: dict[Chain, int] = field(default_factory=dict)
    typed: dict[str, set[Chain]] = field(default_factory=dict)
    draws: dict[str, int] = field(default_factory=dict)


def chain_of(node: ast.AST) -> Chain | None:
    """The dotted name that an expression is, if it is one.

    Examples
    --------
    >>> chain_of(ast.parse("a.b.c", mode="eval").body)
    ('a', 'b', 'c')
    >>> chain_of(ast.parse("a().b", mode="eval").body) is None
    True
    """
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return None
    parts.append(node.id)
    return tuple(reversed(parts))


def normalise(nodes: list[ast.AST], *, transparent: Callable[[ast.expr], bool], covered: Container[int] = ()) -> Normal:
    """Normal form of some statements or expressions, in their order.

    Parameters
    ----------
    transparent
        Whether a decorator says nothing about the result, as ours do: they are left out.
    covered
        ``id`` of definitions that have a component of their own; only their names are kept.

    Examples
    --------
    >>> one = ast.parse("def f(x: int):\\n    'doc'\\n    return x + 1  # more").body
    >>> two = ast.parse("def f(x): return (x+1)").body
    >>> normalise(one, transparent=lambda d: False).text == normalise(two, transparent=lambda d: False).text
    True
    """
    normal = Normal()
    plain = _Writer(normal, transparent, covered, annotations=False)
    full = _Writer(normal, transparent, covered, annotations=True)
    for node in nodes:
        plain.write(node)
        full.write(node)
    normal.text, normal.annotated = "".join(plain.out), "".join(full.out)
    return normal


class _Writer:
    def __init__(
        self, normal: Normal, transparent: Callable[[ast.expr], bool], covered: Container[int], *, annotations: bool
    ) -> None:
        self.normal = normal
        self.transparent = transparent
        self.covered = covered
        self.annotations = annotations
        self.chains = normal.annotation_chains if annotations else normal.chains
        self.out: list[str] = []

    def write(self, node: object) -> None:
        """Append the normal form of a node, a list or a plain value."""
        if isinstance(node, ast.AST):
            special = _SPECIAL.get(type(node))
            if special is not None:
                special(self, node)
            else:
                self._generic(node)
        elif isinstance(node, list):
            self.out.append("[")
            for item in node:
                self.write(item)
                self.out.append(",")
            self.out.append("]")
        else:
            self.out.append(repr(node))

    def _generic(self, node: ast.AST) -> None:
        self.out.append(type(node).__name__ + "(")
        for name in node._fields:
            if name not in _SKIPPED:
                value = getattr(node, name, None)
                if name == "body" and isinstance(value, list):
                    self._statements(value)
                else:
                    self.write(value)
                self.out.append(",")
        self.out.append(")")

    def _statements(self, body: list[ast.stmt], *, reads_annotations: bool | None = None) -> None:
        self.out.append("[")
        for statement in body:
            if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
                continue  # a docstring, or a bare string used as a comment
            if isinstance(statement, ast.Pass):
                continue
            if isinstance(statement, ast.AnnAssign):
                if statement.value is None and not reads_annotations and not self.annotations:
                    continue
                self._annotated_assignment(statement, bool(reads_annotations))
            else:
                self.write(statement)
            self.out.append(",")
        self.out.append("]")

    def _annotated_assignment(self, node: ast.AnnAssign, keep: bool) -> None:
        if keep or self.annotations:
            self._generic(node)
        elif node.value is not None:
            self.out.append("Assign([")
            self.write(node.target)
            self.out.append(",],")
            self.write(node.value)
            self.out.append(",)")

    def _annotated_statement(self, node: ast.AnnAssign) -> None:
        self._annotated_assignment(node, False)

    def _decorators(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> bool:
        kept = [each for each in node.decorator_list if not self.transparent(each)]
        self.write(kept)
        names = [chain_of(each.func if isinstance(each, ast.Call) else each) for each in kept]
        return any(name is None or name[-1] not in INERT for name in names)

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self.out.append(f"{type(node).__name__}({node.name!r},")
        if id(node) in self.covered:
            self.out.append(")")
            return
        kept, self.annotations = self.annotations, self._decorators(node) or self.annotations
        self.write(node.args)
        if self.annotations:
            self.write(node.returns)
        self.annotations = kept
        self._statements(node.body)
        self.write(getattr(node, "type_params", []))
        self.out.append(")")

    def _argument(self, node: ast.arg) -> None:
        self.out.append(f"arg({node.arg!r}")
        self._typed(node.arg, node.annotation)
        if self.annotations and node.annotation is not None:
            self.write(node.annotation)
        self.out.append(")")

    def _class(self, node: ast.ClassDef) -> None:
        self.out.append(f"ClassDef({node.name!r},")
        decorated = self._decorators(node)
        self.write(node.bases)
        self.write(node.keywords)
        self._statements(node.body, reads_annotations=bool(decorated or node.bases or node.keywords))
        self.out.append(")")

    def _constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, str):
            self.normal.strings.add(node.value)
        self.out.append(repr(node.value))

    def _name(self, node: ast.Name) -> None:
        self._chain((node.id,), node.lineno)
        self.out.append(f"Name({node.id!r})")

    def _attribute(self, node: ast.Attribute) -> None:
        chain = chain_of(node)
        self.normal.attributes.add(node.attr)
        if chain is None:
            self._generic(node)
            return
        self.normal.attributes.update(chain[1:])
        self._chain(chain, node.lineno)
        self.out.append(f"Name({'.'.join(chain)!r})")

    def _chain(self, chain: Chain, line: int) -> None:
        self.chains.add(chain)
        self.normal.lines.setdefault(chain, line)
        self.normal.mentions[chain] = self.normal.mentions.get(chain, 0) + 1

    def _call(self, node: ast.Call) -> None:
        chain = chain_of(node.func)
        given = [*node.args[:1], *(each.value for each in node.keywords if each.arg in ("seed", "x", "a"))]
        nothing = not given and not any(each.arg is None for each in node.keywords)
        if chain is not None and (nothing or any(isinstance(each, ast.Constant) and each.value is None for each in given)):
            self.normal.bare_calls.add(chain)
        if chain is not None and node.args:
            self.normal.handed.setdefault(chain, []).append(_handle_of(node.args[0]))
        self._literal(chain, node.args[0] if node.args else None)
        drawn = isinstance(node.func, ast.Attribute) and node.func.attr in ("sample", "shuffle") and len(node.args) < 2
        if drawn and not any(each.arg in (None, "seed", "random_state") for each in node.keywords):
            self.normal.draws.setdefault(cast(ast.Attribute, node.func).attr, node.lineno)
        if chain == ("getattr",) and len(node.args) > 1:
            self._getattr(node)
        self._generic(node)

    def _getattr(self, node: ast.Call) -> None:
        """``getattr(time, "time")`` is ``time.time``; with a name that is not known yet it may be anything of it."""
        of, name = chain_of(node.args[0]), node.args[1]
        if of is None:
            return
        if isinstance(name, ast.Constant) and isinstance(name.value, str):
            self._chain((*of, name.value), node.lineno)
        elif not isinstance(name, ast.Constant):
            self.normal.lines.setdefault((*of, ANY_NAME), node.lineno)

    def _assign(self, node: ast.Assign) -> None:
        for target in node.targets:
            if isinstance(target, ast.Name):
                self._typed(target.id, node.value.func if isinstance(node.value, ast.Call) else None)
        self._generic(node)

    def _typed(self, name: str, kind: ast.expr | None) -> None:
        self.normal.typed.setdefault(name, set()).add((kind is not None and chain_of(kind)) or ())

    def _subscript(self, node: ast.Subscript) -> None:
        self._literal(chain_of(node.value), node.slice)
        self._generic(node)

    def _literal(self, chain: Chain | None, node: ast.expr | None) -> None:
        if chain is None or node is None:
            return
        if isinstance(node, ast.Constant) and isinstance(node.value, str | bytes):
            text = node.value if isinstance(node.value, str) else node.value.decode("utf-8", "replace")
            self.normal.literals.setdefault(chain, set()).add(text)
        else:
            self.normal.dynamic.add(chain)

    def _import(self, node: ast.Import | ast.ImportFrom) -> None:
        self.normal.imports.append(node)
        self._generic(node)


def _handle_of(node: ast.expr) -> Chain:
    """The name, or the call, that an argument is or is the ``path`` of; empty for anything else."""
    if isinstance(node, ast.Attribute) and node.attr == "path":
        node = node.value
    if isinstance(node, ast.Call):
        made = chain_of(node.func)
        return (*made, "()") if made is not None else ()
    return chain_of(node) or ()


_SPECIAL: Mapping[type[ast.AST], Callable[[_Writer, Any], None]] = {
    ast.AnnAssign: _Writer._annotated_statement,
    ast.Assign: _Writer._assign,
    ast.AsyncFunctionDef: _Writer._function,
    ast.Attribute: _Writer._attribute,
    ast.Call: _Writer._call,
    ast.ClassDef: _Writer._class,
    ast.Constant: _Writer._constant,
    ast.FunctionDef: _Writer._function,
    ast.Import: _Writer._import,
    ast.ImportFrom: _Writer._import,
    ast.Name: _Writer._name,
    ast.Subscript: _Writer._subscript,
    ast.arg: _Writer._argument,
}
