"""More projects for somebody who wants a stale answer: edits, reads that go unseen, and edits that must not count.

They came from a second search for holes, and each of them once gave a stale answer or recomputed for nothing.
"""

# ruff: noqa: E501 - a project of one line is read as one line

from __future__ import annotations

from tests.fingerprint.edits import Case, one, other

_READER = "import functools\n@functools.lru_cache\ndef read(p): return open(p).read()"
_HELPER = "def h(): return 1"

CASES: dict[str, Case] = {
    "a single dispatch method that another module adds": other(
        "import b\nfrom a import A\ndef run(): return A().f(3)",
        "b.py",
        "from a import A\n@A.f.register(int)\ndef g(self, x): return 1",
        "return 1",
        "return 2",
        **{"a.py": "import functools\nclass A:\n    @functools.singledispatchmethod\n    def f(self, x): return 0"},
    ),
    "the type of a single dispatch": other(
        "import b\nfrom a import f\ndef run(): return f(3)",
        "b.py",
        "from a import f\nf.register(int, lambda x: 1)",
        "(int",
        "(str",
        **{"a.py": "import functools\n@functools.singledispatch\ndef f(x): return 0"},
    ),
    "import_module in a dict": other(
        "import importlib\nL = {'x': importlib.import_module}\ndef run(): return L['x']('b').h()", "b.py", _HELPER, "1", "2"
    ),
    "a name resolved by pkgutil": other(
        "import pkgutil\ndef run(): return pkgutil.resolve_name('b:h')()", "b.py", _HELPER, "1", "2"
    ),
    "a module's dict": other("import b\ndef run(): return b.__dict__['h']()", "b.py", _HELPER, "1", "2"),
    "an object in a module's place": other(
        "import b\ndef run(): return b.x",
        "b.py",
        "import sys\nclass M:\n    @property\n    def x(self): return 1\nsys.modules[__name__] = M()",
        "return 1",
        "return 2",
    ),
    "a class made by make_dataclass": one(
        "from dataclasses import make_dataclass\nA = make_dataclass('A', [('x', int, 1)])\ndef run(): return A().x",
        ", 1)",
        ", 2)",
    ),
    "a module imported by exec": other(
        "def run():\n    s = {}\n    exec('import b; x = b.h()', s)\n    return s['x']", "b.py", _HELPER, "1", "2"
    ),
    "a module imported by pickle": other(
        "import pickle\ndef run(): return pickle.loads(b'cb\\nh\\n.')()", "b.py", _HELPER, "1", "2"
    ),
    "a module run by runpy": other("import runpy\ndef run(): return runpy.run_module('b')['x']", "b.py", "x = 1", "1", "2"),
    "an import path that the step adds": other(
        "import sys\ndef run():\n    sys.path.insert(0, 'late')\n    import extra\n    return extra.x",
        "late/extra.py",
        "x = 1",
        "1",
        "2",
    ),
    "a builtin that is added": other(
        "import patch\ndef run(): return magic()",
        "patch.py",
        "import builtins\ndef b(): return 1\nbuiltins.magic = b",
        "return 1",
        "return 2",
    ),
    "a constant of a library that an import patches": other(
        "import json, patch\ndef run(): return json.encoder.INFINITY",
        "patch.py",
        "import json.encoder\njson.encoder.INFINITY = 1",
        "= 1",
        "= 2",
    ),
    "a cache of an answer that two steps share": other(
        "import tidewheel as tw\nimport b\n@tw.step\ndef x(): return b.read('d.txt')\n@tw.step\ndef y(): return b.read('d.txt')\n"
        "def run(): return x() and y()",
        "d.txt",
        "1",
        "1",
        "2",
        **{"b.py": _READER},
    ),
    "a cache of an answer filled on import": other(
        "import b\nb.read('d.txt')\ndef run(): return b.read('d.txt')", "d.txt", "1", "1", "2", **{"b.py": _READER}
    ),
    "a cached static method": other(
        "import functools\nclass A:\n    @staticmethod\n    @functools.cache\n    def read(p): return open(p).read()\n"
        "A.read('d.txt')\ndef run(): return A.read('d.txt')",
        "d.txt",
        "1",
        "1",
        "2",
    ),
    "a file opened for both": other("def run():\n    with open('d.txt', 'r+') as f: return f.read()", "d.txt", "1", "1", "2"),
    "a file opened to append and read": other(
        "def run():\n    with open('d.txt', 'a+') as f:\n        f.seek(0)\n        return f.read()", "d.txt", "1", "1", "2"
    ),
    "a line by linecache": other(
        "import linecache\ndef run():\n    linecache.clearcache()\n    return linecache.getline('d.txt', 1)",
        "d.txt",
        "1",
        "1",
        "2",
    ),
    "a file below a descriptor": other(
        "import os\ndef run(): return os.read(os.open('d.txt', 0, dir_fd=os.open('x', 0)), 9)", "x/d.txt", "1", "1", "2"
    ),
    "a link in a folder of the step's own": other(
        "import os, tempfile\ndef run():\n    with tempfile.TemporaryDirectory() as t:\n"
        "        os.symlink(os.path.abspath('d.txt'), t + '/x')\n        return open(t + '/x').read()",
        "d.txt",
        "1",
        "1",
        "2",
    ),
    "a file called like a content": other("def run(): return open('tw1-d.txt').read()", "tw1-d.txt", "1", "1", "2"),
    "a bare function of DuckDB": other(
        "import duckdb\nQ = {'q': duckdb.sql}\ndef run(): return Q['q'](\"SELECT a FROM 'd.csv'\").fetchall()",
        "d.csv",
        "a\n1\n",
        "1",
        "2",
    ),
    "SQL of Polars": other(
        "import polars as pl\ndef run(): return pl.sql(\"SELECT a FROM read_csv('d.csv')\").collect().rows()",
        "d.csv",
        "a\n1\n",
        "1",
        "2",
    ),
    "a lazy frame of the module": other(
        "import polars as pl\nT = pl.scan_csv('d.csv')\ndef run(): return T.collect().rows()", "d.csv", "a\n1\n", "1", "2"
    ),
    "a reader by getattr": other(
        "import polars as pl\ndef run(k='csv'): return getattr(pl, f'read_{k}')('d.csv').rows()", "d.csv", "a\n1\n", "1", "2"
    ),
    "a memory map of Arrow": other(
        "import pyarrow as pa\ndef run(): return bytes(pa.memory_map('d.txt').read())", "d.txt", "1", "1", "2"
    ),
    "a SQLite file that is attached": Case(
        {
            "steps.py": "import sqlite3\ndef run():\n    c = sqlite3.connect(':memory:')\n    c.execute(\"ATTACH 'd.db' AS d\")\n    return c.execute('SELECT a FROM d.t').fetchone()",
            "d.db": "#sqlite 1",
        },
        "d.db",
        "1",
        "2",
    ),
}
"""Edits after which the answer must be another one."""

