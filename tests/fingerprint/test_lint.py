"""The lint finds what cannot be followed, wherever in the closure it stands."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest
from tests.fingerprint.probe import Project

from tidewheel.fingerprint.lint import Finding
from tidewheel.fingerprint.walk import Fingerprinter

CASES = {
    "reader-duckdb": ("reader", "import duckdb\ndef run(x): return duckdb.sql('SELECT 1')"),
    "reader-polars": ("reader", "import polars as pl\ndef run(x): return pl.scan_parquet('x')"),
    "reader-pyarrow": ("reader", "from pyarrow.parquet import read_table\ndef run(x): return read_table('x')"),
    "reader-pandas": ("reader", "import pandas as pd\ndef run(x): return pd.read_parquet('x')"),
    "reader-beside-a-handle": (
        "reader",
        "import polars as pl\nimport tidewheel as tw\ndef run(x: tw.File, y): return pl.read_csv(x.path), pl.read_csv(y.path)",
    ),
    "reader-of-a-name-that-was-a-handle": (
        "reader",
        "import polars as pl\nimport tidewheel as tw\ndef run(x: tw.File):\n    x = 'a.csv'\n    return pl.read_csv(x)",
    ),
    "reader-handed-on": (
        "reader",
        "import polars as pl\nfrom tidewheel import File\n"
        "def run(x: File): return pl.read_csv(x.path), list(map(pl.read_csv, [x]))",
    ),
    "reader-imported-inside": ("reader", "def run(x):\n    import xgboost\n    return xgboost.DMatrix('x')"),
    "network": ("network", "import urllib.request\ndef run(x): return urllib.request.urlopen(x)"),
    "process": ("process", "import subprocess\ndef run(x): return subprocess.run(x)"),
    "clock": ("clock", "import time\ndef run(x): return time.time()"),
    "clock-datetime": ("clock", "from datetime import datetime\ndef run(x): return datetime.now()"),
    "clock-in-a-helper": ("clock", "import time\ndef h(): return time.time_ns()\ndef run(x): return h()"),
    "random": ("random", "import random\ndef run(x): return random.choice(x)"),
    "random-by-name": ("random", "from random import shuffle\ndef run(x): return shuffle(x)"),
    "random-numpy": ("random", "import numpy as np\ndef run(x): return np.random.rand(3)"),
    "random-generator": ("random", "import numpy as np\ndef run(x): return np.random.default_rng().random()"),
    "opaque": ("opaque", "ROWS = (n for n in [1])\ndef run(x): return list(ROWS)"),
    "process-pool": ("process", "import multiprocessing as m\ndef run(x): return m.Pool(2).map(abs, x)"),
    "process-executor": (
        "process",
        "from concurrent import futures\ndef run(x): return futures.ProcessPoolExecutor()",
    ),
    "process-fork": ("process", "import os\ndef run(x): return os.fork()"),
    "time-of-a-file": ("time", "import os\ndef run(x): return os.path.getmtime(x)"),
    "time-of-a-stat": ("time", "import os\ndef run(x): return os.stat(x).st_mtime_ns"),
    "size-of-an-entry": ("time", "import os\ndef run(x): return [e.stat().st_size for e in os.scandir(x)]"),
    "a stat by its own name": ("reader", "from os import stat\ndef run(x): return stat(x)"),
    "random-uuid": ("random", "import uuid\ndef run(x): return uuid.uuid4()"),
}

CLEAN = {
    "a file that is handed over": (
        "import polars as pl\nimport tidewheel as tw\ndef run(x: tw.File): return pl.read_csv(x.path)"
    ),
    "a file made inside": (
        "import pyarrow.csv as pc\nfrom tidewheel import File\n"
        "def run(x):\n    y = File(x)\n    return pc.read_csv(y.path), pc.read_csv(File(x).path)"
    ),
    "a file of the module": (
        "import polars as pl\nimport tidewheel as tw\nZONES = tw.File(__file__)\ndef run(): return pl.read_csv(ZONES.path)"
    ),
    "seeded": "import random\ndef run(x):\n    random.seed(1)\n    return random.random()",
    "a generator of its own": "import random\ndef run(x): return random.Random(3).random()",
    "a seeded NumPy generator": "import numpy as np\ndef run(x): return np.random.default_rng(3).random()",
    "a lock": "import threading\nLOCK = threading.Lock()\ndef run(x):\n    with LOCK: return x",
    "a logger": "import logging\nLOG = logging.getLogger(__name__)\ndef run(x): LOG.info('x')",
    "a stop watch": "import time\ndef run(x): return time.perf_counter()",
    "a time that is given": "from datetime import datetime\ndef run(x): return datetime.fromisoformat(x)",
    "reading through Python": "from pathlib import Path\ndef run(x): return Path(x).read_text()",
    "a local called like a module": "def run(time): return time.time()",
}


def _findings(root: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> list[Finding]:
    Project(root).write(linted=text)
    monkeypatch.syspath_prepend(str(root))
    sys.modules.pop("linted", None)
    try:
        return Fingerprinter(root).findings([importlib.import_module("linted").run])
    finally:
        sys.modules.pop("linted", None)


@pytest.mark.parametrize("name", CASES)
def test_it_is_found_with_file_and_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    kind, text = CASES[name]
    found = _findings(tmp_path, text, monkeypatch)
    assert [each.kind for each in found] == [kind]
    file, _, line = (found[0].where or "").partition(":")
    assert file == "linted.py"
    assert found[0].name.rpartition(".")[2].partition(",")[0] in text.splitlines()[int(line) - 1]


@pytest.mark.parametrize("name", CLEAN)
def test_what_can_be_followed_is_not_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    assert _findings(tmp_path, CLEAN[name], monkeypatch) == []
