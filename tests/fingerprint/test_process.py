"""What a process has imported before must not count: drivers, workers and servers agree on every recipe."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.fingerprint.probe import Project

STEPS = """
import xml

def run(x):
    from mako.template import Template
    import mako.lexer
    return Template(x), mako.lexer.Lexer(x), xml.dom.minidom.parseString(x)
"""
PROBE = """
import json, sys
sys.path.insert(0, sys.argv[1])
for name in sys.argv[2:]:
    __import__(name)
from pathlib import Path
from tidewheel.fingerprint.walk import Fingerprinter
import steps
found = Fingerprinter(Path(sys.argv[1])).components([steps.run])
print(json.dumps({name: part.value for name, part in found.items()}))
"""


def components(root: Path, *imported: str) -> dict[str, str]:
    done = subprocess.run([sys.executable, "-c", PROBE, str(root), *imported], capture_output=True, text=True, check=True)
    found: dict[str, str] = json.loads(done.stdout)
    return found


def test_libraries_that_the_process_has_imported_meanwhile_change_nothing(tmp_path: Path) -> None:
    Project(tmp_path).write(steps=STEPS)
    bare = components(tmp_path)
    assert "lib:mako" in bare
    assert components(tmp_path, "mako.template", "mako.lexer", "mako.runtime", "xml.dom.minidom") == bare