UNTRACKED: dict[str, str] = {
    "the clock in a dict": "import time\nC = {'now': time.time}\ndef run(): return C['now']()",
    "the clock of an alias": "from datetime import datetime\nnow = datetime.now\ndef run(): return str(now())",
    "the clock of a subclass": "from datetime import datetime\nclass D(datetime): pass\ndef run(): return str(D.now())",
    "the clock of pandas": "import pandas as pd\ndef run(): return str(pd.to_datetime('now'))",
    "a shared generator inside of pandas": "import pandas as pd\ndef run(): return pd.Series(range(99)).sample(9).tolist()",
    "a shared generator inside of scikit-learn": "from sklearn.utils import shuffle\ndef run(): return shuffle([1, 2, 3])",
    "a generator whose seed is None": "import numpy as np\nSEED = None\ndef run(): return np.random.default_rng(SEED).random()",
    "a generator without a seed": "import random\ndef run(): return random.Random().random()",
    "a seed of nothing": "import random\ndef run():\n    random.seed()\n    return random.random()",
    "the network inside of pandas": "import pandas as pd\ndef run():\n    try: return pd.read_csv('http://127.0.0.1:9/a.csv').shape\n    except OSError: return 0",
    "the network on a thread": "import threading, xmlrpc\nfrom xmlrpc.client import ServerProxy\ndef ask():\n    try: ServerProxy('http://127.0.0.1:9').x()\n    except OSError: pass\n"
    "def run():\n    t = threading.Thread(target=ask)\n    t.start()\n    t.join()",
    "a draw of Polars": "import polars as pl\ndef run(): return pl.Series(range(99)).sample(9).to_list()",
}
"""What is not the same twice: its answer must not be kept."""

HITS: dict[str, Case] = {
    "a comment below a cached property": one(
        "import functools\nclass A:\n    @functools.cached_property\n    def x(self): return 1  # one\ndef run(): return A().x",
        "# one",
        "# two",
    ),
    "a neighbour of what is imported inside": Case(
        {
            "steps.py": "def run():\n    from pkg import b\n    return b.h()",
            "pkg/__init__.py": "",
            "pkg/b.py": "def h(): return 1\ndef z(): return 2",
        },
        "pkg/b.py",
        "return 2",
        "return 3",
    ),
    "a bare annotation": one("def run():\n    x = 1\n    return x", "    x = 1", "    y: int\n    x = 1"),
    "a forest with a seed": one(
        "# one\ndef run():\n    from sklearn.ensemble import RandomForestRegressor as R\n"
        "    return R(n_estimators=2, random_state=1, n_jobs=2).fit([[1], [2], [3]], [1, 2, 3]).predict([[2]]).tolist()",
        "# one",
        "# two",
    ),
    "a draw of pandas with a seed": one(
        "# one\nimport pandas as pd\ndef run(): return pd.Series(range(99)).sample(9, random_state=1).tolist()",
        "# one",
        "# two",
    ),
    "an append to a log": one(
        "# one\ndef run():\n    with open('log.txt', 'a') as f: f.write('x')\n    return 1", "# one", "# two"
    ),
    "a library that is looked for": one(
        "# one\nimport importlib.util\ndef run(): return importlib.util.find_spec('numpy') is not None", "# one", "# two"
    ),
}
"""Edits that must not run the step again."""
