"""Every block of code in the docs runs, in order, in a fresh folder per page.

A fence ``python`` is executed in one namespace per page; ``bash`` is executed by bash with the tests' own environment first
on the path; ``python file=NAME`` (any language) is written to that file. Other fences (``text``, ``json`` ...) are not code.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])
FENCE = re.compile(r"^```(\w+)?([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    language: str
    file: str | None
    code: str
    line: int


def blocks(page: Path) -> list[Block]:
    text = page.read_text()
    found = []
    for match in FENCE.finditer(text):
        file = re.search(r"file=(\S+)", match[2] or "")
        line = text.count("\n", 0, match.start()) + 1
        found.append(Block(match[1] or "", file[1] if file else None, match[3], line))
    return found


WITH_CODE = [page for page in PAGES if any(b.file or b.language in {"python", "bash"} for b in blocks(page))]


@pytest.mark.slow
@pytest.mark.parametrize("page", WITH_CODE, ids=lambda page: str(page.relative_to(ROOT)))
def test_code_blocks_run(page: Path, tmp_path: Path) -> None:
    environment = dict(os.environ) | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "TIDEWHEEL_ACTOR": "docs"}
    script: list[str] = []
    for block in blocks(page):
        if block.file is not None:
            (tmp_path / block.file).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / block.file).write_text(block.code)
        elif block.language == "python":
            script.append(f"#line {page.name}:{block.line}\n{block.code}")
            (tmp_path / ".page.py").write_text("\n".join(script))
            _run([sys.executable, ".page.py"], tmp_path, environment, page, block)
        elif block.language == "bash":
            _run(["bash", "-euo", "pipefail", "-c", block.code], tmp_path, environment, page, block)


def _run(command: list[str], folder: Path, environment: dict[str, str], page: Path, block: Block) -> None:
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, (
        f"{page.relative_to(ROOT)}:{block.line}\n{block.code}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    )


def test_every_link_between_pages_leads_somewhere() -> None:
    broken = []
    for page in PAGES:
        targets = re.findall(r"\]\((?!https?://|#)([^)#]+)", page.read_text())
        broken += [f"{page.relative_to(ROOT)}: {target}" for target in targets if not (page.parent / target).exists()]
    assert broken == []
