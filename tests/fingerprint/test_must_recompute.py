"""Edits that change what a step computes: each must change its recipe."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest
from tests.fingerprint.probe import Project


class Case(NamedTuple):
    """Files, and the edit of one of them."""

    files: dict[str, str]
    edited: str
    old: str
    new: str


def steps(text: str) -> dict[str, str]:
    """A project of one file."""
    return {"steps": text}


CASES: dict[str, Case] = {
    "the function": Case(steps("def run(x): return x + 1"), "steps.py", "+ 1", "+ 2"),
    "a helper in the module": Case(steps("def h(x): return x + 1\ndef run(x): return h(x)"), "steps.py", "+ 1", "+ 2"),
    "a helper in another module": Case(
        {"steps": "import lib\ndef run(x): return lib.h(x)", "lib": "def h(x): return x + 1"}, "lib.py", "+ 1", "+ 2"
    ),
    "a helper of a helper": Case(
        {
            "steps": "from pkg.a import h\ndef run(x): return h(x)",
            "pkg/a": "from . import b\ndef h(x): return b.g(x)",
            "pkg/__init__": "",
            "pkg/b": "def g(x): return x + 1",
        },
        "pkg/b.py",
        "+ 1",
        "+ 2",
    ),
    "a module constant": Case(steps("LIMIT = 3\ndef run(x): return x + LIMIT"), "steps.py", "= 3", "= 4"),
    "a constant of another module": Case(
        {"steps": "import conf\ndef run(x): return x + conf.LIMIT", "conf": "LIMIT = 3"}, "conf.py", "3", "4"
    ),
    "a constant built by a function": Case(
        steps("def build(): return 3\nLIMIT = build()\ndef run(x): return x + LIMIT"), "steps.py", "return 3", "return 4"
    ),
    "the order of a dict": Case(
        steps("COLUMNS = {'a': 1, 'b': 2}\ndef run(x): return list(COLUMNS)"), "steps.py", "'a': 1, 'b': 2", "'b': 2, 'a': 1"
    ),
    "a method": Case(
        steps("class A:\n    def m(self): return 1\ndef run(x): return A().m()"), "steps.py", "return 1", "return 2"
    ),
    "a method of an instance": Case(
        steps("class A:\n    def m(self): return 1\nITEM = A()\ndef run(x): return ITEM.m()"),
        "steps.py",
        "return 1",
        "return 2",
    ),
    "the state of an instance": Case(
        steps("class A:\n    def __init__(self, n): self.n = n\nITEM = A(1)\ndef run(x): return ITEM.n"),
        "steps.py",
        "A(1)",
        "A(2)",
    ),
    "a method of a base class": Case(
        {
            "steps": "from base import B\nclass A(B): pass\ndef run(x): return A().m()",
            "base": "class B:\n    def m(self): return 1",
        },
        "base.py",
        "return 1",
        "return 2",
    ),
    "a mixin": Case(
        {
            "steps": "from mix import M\nclass A(M, dict): pass\ndef run(x): return A().m()",
            "mix": "class M:\n    def m(self): return 1",
        },
        "mix.py",
        "return 1",
        "return 2",
    ),
    "a metaclass": Case(
        {
            "steps": "from meta import M\nclass A(metaclass=M): pass\ndef run(x): return A.size",
            "meta": "class M(type):\n    @property\n    def size(cls): return 1",
        },
        "meta.py",
        "return 1",
        "return 2",
    ),
    "a descriptor": Case(
        {
            "steps": "from desc import D\nclass A:\n    size = D()\ndef run(x): return A().size",
            "desc": "class D:\n    def __get__(self, one, kind): return 1",
        },
        "desc.py",
        "return 1",
        "return 2",
    ),
    "a property": Case(
        steps("class A:\n    @property\n    def p(self): return 1\ndef run(x): return A().p"),
        "steps.py",
        "return 1",
        "return 2",
    ),
    "a cached property": Case(
        steps(
            "import functools\nclass A:\n    @functools.cached_property\n    def p(self): return 1\ndef run(x): return A().p"
        ),
        "steps.py",
        "return 1",
        "return 2",
    ),
    "a dict registry": Case(
        {
            "steps": "from reg import R\nimport plug\ndef run(x): return R['a'](x)",
            "reg": "R = {}\ndef register(n):\n    def deco(f):\n        R[n] = f\n        return f\n    return deco",
            "plug": "from reg import register\n@register('a')\ndef a(x): return x + 1",
        },
        "plug.py",
        "+ 1",
        "+ 2",
    ),
    "a list registry": Case(
        steps("def a(x): return x + 1\nALL = [a]\ndef run(x): return [f(x) for f in ALL]"), "steps.py", "+ 1", "+ 2"
    ),
    "a partial": Case(
        steps("import functools\ndef a(x, n): return x + n + 1\np = functools.partial(a, n=1)\ndef run(x): return p(x)"),
        "steps.py",
        "n + 1",
        "n + 2",
    ),
    "a partial's argument": Case(
        steps("import functools\ndef a(x, n): return x + n\np = functools.partial(a, n=1)\ndef run(x): return p(x)"),
        "steps.py",
        "n=1",
        "n=2",
    ),
    "a closure cell": Case(
        steps("def make(n):\n    def f(x): return x + n\n    return f\nrun = make(1)"), "steps.py", "make(1)", "make(2)"
    ),
    "a function in a closure cell": Case(
        steps("def h(x): return x + 1\ndef make(g):\n    def f(x): return g(x)\n    return f\nrun = make(h)"),
        "steps.py",
        "+ 1",
        "+ 2",
    ),
    "a default argument": Case(steps("def run(x, n=1): return x + n"), "steps.py", "n=1", "n=2"),
    "a computed default": Case(
        steps("def size(): return 1\ndef run(x, n=size()): return x + n"), "steps.py", "return 1", "return 2"
    ),
    "a function as default": Case(steps("def h(x): return x + 1\ndef run(x, f=h): return f(x)"), "steps.py", "+ 1", "+ 2"),
    "a lambda default": Case(steps("def run(x, f=lambda x: x + 1): return f(x)"), "steps.py", "+ 1", "+ 2"),
    "a lambda of two on a line": Case(
        steps("F = {'a': lambda x: x + 1, 'b': lambda x: x}\ndef run(x): return F['a'](x)"), "steps.py", "+ 1", "+ 2"
    ),
    "a decorator": Case(
        steps(
            "import functools\ndef deco(f):\n    @functools.wraps(f)\n    def w(x): return f(x) + 1\n    return w\n"
            "@deco\ndef run(x): return x"
        ),
        "steps.py",
        "+ 1",
        "+ 2",
    ),
    "a decorator's argument": Case(
        steps(
            "import functools\ndef deco(n):\n    def d(f):\n        @functools.wraps(f)\n        def w(x): return f(x) + n\n"
            "        return w\n    return d\n@deco(1)\ndef run(x): return x"
        ),
        "steps.py",
        "deco(1)",
        "deco(2)",
    ),
    "below a decorator": Case(
        steps("import functools\n@functools.lru_cache\ndef h(x): return x + 1\ndef run(x): return h(x)"),
        "steps.py",
        "+ 1",
        "+ 2",
    ),
    "below a library's decorator": Case(
        steps(
            "import contextlib\n@contextlib.contextmanager\ndef h(x): yield x + 1\ndef run(x):\n    with h(x) as y: return y"
        ),
        "steps.py",
        "+ 1",
        "+ 2",
    ),
    "importlib": Case(
        {
            "steps": "import importlib\ndef run(x): return importlib.import_module('plug').h(x)",
            "plug": "def h(x): return x + 1",
        },
        "plug.py",
        "+ 1",
        "+ 2",
    ),
    "importlib with a name nobody knows": Case(
        {
            "steps": "from importlib import import_module\ndef run(x): return import_module('pl' + x).h(x)",
            "plug": "def h(x): return x + 1",
        },
        "plug.py",
        "+ 1",
        "+ 2",
    ),
    "an import inside the function": Case(
        {"steps": "def run(x):\n    from plug import h\n    return h(x)", "plug": "def h(x): return x + 1"},
        "plug.py",
        "+ 1",
        "+ 2",
    ),
    "a relative import inside the function": Case(
        {"steps": "from pkg.a import run", "pkg/__init__": "", "pkg/a": "def run(x):\n    from . import b\n    return b.h(x)"}
        | {"pkg/b": "def h(x): return x + 1"},
        "pkg/b.py",
        "+ 1",
        "+ 2",
    ),
    "getattr on a module": Case(
        {"steps": "import plug\ndef run(x): return getattr(plug, 'h' + '')(x)", "plug": "def h(x): return x + 1"},
        "plug.py",
        "+ 1",
        "+ 2",
    ),
    "globals()": Case(steps("def h(x): return x + 1\ndef run(x): return globals()['h'](x)"), "steps.py", "+ 1", "+ 2"),
    "eval": Case(steps("def h(x): return x + 1\ndef run(x): return eval('h(x)')"), "steps.py", "+ 1", "+ 2"),
    "a re-export through __init__": Case(
        {
            "steps": "import pkg\ndef run(x): return pkg.h(x)",
            "pkg/__init__": "from .impl import h",
            "pkg/impl": "def h(x): return x + 1",
        },
        "pkg/impl.py",
        "+ 1",
        "+ 2",
    ),
    "which function a re-export means": Case(
        {
            "steps": "import pkg\ndef run(x): return pkg.h(x)",
            "pkg/__init__": "from .impl import a as h",
            "pkg/impl": "def a(x): return x + 1\ndef b(x): return x",
        },
        "pkg/__init__.py",
        "import a",
        "import b",
    ),
    "a name rebound by a star import": Case(
        {
            "steps": "def h(x): return x\nfrom plug import *\ndef run(x): return h(x)",
            "plug": "def g(x): return x + 1\nh = g",
        },
        "plug.py",
        "+ 1",
        "+ 2",
    ),
    "a dataclass field's default": Case(
        steps("from dataclasses import dataclass\n@dataclass\nclass A:\n    n: int = 1\ndef run(x): return A().n"),
        "steps.py",
        "= 1",
        "= 2",
    ),
    "a dataclass field's type": Case(
        steps(
            "import dataclasses\n@dataclasses.dataclass\nclass A:\n    n: int\ndef run(x): return dataclasses.fields(A)[0].type"
        ),
        "steps.py",
        "n: int",
        "n: str",
    ),
    "a named tuple's fields": Case(
        steps("from collections import namedtuple\nP = namedtuple('P', 'a b')\ndef run(x): return P(1, 2)._asdict()"),
        "steps.py",
        "'a b'",
        "'b a'",
    ),
    "an enum's value": Case(
        steps("import enum\nclass E(enum.Enum):\n    A = 1\ndef run(x): return E.A.value"), "steps.py", "A = 1", "A = 2"
    ),
    "an enum member passed on": Case(
        steps("import enum\nclass E(enum.Enum):\n    A = 1\nC = E.A\ndef run(x): return C.value"), "steps.py", "A = 1", "A = 2"
    ),
    "a class attribute": Case(steps("class A:\n    n = 1\ndef run(x): return A.n"), "steps.py", "n = 1", "n = 2"),
    "a class attribute built by a function": Case(
        steps("def size(): return 1\nclass A:\n    n = size()\ndef run(x): return A.n"), "steps.py", "return 1", "return 2"
    ),
    "a subclass found by __subclasses__": Case(
        steps("class B: pass\nclass A(B):\n    n = 1\ndef run(x): return [k.n for k in B.__subclasses__()]"),
        "steps.py",
        "n = 1",
        "n = 2",
    ),
    "an f-string's constant": Case(steps("def run(x): return f'{x:.2f} km'"), "steps.py", ".2f", ".3f"),
    "a SQL string": Case(
        steps('SQL = """SELECT a FROM t"""\ndef run(x): return SQL'),
        "steps.py",
        "SELECT a",
        "SELECT b",
    ),
    "a regular expression": Case(
        steps("import re\nWORD = re.compile('[a-z]+')\ndef run(x): return WORD.findall(x)"), "steps.py", "a-z", "a-y"
    ),
    "a NumPy constant": Case(
        steps("import numpy as np\nW = np.array([1.0, 2.0])\ndef run(x): return W.sum()"), "steps.py", "1.0", "1.5"
    ),
    "a large constant": Case(
        steps("import numpy as np\nW = [np.zeros(3_000_000), np.arange(10)]\ndef run(x): return W"),
        "steps.py",
        "arange(10)",
        "arange(1, 11)",
    ),
    "a frame": Case(
        steps("import pandas as pd\nF = pd.DataFrame({'a': [1, 2]})\ndef run(x): return F"), "steps.py", "[1, 2]", "[1, 3]"
    ),
    "a setting of a library's object": Case(
        steps("import click\nM = click.IntRange(min=1)\ndef run(x): return M.convert(x, None, None)"),
        "steps.py",
        "min=1",
        "min=2",
    ),
    "a function inside of a library's object": Case(
        steps("import click\ndef h(x): return x + 1\nT = click.Command('h', callback=h)\ndef run(x): return T.invoke(x)"),
        "steps.py",
        "+ 1",
        "+ 2",
    ),
    "an opaque constant": Case(
        steps("def size(): return 1\nL = (size() for _ in [1])\ndef run(x): return list(L)"),
        "steps.py",
        "return 1",
        "return 2",
    ),
    "the module's state of a library": Case(
        steps("import decimal\ndecimal.getcontext().prec = 10\ndef run(x): return decimal.Decimal(1) / 3"),
        "steps.py",
        "10",
        "11",
    ),
    "a function's attribute": Case(
        steps("def h(x): return x + h.n\nh.n = 1\ndef run(x): return h(x)"), "steps.py", "h.n = 1", "h.n = 2"
    ),
    "a singledispatch implementation": Case(
        steps(
            "import functools\n@functools.singledispatch\ndef h(x): return 0\n@h.register\ndef _(x: int): return x + 1\n"
            "def run(x): return h(x)"
        ),
        "steps.py",
        "+ 1",
        "+ 2",
    ),
    "an annotation that is read": Case(
        steps("import typing\ndef h(x: int): return x\ndef run(x): return typing.get_type_hints(h)"),
        "steps.py",
        "x: int",
        "x: str",
    ),
    "a docstring is no place for code": Case(steps("def run(x): return 'a'"), "steps.py", "'a'", "'b'"),
    "a method patched in": Case(
        steps("class A:\n    pass\ndef m(self): return 1\nA.m = m\ndef run(x): return A().m()"),
        "steps.py",
        "return 1",
        "return 2",
    ),
    "a nested function": Case(steps("def run(x):\n    def f(): return x + 1\n    return f()"), "steps.py", "+ 1", "+ 2"),
    "a step called by a step": Case(
        steps(
            "import tidewheel.pipelines.definition as tw\n@tw.step\ndef a(x): return x + 1\n@tw.step\ndef run(x): return a(x)"
        ),
        "steps.py",
        "+ 1",
        "+ 2",
    ),
    "two helpers that swap names": Case(
        steps("def a(x): return x\ndef b(x): return -x\nf, g = a, b\ndef run(x): return f(x) + 2 * g(x)"),
        "steps.py",
        "= a, b",
        "= b, a",
    ),
    "two closures that swap names": Case(
        steps("def make(n):\n    return lambda x: x + n\nf, g = make(1), make(2)\ndef run(x): return f(x) + 2 * g(x)"),
        "steps.py",
        "make(1), make(2)",
        "make(2), make(1)",
    ),
    "two lambdas that swap keys": Case(
        steps("F = {'a': lambda x: x, 'b': lambda x: -x}\ndef run(x): return F['a'](x) + 2 * F['b'](x)"),
        "steps.py",
        "'a': lambda x: x, 'b': lambda x: -x",
        "'a': lambda x: -x, 'b': lambda x: x",
    ),
    "one name from another standard module": Case(
        steps("from math import sqrt\ndef run(x): return sqrt(x)"), "steps.py", "from math", "from cmath"
    ),
    "a library's function chosen": Case(
        steps("import math\nf = math.floor\ndef run(x): return f(x)"), "steps.py", "math.floor", "math.ceil"
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_an_edit_of_it_recomputes(tmp_path: Path, name: str) -> None:
    project, case = Project(tmp_path), CASES[name]
    project.write(**case.files)
    before = project.digest()
    assert project.digest() == before, "the recipe must not change by itself"
    project.edit(case.edited, case.old, case.new)
    assert project.digest() != before


def test_an_environment_variable_that_the_code_names_recomputes(tmp_path: Path) -> None:
    project = Project(tmp_path)
    for text in (
        "import os\ndef run(x): return os.environ['TW_MODE']",
        "import os\ndef run(x): return os.environ.get('TW_MODE')",
        "from os import getenv\ndef run(x): return getenv('TW_MODE', 'a')",
        "import os\nMODE = os.environ.get('TW_MODE')\ndef run(x): return MODE",
    ):
        project.write(steps=text)
        assert project.digest(environment={"TW_MODE": "a"}) != project.digest(environment={"TW_MODE": "b"}), text
        assert project.digest(environment={"TW_MODE": "a", "TW_X": "1"}) == project.digest(environment={"TW_MODE": "a"}), text


def test_the_value_of_an_environment_variable_is_never_told(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.write(steps="import os\ndef run(x): return os.environ['TW_SECRET']")
    found = project.components(environment={"TW_SECRET": "hunter2-hunter2"})
    assert "env:TW_SECRET" in found
    assert "hunter2" not in repr(found)


def test_the_version_of_a_reached_library_recomputes(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.write(steps="import numpy as np\ndef run(x): return np.mean(x)")
    assert project.digest(lock={"numpy": "2.0.0"}) != project.digest(lock={"numpy": "2.0.1"})


def test_the_version_of_a_library_that_a_reached_library_needs_recomputes(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.write(steps="def run(x):\n    from sklearn.linear_model import Ridge\n    return Ridge().fit(x, x)")
    found = project.components()
    assert {"lib:scikit-learn", "lib:scipy", "lib:numpy", "lib:joblib"} <= set(found)
    assert project.digest(lock={"joblib": "1"}) != project.digest(lock={"joblib": "2"})


def test_pythons_minor_version_is_a_component(tmp_path: Path) -> None:
    import sys

    project = Project(tmp_path)
    project.write(steps="def run(x): return x")
    assert project.components()["python"].value == f"{sys.version_info.major}.{sys.version_info.minor}"


def test_bytes_of_the_projects_own_extension_module_recompute(tmp_path: Path) -> None:
    import _bisect
    import sysconfig

    origin = getattr(_bisect, "__file__", None)
    if origin is None:
        pytest.skip("this Python has no extension module in a file of its own to copy")
    project = Project(tmp_path)
    target = tmp_path / f"_bisect{sysconfig.get_config_var('EXT_SUFFIX')}"
    target.write_bytes(Path(origin).read_bytes())
    project.write(
        steps=f"""
        import importlib.machinery, importlib.util, sys
        loader = importlib.machinery.ExtensionFileLoader("speed._bisect", {str(target)!r})
        spec = importlib.util.spec_from_loader("speed._bisect", loader, origin={str(target)!r})
        speed = importlib.util.module_from_spec(spec)
        speed.__file__ = {str(target)!r}
        sys.modules["speed._bisect"] = speed
        def run(x): return speed.bisect(x, 1)
        """
    )
    before = project.digest()
    target.write_bytes(target.read_bytes() + b"\0")
    assert project.digest() != before


def test_components_name_file_line_and_text(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.write(
        steps="import lib\nLIMIT = 3\n\n\ndef run(x):\n    return lib.h(x) + LIMIT", lib="\ndef h(x):\n    return x + 1"
    )
    found = project.components()
    assert found["code:lib.h"].where == "lib.py:2"
    assert found["code:lib.h"].note == "def h(x):\n    return x + 1"
    assert found["const:steps.LIMIT"].where == "steps.py:2"
    assert found["const:steps.LIMIT"].note == "LIMIT = 3"
    assert found["code:steps.run"].where == "steps.py:5"
    assert set(found) == {"code:lib.h", "code:steps.run", "const:steps.LIMIT", "python"}


def test_a_constant_read_from_a_file_on_import_recomputes(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.write(steps="import pathlib\nTEXT = (pathlib.Path(__file__).parent / 'a.txt').read_text()\ndef run(x): return TEXT")
    (tmp_path / "a.txt").write_text("one")
    before = project.digest()
    (tmp_path / "a.txt").write_text("two")
    assert project.digest() != before
