"""What a transform may not do: each way is refused at plan with its file and line; and what it may."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.project.test_apply import write_data

from tidewheel.errors import ImpureTransform
from tidewheel.project.load import load_project
from tidewheel.project.open import Workspace, open_workspace
from tidewheel.project.survey import make_plan

HELPERS = """import random as _r
from made import deeper
def later(): return deeper.now()
def draw(n): return _r.randint(0, n)
"""
DEEPER = "import time\ndef now(): return time.time()\n"


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    root = tmp_path_factory.mktemp("purity")
    (root / "made").mkdir()
    (root / "tidewheel.toml").write_text('project = "made"\n')
    for name, text in {"__init__": "", "helpers": HELPERS, "deeper": DEEPER}.items():
        (root / "made" / f"{name}.py").write_text(text)
    write_data(root, "s0")
    with open_workspace(root, actor="tester") as opened:
        yield opened


def plan(workspace: Workspace, code: str) -> None:
    (Path(workspace.root) / "made" / "definitions.py").write_text(f"import tidewheel as tw\n{code}")
    make_plan(load_project(workspace.root), workspace, "dev")


T = "@tw.on_request\ndef t0(items: int) -> int:\n    "
IMPURE = {
    "closure over a mutated list": """\
def make():
    seen = []
    def t0(items: int) -> int:
        seen.append(items)
        return items
    return t0
t0 = tw.on_request(make())
""",
    "closure over a list, silent": """\
def make():
    seen = [0]
    def t0(items: int) -> int:
        return items + seen[0]
    return t0
t0 = tw.on_request(make())
""",
    "global counter": """\
count = 0
"""
    + T
    + """\
global count
    count += 1
    return items if count < 100000 else 0
""",
    "global list": """\
seen = []
"""
    + T
    + """\
seen.append(items)
    return items if len(seen) < 10**6 else 0
""",
    "global dict cache": """\
cache = {}
"""
    + T
    + """\
return cache.setdefault(items, items)
""",
    "global dict item": """\
cache = {}
"""
    + T
    + """\
cache[items] = 1
    return items
""",
    "random alias": """\
from random import random as r
"""
    + T
    + """\
return items if r() < 2 else 0
""",
    "random via helper": """\
from made.helpers import draw
"""
    + T
    + """\
return items if draw(3) < 9 else 0
""",
    "time helper of helper": """\
from made import helpers
"""
    + T
    + """\
return items if helpers.later() > 0 else 0
""",
    "datetime.now": """\
import datetime as d
"""
    + T
    + """\
return items if d.datetime.now() else 0
""",
    "date.today": """\
from datetime import date
"""
    + T
    + """\
return items + date.today().year * 0
""",
    "monotonic": """\
import time
"""
    + T
    + """\
return items if time.monotonic() >= 0 else 0
""",
    "perf_counter": """\
from time import perf_counter as p
"""
    + T
    + """\
return items if p() >= 0 else 0
""",
    "open": T
    + """\
with open('data/s0.csv') as f:
        return len(f.read()) * 0 + items
""",
    "Path.read_text": """\
from pathlib import Path
"""
    + T
    + """\
return len(Path('data/s0.csv').read_text()) * 0 + items
""",
    "os.listdir": """\
import os
"""
    + T
    + """\
return items + 0 * len(os.listdir('.'))
""",
    "os.environ": """\
import os
"""
    + T
    + """\
return items + int(os.environ.get('SHIFT', '0'))
""",
    "os.getenv": """\
from os import getenv
"""
    + T
    + """\
return items + int(getenv('SHIFT') or 0)
""",
    "class with state": """\
class Count:
    def __init__(self): self.n = 0
    def add(self, x):
        self.n += 1
        return x
c = Count()
"""
    + T
    + """\
return c.add(items)
""",
    "class attribute": """\
class Count:
    n = 0
"""
    + T
    + """\
Count.n += 1
    return items
""",
    "mutable default": T
    + """\
return _in(items)
def _in(x, seen=[]):
    seen.append(x)
    return x
""",
    "function attribute": T
    + """\
_f.n = getattr(_f, 'n', 0) + 1
    return items
def _f(): pass
""",
    "nonlocal": """\
def make():
    n = 0
    def t0(items: int) -> int:
        nonlocal n
        n += 1
        return items
    return t0
t0 = tw.on_request(make())
""",
    "iterator": """\
