"""``tidewheel --version`` names the form of the kernel: the one place where a user sees that no compiler was found."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("numpy", "pyarrow", "duckdb", "sqlalchemy", "sklearn")


def version(before: str = "") -> str:
    code = (
        f"import sys, importlib.machinery\n{before}\nfrom tidewheel.cli import main\ntry:\n    main(['--version'])\n"
        f"finally:\n    print([name for name in {HEAVY!r} if name in sys.modules])\n"
    )
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_version_loads_no_heavy_library() -> None:
    first, loaded = version().splitlines()
    assert first.startswith("tidewheel 0.")
    assert loaded == "[]"


@pytest.mark.slow
@pytest.mark.parametrize("cython", ["", "sys.modules['cython'] = None"], ids=["with cython", "without cython"])
def test_version_tells_that_the_kernel_is_interpreted(cython: str) -> None:
    found = importlib.util.find_spec("tidewheel.features.kernel")
    assert found is not None and found.origin is not None
    source = str(Path(found.origin).with_name("kernel.py"))
    hidden = (
        f"import importlib.util\n{cython}\nclass Interpreted:\n    def find_spec(self, name, path=None, target=None):\n"
        f"        if name == 'tidewheel.features.kernel':\n"
        f"            return importlib.util.spec_from_file_location(name, {source!r})\n"
        f"sys.meta_path.insert(0, Interpreted())"
    )
    first, loaded = version(hidden).splitlines()
    assert "(kernel interpreted" in first
    assert loaded == "[]"
