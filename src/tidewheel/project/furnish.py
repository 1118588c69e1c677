"""Furnish an empty folder for building again: an environment with the locked versions, the recorded code and the inputs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tidewheel.artifacts.file import digest_file
from tidewheel.errors import NotFound, StalePlan, Unavailable
from tidewheel.project.origin import Origin
from tidewheel.runs.observe import find_local
from tidewheel.sources.snapshot import Snapshot

_DROPPED = ("VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME")


def clean_environment() -> dict[str, str]:
    """This process's environment variables without those that would let its own packages in."""
    return {name: value for name, value in os.environ.items() if name not in _DROPPED}


def make_environment(folder: Path, origin: Origin) -> Path:
    """A virtual environment with exactly the locked versions; answer its Python.

    Packages come from the cache of uv, or else from the index that uv's own configuration names. Those that were installed
    from a folder are on no index: they are taken over from this environment, when it has the same version.

    Raises
    ------
    NotFound
        When this environment has no such local package.
    Unavailable
        When uv is not there, or cannot install the versions.
    """
    uv = shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent))
    if uv is None:
        raise Unavailable("a clean environment is made by uv, which is not installed", fix="pip install uv, or give --here")
    same = origin.python == ".".join(map(str, sys.version_info[:3]))
    _run([uv, "venv", "--quiet", "--python", sys.executable if same else origin.python, str(folder)])
    python = folder / "bin" / "python"
    wanted = folder / "locked.txt"
    names = [f"{name}=={version}\n" for name, version in origin.lock.items() if name not in origin.local]
    wanted.write_text("".join(names))
    install = [uv, "pip", "install", "--quiet", "--no-deps", "--python", str(python), "-r", str(wanted)]
    try:
        _run([*install, "--offline"])
    except Unavailable:  # not all of it is in the cache
        _run(install)
    site = next((folder / "lib").glob("python*/site-packages"))
    for name in origin.local:
        _take_over(name, origin.lock[name], site)
    return python


def _take_over(name: str, version: str, site: Path) -> None:
    found = find_local().get(name)
    if found is None or found.version != version:
        now = "is not installed from a folder here" if found is None else f"is {found.version} here"
        raise NotFound(
            f"the build was made with {name} {version} from a folder, which no index has, and it {now}",
            where=name,
            fix=f"install {name} {version} from that folder, or compare in this environment: --here",
        )
    for file in found.files or ():
        if ".." not in file.parts and Path(str(file.locate())).is_file():
            target = site / str(file)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(str(file.locate()), target)


def restore_inputs(snapshots: Mapping[str, Snapshot], *, root: Path, home: Path, clean: Path) -> None:
    """Bring the files of sources into the clean project, as they were read.

    Raises
    ------
    StalePlan
        When files no longer hold what was read; all of them are named.
    """
    changed: list[str] = []
    for snapshot in snapshots.values():
        for file in snapshot.files:
            path = root / file.path
            if not path.is_file():
                changed.append(f"{file.path} is gone")
            elif digest_file(path) != file.digest:
                changed.append(f"{file.path} has other content")
            elif not Path(file.path).is_absolute():
                _link(path, clean / file.path)
        pushed = home / "pushes" / snapshot.source
        if snapshot.pushes and pushed.is_dir():
            shutil.copytree(pushed, clean / ".tidewheel" / "pushes" / snapshot.source)
    if changed:
        raise StalePlan(
            f"the inputs are not what they were: {'; '.join(changed)}", where=changed[0], fix="bring those files back"
        )


def _link(path: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(path, target)
    except OSError:  # another disk
        shutil.copyfile(path, target)


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=clean_environment())
    if done.returncode:
        raise Unavailable(
            f"the environment cannot be made: {done.stderr.strip()[-2000:]}",
            where=" ".join(command[1:3]),
            fix="see that uv reaches its index or has the versions in its cache, or give --here",
        )