import itertools
it = itertools.count()
"""
    + T
    + """\
return items + 0 * next(it)
""",
    "generator": """\
def g():
    while True: yield 1
it = g()
"""
    + T
    + """\
return items * next(it)
""",
    "uuid": """\
import uuid
"""
    + T
    + """\
return items + 0 * uuid.uuid4().int
""",
    "secrets": """\
import secrets
"""
    + T
    + """\
return items + 0 * secrets.randbelow(3)
""",
    "os.urandom": """\
from os import urandom as u
"""
    + T
    + """\
return items + 0 * len(u(1))
""",
    "SystemRandom": """\
import random
r = random.SystemRandom()
"""
    + T
    + """\
return items + 0 * r.randint(0, 3)
""",
    "Random instance": """\
import random
r = random.Random(3)
"""
    + T
    + """\
return items + 0 * r.randint(0, 3)
""",
    "numpy generator": """\
import numpy as np
r = np.random.default_rng(3)
"""
    + T
    + """\
return items + 0 * int(r.integers(3))
""",
    "numpy seeded inside": """\
import numpy as np
"""
    + T
    + """\
np.random.seed(0)
    return items + 0 * int(np.random.rand())
""",
    "socket": """\
import socket
"""
    + T
    + """\
return items + 0 * len(socket.gethostname())
""",
    "subprocess": """\
import subprocess
"""
    + T
    + """\
return items + 0 * subprocess.call(['true'])
""",
    "hash of a string": T
    + """\
return hash('a') % 7 + items
""",
    "id": T
    + """\
return id(object()) * 0 + items
""",
    "os.getpid": """\
import os
"""
    + T
    + """\
return os.getpid() * 0 + items
""",
    "print": T
    + """\
print(items)
    return items
""",
    "setattr module": """\
import sys
"""
    + T
    + """\
sys.tracking = items
    return items
""",
    "alias of a list, in place": f"seen = []\n{T}held = seen\n    held += [items]\n    return items\n",
    "alias of a list": """\
seen = []
"""
    + T
    + """\
mine = seen
    mine.append(items)
    return items
""",
}
PURE = {
    "alias of a number, in place": f"LEAST = 3\n{T}held = LEAST\n    held += items\n    return held\n",
    "what a match, a handler and a def bind": """\
def f(some):
    match some:
        case [first, *rest]:
            rest.append(first)
            return len(rest)
        case {"a": _, **others}:
            others["b"] = 1
            return len(others)
        case other:
            other.clear()
            return 0
def g(x):
    def inner(y):
        return y + inner.more
    inner.more = 1
    try:
        return inner(1 // x)
    except ZeroDivisionError as error:
        error.args = ()
        return 0
"""
    + T
    + """\
return f([items]) + g(items)
""",
    "pure global": """\
SHIFT = 3
TABLE = {'a': 1}
"""
    + T
    + """\
return items + SHIFT + TABLE.get('a', 0)
""",
    "helper": """\
import math
def f(x):
    out = []
    out.append(x)
    d = {}
    d[x] = 1
    return out[0]
"""
    + T
    + """\
return f(items) + int(math.log(3))
""",
    "strptime": """\
from datetime import datetime, timezone
"""
    + T
    + """\
return items + datetime(2026,1,1,tzinfo=timezone.utc).year
""",
    "self": """\
class P:
    def __init__(self, x): self.x = x
    def get(self): return self.x
"""
    + T
    + """\
return P(items).get()
""",
    "cached": """\
import functools
@functools.lru_cache
def f(x): return x
"""
    + T
    + """\
return f(items)
""",
    "method called add": """\
class P:
    def add(self, x): return x + 1
p = P()
"""
    + T
    + """\
return p.add(items)
""",
}


@pytest.mark.parametrize("name", IMPURE)
def test_what_depends_on_more_than_its_arguments_is_refused_with_its_place(workspace: Workspace, name: str) -> None:
    with pytest.raises(ImpureTransform, match="transform t0: ") as caught:
        plan(workspace, IMPURE[name])
    file, _, line = str(caught.value.where).partition(":")
    assert file in ("made/definitions.py", "made/helpers.py", "made/deeper.py")
    assert int(line) > 1


@pytest.mark.parametrize("name", PURE)
def test_what_is_pure_is_not(workspace: Workspace, name: str) -> None:
    plan(workspace, PURE[name])
