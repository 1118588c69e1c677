"""Projects, and edits of them by somebody who wants a stale answer."""

# ruff: noqa: E501 - a project of one line is read as one line

from __future__ import annotations

from typing import NamedTuple


class Case(NamedTuple):
    """Files by path, and the edit of one of them; ``new`` of ``None`` removes it."""

    files: dict[str, str]
    edited: str
    old: str
    new: str | None


def one(text: str, old: str, new: str, **files: str) -> Case:
    """A project whose ``steps.py`` is edited."""
    return Case({"steps.py": text, **files}, "steps.py", old, new)


def other(steps: str, name: str, text: str, old: str, new: str, **files: str) -> Case:
    """A project where a file beside ``steps.py`` is edited."""
    return Case({"steps.py": steps, name: text, **files}, name, old, new)


CASES: dict[str, Case] = {
    "a class decorator": one(
        """
        def deco(cls):
            cls.n = 1
            return cls
        @deco
        class A: pass
        def run(): return A.n
        """,
        "cls.n = 1",
        "cls.n = 2",
    ),
    "__init_subclass__": other(
        "from base import B\nclass A(B): pass\ndef run(): return A.n",
        "base.py",
        "class B:\n    def __init_subclass__(cls): cls.n = 1",
        "cls.n = 1",
        "cls.n = 2",
    ),
    "__class_getitem__": one(
        "class A:\n    def __class_getitem__(cls, k): return 1\ndef run(): return A[3]", "return 1", "return 2"
    ),
    "__set_name__": other(
        "from d import D\nclass A:\n    x = D()\ndef run(): return A.__dict__['x'].n",
        "d.py",
        "class D:\n    def __set_name__(self, o, n): self.n = 1",
        "self.n = 1",
        "self.n = 2",
    ),
    "a slot's default in a base": one(
        "class B:\n    __slots__ = ('n',)\n    def __init__(self): self.n = 1\nclass A(B): pass\ndef run(): return A().n",
        "self.n = 1",
        "self.n = 2",
    ),
    "__call__ of an instance": other(
        "from c import ITEM\ndef run(): return ITEM()",
        "c.py",
        "class C:\n    def __call__(self): return 1\nITEM = C()",
        "1",
        "2",
    ),
    "an operator": other(
        "from c import C\ndef run(): return C() + 1",
        "c.py",
        "class C:\n    def __add__(self, o): return 1 + o",
        "1 + o",
        "2 + o",
    ),
    "a context manager": other(
        "from c import C\ndef run():\n    with C() as x: return x",
        "c.py",
        "class C:\n    def __enter__(self): return 1\n    def __exit__(self, *a): return None",
        "return 1",
        "return 2",
    ),
    "an iterator": other(
        "from c import C\ndef run(): return list(C())",
        "c.py",
        "class C:\n    def __iter__(self): yield 1",
        "yield 1",
        "yield 2",
    ),
    "a generator function": other("from c import g\ndef run(): return list(g())", "c.py", "def g(): yield 1", "1", "2"),
    "a coroutine": other(
        "import asyncio\nfrom c import g\ndef run(): return asyncio.run(g())", "c.py", "async def g(): return 1", "1", "2"
    ),
    "a comprehension's function": other(
        "import c\ndef run(): return [c.h(i) for i in [1]]", "c.py", "def h(i): return i", "return i", "return -i"
    ),
    "a match statement": one(
        "def run():\n    match 3:\n        case 3: return 1\n        case _: return 0", "return 1", "return 2"
    ),
    "a walrus constant": one("A = [y := 1, y]\ndef run(): return y", "y := 1", "y := 2"),
    "a conditional constant": one("if 1 > 0:\n    A = 1\nelse:\n    A = 3\ndef run(): return A", "1 > 0", "1 < 0"),
    "a constant set by try": one(
        "try:\n    import nosuch\nexcept ImportError:\n    A = 1\ndef run(): return A", "A = 1", "A = 2"
    ),
    "a constant changed by a loop": one("A = 0\nfor i in range(3):\n    A += i\ndef run(): return A", "range(3)", "range(4)"),
    "a global that a function sets": one(
        "A = 0\ndef init():\n    global A\n    A = 1\ndef run():\n    init()\n    return A", "A = 1", "A = 2"
    ),
    "a list that another module extends": other(
        "import reg\nimport plug\ndef run(): return reg.ALL",
        "plug.py",
        "import reg\nreg.ALL.append(1)",
        "append(1)",
        "append(2)",
        **{"reg.py": "ALL = []"},
    ),
    "a module that patches another": other(
        "import lib\nimport patch\ndef run(): return lib.h()",
        "patch.py",
        "import lib\ndef better(): return 1\nlib.h = better",
        "return 1",
        "return 2",
        **{"lib.py": "def h(): return 0"},
    ),
    "a module that patches a class": other(
        "import lib\nimport patch\ndef run(): return lib.C().h()",
        "patch.py",
        "import lib\nlib.C.h = lambda self: 1",
        "1",
        "2",
        **{"lib.py": "class C:\n    def h(self): return 0"},
    ),
    "a module that patches a library": other(
        "import textwrap\nimport patch\ndef run(): return textwrap.dedent('a')",
        "patch.py",
        "import textwrap\n_old = textwrap.dedent\ndef mine(x): return _old(x) + '1'\ntextwrap.dedent = mine",
        "'1'",
        "'2'",
    ),
    "a module's __getattr__": other(
        "import lazy\ndef run(): return lazy.thing", "lazy.py", "def __getattr__(name): return 1", "return 1", "return 2"
    ),
    "a package's lazy import": other(
        "import pkg\ndef run(): return pkg.impl.h()",
        "pkg/impl.py",
        "def h(): return 1",
        "return 1",
        "return 2",
        **{"pkg/__init__.py": "import importlib\ndef __getattr__(n): return importlib.import_module('pkg.' + n)"},
    ),
    "a TypedDict's total": one(
        "from typing import TypedDict\nclass T(TypedDict, total=True):\n    a: int\ndef run(): return sorted(T.__required_keys__)",
        "total=True",
        "total=False",
    ),
    "a NamedTuple's default": one(
        "from typing import NamedTuple\nclass P(NamedTuple):\n    a: int = 1\ndef run(): return P().a", "= 1", "= 2"
    ),
    "a dataclass's default factory": one(
        "from dataclasses import dataclass, field\ndef make(): return [1]\n@dataclass\nclass A:\n    n: list = field(default_factory=make)\n"
        "def run(): return A().n",
        "[1]",
        "[2]",
    ),
    "a dataclass's __post_init__": one(
        "from dataclasses import dataclass\n@dataclass\nclass A:\n    n: int = 0\n    def __post_init__(self): self.n = 1\ndef run(): return A().n",
        "self.n = 1",
        "self.n = 2",
    ),
    "an enum's method": one(
        "import enum\nclass E(enum.Enum):\n    A = 1\n    def h(self): return 1\ndef run(): return E.A.h()",
        "return 1",
        "return 2",
    ),
    "an auto enum's order": one(
        "import enum\nclass E(enum.Enum):\n    A = enum.auto()\n    B = enum.auto()\ndef run(): return E.B.value",
        "    A = enum.auto()\n    B",
        "    B",
    ),
    "operator.methodcaller": one(
        "import operator\nclass A:\n    def m(self): return 1\nf = operator.methodcaller('m')\ndef run(): return f(A())",
        "return 1",
        "return 2",
    ),
    "operator.methodcaller's name": one(
        "import operator\nclass A:\n    def m(self): return 1\n    def n(self): return 2\nf = operator.methodcaller('m')\ndef run(): return f(A())",
        "caller('m')",
        "caller('n')",
    ),
    "operator.attrgetter": one(
        "import operator, lib\nf = operator.attrgetter('h')\ndef run(): return f(lib)()",
        "'h'",
        "'g'",
        **{"lib.py": "def h(): return 1\ndef g(): return 2"},
    ),
    "map over a helper": other(
        "import lib\ndef run(): return list(map(lib.h, [1]))", "lib.py", "def h(x): return x", "return x", "return -x"
    ),
    "a sort key": other(
        "import lib\ndef run(): return sorted([1, 2], key=lib.k)", "lib.py", "def k(x): return x", "return x", "return -x"
    ),
    "reduce over lambdas": one(
        "import functools\nS = [lambda x: x + 1, lambda x: x * 2]\ndef run(): return functools.reduce(lambda a, f: f(a), S, 3)",
        "x * 2",
        "x * 3",
    ),
    "globals by name": one("def h(): return 1\ndef run(): return globals()['h']()", "return 1", "return 2"),
    "vars of a module": other("import lib\ndef run(): return vars(lib)['h']()", "lib.py", "def h(): return 1", "1", "2"),
    "sys.modules": other("import lib, sys\ndef run(): return sys.modules['lib'].h()", "lib.py", "def h(): return 1", "1", "2"),
    "exec of a string": one(
        "CODE = 'x = 1'\ndef run():\n    space = {}\n    exec(CODE, space)\n    return space['x']", "x = 1", "x = 2"
    ),
    "eval that reaches a helper": one("def h(): return 1\ndef run(): return eval('h' + '()')", "return 1", "return 2"),
    "getattr on an object": one(
        "class A:\n    def m(self): return 1\ndef run(): return getattr(A(), 'm')()", "return 1", "return 2"
    ),
    "type() made class": one(
        "def m(self): return 1\nA = type('A', (), {'m': m})\ndef run(): return A().m()", "return 1", "return 2"
    ),
    "types.MethodType": one(
        "import types\nclass A: pass\ndef m(self): return 1\na = A()\na.m = types.MethodType(m, a)\ndef run(): return a.m()",
        "return 1",
        "return 2",
    ),
    "a weak reference": one(
        "import weakref\ndef h(): return 1\nR = weakref.ref(h)\ndef run(): return R()()", "return 1", "return 2"
    ),
    "a context variable's default": one(
        "import contextvars\nV = contextvars.ContextVar('v', default=1)\ndef run(): return V.get()", "default=1", "default=2"
    ),
    "a context variable that is set": one(
        "import contextvars\nV = contextvars.ContextVar('v')\nV.set(1)\ndef run(): return V.get()", "set(1)", "set(2)"
    ),
    "a thread's local": one("import threading\nL = threading.local()\nL.n = 1\ndef run(): return L.n", "L.n = 1", "L.n = 2"),
    "a queue filled on import": one(
        "import queue\nQ = queue.Queue()\nQ.put(1)\ndef run():\n    x = Q.get()\n    Q.put(x)\n    return x", "put(1)", "put(2)"
    ),
    "a deque": one("from collections import deque\nD = deque([1])\ndef run(): return list(D)", "[1]", "[2]"),
    "a default dict's factory": one(
        "from collections import defaultdict\ndef make(): return 1\nD = defaultdict(make)\ndef run(): return D['x']",
        "return 1",
        "return 2",
    ),
    "a chain map": one(
        "from collections import ChainMap\nD = ChainMap({}, {'a': 1})\ndef run(): return D['a']", "'a': 1", "'a': 2"
    ),
    "a mapping proxy": one("import types\nD = types.MappingProxyType({'a': 1})\ndef run(): return D['a']", "'a': 1", "'a': 2"),
    "a simple namespace": one("import types\nC = types.SimpleNamespace(a=1)\ndef run(): return C.a", "a=1", "a=2"),
    "a bytearray": one("B = bytearray(b'1')\ndef run(): return bytes(B)", "b'1'", "b'2'"),
    "a memoryview": one("B = memoryview(b'1')\ndef run(): return bytes(B)", "b'1'", "b'2'"),
    "an array": one("import array\nA = array.array('i', [1])\ndef run(): return list(A)", "[1]", "[2]"),
    "a range": one("R = range(1)\ndef run(): return list(R)", "range(1)", "range(2)"),
    "a slice": one("S = slice(1)\ndef run(): return [1, 2, 3][S]", "slice(1)", "slice(2)"),
    "a decimal": one("from decimal import Decimal\nD = Decimal('1')\ndef run(): return str(D)", "'1'", "'1.0'"),
    "a date": one(
        "import datetime\nD = datetime.date(2026, 1, 1)\ndef run(): return D.isoformat()", "2026, 1, 1", "2026, 1, 2"
    ),
    "a time zone": one(
        "import zoneinfo, datetime\nZ = zoneinfo.ZoneInfo('Europe/Paris')\ndef run(): return str(datetime.datetime(2026, 1, 1, tzinfo=Z).utcoffset())",
        "Europe/Paris",
        "Europe/London",
    ),
    "a path constant": one("from pathlib import Path\nP = Path('a')\ndef run(): return str(P)", "'a'", "'b'"),
    "negative zero": one("Z = 0.0\ndef run(): return str(Z)", "= 0.0", "= -0.0"),
    "true for one": one("Z = 1\ndef run(): return str(Z)", "= 1", "= True"),
    "an int for a float": one("Z = 1\ndef run(): return str(Z)", "= 1", "= 1.0"),
    "a set's member": one("S = {1, 2}\ndef run(): return sorted(S)", "{1, 2}", "{1, 3}"),
    "a nested list's member": one("S = [[{'a': (1, [2])}]]\ndef run(): return repr(S)", "[2]", "[3]"),
    "a list that holds itself": one("S = [1]\nS.append(S)\ndef run(): return S[0]", "[1]", "[2]"),
    "a NumPy dtype": one("import numpy as np\nD = np.dtype('i4')\ndef run(): return D.name", "i4", "i8"),
    "a NumPy scalar": one("import numpy as np\nD = np.float32(1)\ndef run(): return float(D)", "(1)", "(2)"),
    "a seeded generator on import": one(
        "import numpy as np\nG = np.random.default_rng(1)\ndef run(): return float(G.random())", "rng(1)", "rng(2)"
    ),
    "a global seed on import": one("import random\nrandom.seed(1)\ndef run(): return random.random()", "seed(1)", "seed(2)"),
    "a compiled template": one(
        "import string\nT = string.Template('$a 1')\ndef run(): return T.substitute(a=0)", "$a 1", "$a 2"
    ),
    "a struct": one("import struct\nS = struct.Struct('<i')\ndef run(): return S.pack(1)", "<i", "<q"),
    "a logger's level": one(
        "import logging\nL = logging.getLogger('x')\nL.setLevel(10)\ndef run(): return L.level", "setLevel(10)", "setLevel(20)"
    ),
    "a warning filter": one(
        "import decimal\ndecimal.getcontext().prec = 5\ndef run(): return str(decimal.Decimal(1) / 3)", "prec = 5", "prec = 6"
    ),
    "an ABC's registration": one(
        "import abc\nclass B(abc.ABC): pass\nB.register(int)\ndef run(): return isinstance(1, B)",
        "register(int)",
        "register(str)",
    ),
    "a nested class": one("class A:\n    class B:\n        n = 1\ndef run(): return A.B.n", "n = 1", "n = 2"),
    "a class in a function": one("def run():\n    class A:\n        n = 1\n    return A.n", "n = 1", "n = 2"),
    "a closure over a loop": one(
        "F = []\nfor i in range(3):\n    F.append(lambda i=i: i)\ndef run(): return [f() for f in F]", "range(3)", "range(2)"
    ),
    "a recursive pair": one(
        "def a(n): return b(n - 1) if n else 1\ndef b(n): return a(n - 1) if n else 2\ndef run(): return a(3)",
        "else 2",
        "else 3",
    ),
    "a keyword-only default": one("def h(*, n=1): return n\ndef run(): return h()", "n=1", "n=2"),
    "a star-args helper": one("def h(*a, **k): return 1\ndef run(): return h(1, b=2)", "return 1", "return 2"),
    "an order of arguments": one("def h(a, b): return a - b\ndef run(): return h(1, 2)", "h(a, b)", "h(b, a)"),
    "super()": other(
        "from base import B\nclass A(B):\n    def m(self): return super().m()\ndef run(): return A().m()",
        "base.py",
        "class B:\n    def m(self): return 1",
        "return 1",
        "return 2",
    ),
    "the order of bases": one(
        "class B:\n    n = 1\nclass C:\n    n = 2\nclass A(B, C): pass\ndef run(): return A.n", "A(B, C)", "A(C, B)"
    ),
    "a relative import": other(
        "from pkg.a import run",
        "pkg/b.py",
        "def h(): return 1",
        "1",
        "2",
        **{"pkg/__init__.py": "", "pkg/a.py": "from .b import h\ndef run(): return h()"},
    ),
    "a namespace package": other("import ns.a\ndef run(): return ns.a.h()", "ns/a.py", "def h(): return 1", "1", "2"),
    "a circular import": other(
        "import a\ndef run(): return a.h()",
        "b.py",
        "import a\ndef g(): return 1",
        "1",
        "2",
        **{"a.py": "import b\ndef h(): return b.g()"},
    ),
    "a star import of __all__": other(
        "from lib import *\ndef run(): return h()", "lib.py", "__all__ = ['h']\ndef h(): return 1", "1", "2"
    ),
    "an alias of an alias": other("import lib as a\nb = a\ndef run(): return b.h()", "lib.py", "def h(): return 1", "1", "2"),
    "an attribute's chain through an object": one(
        "class C:\n    def __init__(self): self.inner = D()\nclass D:\n    def m(self): return 1\nc = C()\ndef run(): return c.inner.m()",
        "return 1",
        "return 2",
    ),
    "a property of a helper's result": other(
        "from lib import make\ndef run(): return make().value",
        "lib.py",
        "class R:\n    @property\n    def value(self): return 1\ndef make(): return R()",
        "return 1",
        "return 2",
    ),
    "an inspected source": one(
        "import inspect\ndef h():\n    # one\n    return 1\ndef run(): return inspect.getsource(h)", "# one", "# two"
    ),
    "a docstring that is read": one("def h():\n    'one'\ndef run(): return h.__doc__", "'one'", "'two'"),
    "a module's docstring that is read": one('"""one"""\ndef run(): return __doc__', "one", "two"),
    "a docstring read by inspect": one(
        "import inspect\ndef h():\n    'one'\ndef run(): return inspect.getdoc(h)", "'one'", "'two'"
    ),
    "a function's name": one(
        "def one(): pass\nh = one\ndef run(): return h.__name__", "def one(): pass\nh = one", "def two(): pass\nh = two"
    ),
    "a line number that is read": one(
        "import sys\ndef run(): return sys._getframe().f_lineno", "import sys\n", "import sys\n\n"
    ),
    "annotations as configuration": one(
        "class Config:\n    a: int\n    b: str\ndef run(): return list(Config.__annotations__)", "    b: str\n", ""
    ),
    "annotations of a base": one(
        "import lib\nclass C(lib.Base):\n    a: int\ndef run(): return C.names",
        "a: int",
        "b: int",
        **{"lib.py": "class Base:\n    def __init_subclass__(cls): cls.names = list(cls.__annotations__)"},
    ),
    "an assertion's limit": one(
        "def run():\n    try:\n        assert 1 > 2, 'one'\n    except AssertionError as e: return str(e)", "'one'", "'two'"
    ),
    "a version guard": one("import sys\nA = 1 if sys.version_info >= (3, 8) else 2\ndef run(): return A", "(3, 8)", "(9, 8)"),
}
