"""Projects that read from outside, and edits of what they read."""

# ruff: noqa: E501 - a project of one line is read as one line

from __future__ import annotations

from tests.fingerprint.edits import Case

CASES: dict[str, Case] = {
    "a file read by open": Case(
        {"steps.py": "def run():\n    with open('d.txt') as f: return f.read()", "d.txt": "1"}, "d.txt", "1", "2"
    ),
    "a file read by pathlib": Case(
        {"steps.py": "from pathlib import Path\ndef run(): return Path('d.txt').read_text()", "d.txt": "1"}, "d.txt", "1", "2"
    ),
    "a file read by os.open": Case(
        {
            "steps.py": "import os\ndef run():\n    f = os.open('d.txt', os.O_RDONLY)\n    try: return os.read(f, 9)\n    finally: os.close(f)",
            "d.txt": "1",
        },
        "d.txt",
        "1",
        "2",
    ),
    "a file read by NumPy": Case(
        {"steps.py": "import numpy as np\ndef run(): return float(np.loadtxt('d.txt'))", "d.txt": "1"}, "d.txt", "1", "2"
    ),
    "a file read by pandas": Case(
        {"steps.py": "import pandas as pd\ndef run(): return int(pd.read_csv('d.csv')['a'][0])", "d.csv": "a\n1\n"},
        "d.csv",
        "1",
        "2",
    ),
    "a file read by pandas with PyArrow": Case(
        {
            "steps.py": "import pandas as pd\ndef run(): return int(pd.read_csv('d.csv', engine='pyarrow')['a'][0])",
            "d.csv": "a\n1\n",
        },
        "d.csv",
        "1",
        "2",
    ),
    "a file read by DuckDB": Case(
        {
            "steps.py": "import duckdb\ndef run(): return duckdb.sql(\"SELECT a FROM 'd.csv'\").limit(1).fetchall()[0]",
            "d.csv": "a\n1\n",
        },
        "d.csv",
        "1",
        "2",
    ),
    "a file read by DuckDB through a cursor": Case(
        {
            "steps.py": "import duckdb\nCON = duckdb.connect()\ndef run(): return CON.execute(\"SELECT a FROM 'd.csv'\").fetchone()[0]",
            "d.csv": "a\n1\n",
        },
        "d.csv",
        "1",
        "2",
    ),
    "a file read by Polars": Case(
        {"steps.py": "import polars as pl\ndef run(): return pl.read_csv('d.csv')['a'][0]", "d.csv": "a\n1\n"},
        "d.csv",
        "1",
        "2",
    ),
    "a file read by PyArrow": Case(
        {"steps.py": "import pyarrow.csv as c\ndef run(): return c.read_csv('d.csv')['a'][0].as_py()", "d.csv": "a\n1\n"},
        "d.csv",
        "1",
        "2",
    ),
    "a file mapped": Case(
        {
            "steps.py": "import mmap\ndef run():\n    with open('d.txt', 'rb') as f, mmap.mmap(f.fileno(), 0, access=1) as m: return m[:]",
            "d.txt": "1",
        },
        "d.txt",
        "1",
        "2",
    ),
    "a file whose time is read": Case(
        {"steps.py": "import os\ndef run(): return os.path.getsize('d.txt')", "d.txt": "1"}, "d.txt", "1", "22"
    ),
    "a file that is looked for": Case(
        {"steps.py": "import os\ndef run(): return os.path.exists('d.txt')", "d.txt": "1"}, "d.txt", "1", None
    ),
    "a file that pathlib looks for": Case(
        {"steps.py": "from pathlib import Path\ndef run(): return Path('d.txt').is_file()", "d.txt": "1"}, "d.txt", "1", None
    ),
    "a glob": Case({"steps.py": "import glob\ndef run(): return sorted(glob.glob('*.txt'))", "d.txt": "1"}, "d.txt", "1", None),
    "a pathlib glob": Case(
        {
            "steps.py": "from pathlib import Path\ndef run(): return sorted(str(p) for p in Path('.').rglob('*.txt'))",
            "e/d.txt": "1",
        },
        "e/d.txt",
        "1",
        None,
    ),
    "os.walk": Case(
        {
            "steps.py": "import os\ndef run(): return sorted(f for _, _, fs in os.walk('.') for f in fs if f.endswith('.txt'))",
            "e/d.txt": "1",
        },
        "e/d.txt",
        "1",
        None,
    ),
    "a package resource": Case(
        {
            "steps.py": "import importlib.resources as r\ndef run(): return r.files('pkg').joinpath('d.txt').read_text()",
            "pkg/__init__.py": "",
            "pkg/d.txt": "1",
        },
        "pkg/d.txt",
        "1",
        "2",
    ),
    "a file read on import": Case(
        {"steps.py": "T = open('d.txt').read()\ndef run(): return T", "d.txt": "1"}, "d.txt", "1", "2"
    ),
    "a configuration module": Case(
        {
            "steps.py": "import configparser\nC = configparser.ConfigParser()\nC.read('d.ini')\ndef run(): return C['a']['b']",
            "d.ini": "[a]\nb = 1\n",
        },
        "d.ini",
        "1",
        "2",
    ),
    "TOML": Case(
        {
            "steps.py": "import tomllib\ndef run():\n    with open('d.toml', 'rb') as f: return tomllib.load(f)",
            "d.toml": "a = 1\n",
        },
        "d.toml",
        "1",
        "2",
    ),
    "a zip file": Case(
        {
            "steps.py": "import shelve, pickle\ndef run():\n    with open('d.bin', 'rb') as f: return f.readlines()",
            "d.bin": "1",
        },
        "d.bin",
        "1",
        "2",
    ),
    "a thread that reads": Case(
        {
            "steps.py": "import threading\ndef run():\n    out = []\n    t = threading.Thread(target=lambda: out.append(open('d.txt').read()))\n    t.start()\n    t.join()\n    return out",
            "d.txt": "1",
        },
        "d.txt",
        "1",
        "2",
    ),
    "a pool that reads": Case(
        {
            "steps.py": "from concurrent.futures import ThreadPoolExecutor\nimport pathlib\ndef run():\n    with ThreadPoolExecutor(1) as p: return p.submit(pathlib.Path('d.txt').read_text).result()",
            "d.txt": "1",
        },
        "d.txt",
        "1",
        "2",
    ),
    "a process that reads": Case(
        {
            "steps.py": "import multiprocessing as m\ndef read(p): return open(p).read()\ndef run():\n    with m.get_context('fork').Pool(1) as p: return p.map(read, ['d.txt'])",
            "d.txt": "1",
        },
        "d.txt",
        "1",
        "2",
    ),
    "a process executor that reads": Case(
        {
            "steps.py": "from concurrent.futures import ProcessPoolExecutor\nimport multiprocessing as m\ndef read(p): return open(p).read()\ndef run():\n    with ProcessPoolExecutor(1, mp_context=m.get_context('fork')) as p: return list(p.map(read, ['d.txt']))",
            "d.txt": "1",
        },
        "d.txt",
        "1",
        "2",
    ),
    "os.fork": Case(
        {
            "steps.py": "import os\ndef run():\n    r, w = os.pipe()\n    if not os.fork():\n        os.write(w, open('d.txt', 'rb').read())\n        os._exit(0)\n    os.wait()\n    return os.read(r, 9)",
            "d.txt": "1",
        },
        "d.txt",
        "1",
        "2",
    ),
    "a subprocess": Case(
        {
            "steps.py": "import subprocess, sys\ndef run(): return subprocess.run([sys.executable, 'tool.py'], capture_output=True, text=True).stdout",
            "tool.py": "print(1)",
        },
        "tool.py",
        "1",
        "2",
    ),
    "runpy": Case(
        {"steps.py": "import runpy\ndef run(): return runpy.run_path('tool.py')['x']", "tool.py": "x = 1"}, "tool.py", "1", "2"
    ),
    "a module loaded from its file": Case(
        {
            "steps.py": "import importlib.util as u\ndef run():\n    s = u.spec_from_file_location('tool', 'tool.py')\n    m = u.module_from_spec(s)\n    s.loader.exec_module(m)\n    return m.x",
            "tool.py": "x = 1",
        },
        "tool.py",
        "1",
        "2",
    ),
    "a SQLite file": Case(
        {
            "steps.py": "import sqlite3\ndef run():\n    c = sqlite3.connect('d.db')\n    return c.execute('SELECT a FROM t').fetchone()[0]",
            "d.db": "#sqlite 1",
        },
        "d.db",
        "1",
        "2",
    ),
    "an import path that is put in front": Case(
        {
            "steps.py": "import sys\nsys.path.insert(0, 'more')\nimport extra\ndef run(): return extra.x",
            "more/extra.py": "x = 1",
        },
        "more/extra.py",
        "1",
        "2",
    ),
    "a new module that shadows": Case(
        {
            "steps.py": "try:\n    from fast import h\nexcept ImportError:\n    h = lambda: 1\ndef run(): return h()",
            "fast.py": "def h(): return 2",
        },
        "fast.py",
        "",
        None,
    ),
    "a module that goes, imported inside": Case(
        {
            "steps.py": "def run():\n    try:\n        from fast import h\n    except ImportError:\n        return 1\n    return h()",
            "fast.py": "def h(): return 2",
        },
        "fast.py",
        "",
        None,
    ),
    "pkgutil": Case(
        {
            "steps.py": "import pkgutil, plugs\ndef run(): return sorted(m.name for m in pkgutil.iter_modules(plugs.__path__))",
            "plugs/__init__.py": "",
            "plugs/a.py": "",
        },
        "plugs/a.py",
        "",
        None,
    ),
    "a typed handle of the module": Case(
        {
            "steps.py": "import polars as pl\nimport tidewheel as tw\nF = tw.File('d.csv')\ndef run(): return pl.read_csv(F.path)['a'][0]",
            "d.csv": "a\n1\n",
        },
        "d.csv",
        "1",
        "2",
    ),
    "a typed handle as an argument": Case(
        {
            "steps.py": "import polars as pl\nimport tidewheel as tw\n@tw.step\ndef load(f: tw.File): return pl.read_csv(f.path)['a'][0]\ndef run(): return load(tw.File('d.csv'))",
            "d.csv": "a\n1\n",
        },
        "d.csv",
        "1",
        "2",
    ),
}
