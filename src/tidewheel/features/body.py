"""Statements of a transform as one expression: names assigned, branches, returns, in any form that expressions have. Pure."""

from __future__ import annotations

import ast
import inspect
import math
import textwrap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

from tidewheel.features.expression_calls import BUILTINS
from tidewheel.features.expression_part import Refused, named

P = TypeVar("P")

_MOST_BRANCHES = 16


class Form(Protocol[P]):
    """What a form of expressions can do."""

    def evaluate(self, node: ast.expr, columns: Mapping[str, P]) -> P:
        """An expression over columns."""
        ...

    def choose(self, test: P, one: P, other: P) -> P:
        """One where a test holds, another where it does not."""
        ...

    def after(self, passed: P, made: P) -> P:
        """What is made, in doubt also where something that was assigned before is."""
        ...


def body_of(function: Callable[..., object]) -> Sequence[ast.stmt]:
    """The statements of a plain function whose names mean what they say.

    Raises
    ------
    Refused
        For any other, with the reason.

    Examples
    --------
    >>> body_of(lambda x: x)
    Traceback (most recent call last):
    tidewheel.features.expression_part.Refused: is no plain def
    """
    if inspect.unwrap(function) is not function:
        raise Refused("is wrapped by a decorator")
    if getattr(function, "__closure__", None):
        raise Refused(f"closes over {', '.join(function.__code__.co_freevars)}")
    names, said = getattr(function, "__globals__", {}), getattr(getattr(function, "__code__", None), "co_names", ())
    for name in BUILTINS:
        if name in names and name in said:
            raise Refused(f"has a {name} of its own")
    if "math" in said and names.get("math") is not math:
        raise Refused("has a math of its own")
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError):
        raise Refused("has no source that can be read") from None
    made = tree.body[0]
    if not isinstance(made, ast.FunctionDef) or len(made.decorator_list) > 1:
        raise Refused("is no plain def")
    ast.increment_lineno(made, function.__code__.co_firstlineno - 1)
    return made.body


def execute(body: Sequence[ast.stmt], columns: Mapping[str, P], form: Form[P], *, branches: int = _MOST_BRANCHES) -> P:
    """What the statements return, in a form.

    Raises
    ------
    Refused
        When they say more than assignments, branches and returns.
    """
    held, passed = dict(columns), list[P]()
    for place, one in enumerate(body):
        if isinstance(one, ast.Expr) and isinstance(one.value, ast.Constant):
            continue
        if isinstance(one, ast.Pass):
            continue
        if isinstance(one, ast.Return):
            made = form.evaluate(one.value or ast.Constant(None), held)
        elif isinstance(one, ast.If) and branches:
            rest = body[place + 1 :]
            test = form.evaluate(one.test, held)
            paths = [execute([*path, *rest], held, form, branches=branches // 2) for path in (one.body, one.orelse)]
            made = form.choose(test, *paths)
        elif isinstance(one, ast.Assign) and len(one.targets) == 1 and isinstance(one.targets[0], ast.Name):
            held[one.targets[0].id] = found = form.evaluate(one.value, held)
            passed.append(found)
            continue
        else:
            raise named(Refused(), one)
        break
    else:
        made = form.evaluate(ast.Constant(None), held)  # the end of a function
    for each in passed:
        made = form.after(each, made)
    return made


def placed(reason: str, function: Callable[..., object]) -> str:
    """A reason, with the file where it is about a line.

    Examples
    --------
    >>> placed("is wrapped by a decorator", len)
    'is wrapped by a decorator'
    """
    code = getattr(function, "__code__", None)
    if code is None or not reason.startswith("line "):
        return reason
    line, _, text = reason.removeprefix("line ").partition(": ")
    return f"{Path(code.co_filename).name}:{line}: {text}"
