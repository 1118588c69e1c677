"""Pack a project's code into one artifact, and unpack it: a model version keeps the code it was trained with.

Only code is packed (``*.py``, ``*.sql``, ``tidewheel.toml``), never data; secrets stay outside as long as the settings name
them by ``${NAME}``. The archive is the same to the bit for the same files, so an unchanged project is stored once.
"""

from __future__ import annotations

import io
import os
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

from tidewheel.artifacts.store import ArtifactStore
from tidewheel.digest import Digest
from tidewheel.errors import Corrupt
from tidewheel.project.load import FILE

_SUFFIXES = {".py", ".sql"}
_SKIPPED = {"__pycache__", "node_modules", "site-packages", "build", "dist"}
_EPOCH = (1980, 1, 1, 0, 0, 0)


def code_files(root: Path) -> Iterator[Path]:
    """The project's code files, sorted; hidden folders, virtual environments and caches are left out."""
    found: list[Path] = []
    for folder, folders, names in os.walk(root):
        here = Path(folder)
        folders[:] = [
            n for n in folders if not n.startswith(".") and n not in _SKIPPED and not (here / n / "pyvenv.cfg").exists()
        ]
        found += [here / name for name in names if Path(name).suffix in _SUFFIXES or (here == root and name == FILE)]
    yield from sorted(found)


def pack(root: Path, artifacts: ArtifactStore) -> Digest:
    """Store the project's code as one zip artifact; answer its digest."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in code_files(root):
            entry = zipfile.ZipInfo(str(path.relative_to(root)), _EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, path.read_bytes())
    return artifacts.put(buffer.getvalue())


def unpack(snapshot: Digest, artifacts: ArtifactStore, folder: Path) -> Path:
    """Unpack packed code under ``folder``; answer the folder made. Done once per snapshot, atomically.

    Raises
    ------
    Corrupt
        When the archive names a path outside of its own folder.
    """
    target = folder / snapshot
    if target.is_dir():
        return target
    folder.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(dir=folder, prefix=".unpack-"))
    with zipfile.ZipFile(io.BytesIO(artifacts.get(snapshot))) as archive:
        for name in archive.namelist():
            if not (made / name).resolve().is_relative_to(made.resolve()):
                raise Corrupt(f"packed code names {name!r}, which lies outside", where=snapshot)
        archive.extractall(made)
    try:
        made.rename(target)
    except OSError:
        shutil.rmtree(made)  # another process was first; the content is the same
    return target
