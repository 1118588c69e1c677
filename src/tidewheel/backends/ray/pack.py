"""Pack a project's files, so that its code runs on nodes that do not see its folder."""

from __future__ import annotations

import io
import os
import re
import shutil
import tempfile
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

from tidewheel.digest import Digest, digest, digest_bytes
from tidewheel.errors import Invalid

FILE_BYTES = 32 << 20
"""Larger files are data, and stay behind: what a step reads of them is told as absent, which the driver refuses."""
PACK_BYTES = 256 << 20

_CODE = (".py", ".so", ".pyd", ".toml")
_SKIPPED = frozenset({"__pycache__", "node_modules"})
_SETTINGS = "tidewheel.toml"
_REFERENCE = re.compile(r"\$\{\w+\}")
_USER = re.compile(r"://[^/@\s:]*:(.+)@")  # to the last @: a password may hold one, or a slash
_ARGUMENT = re.compile(r"[?&][^=&]*(?:password|passwd|secret|token|api_?key|access_?key)[^=&]*=([^&]+)", re.IGNORECASE)
_KEY = re.compile(r"(?:password|passwd|token|api_?key|access_?key)$", re.IGNORECASE)

Signature = Digest


class Packer:
    """Packs a folder, anew when something in it has changed.

    Left out are hidden files and folders, virtual environments, caches, and files of more than 32 MiB that are no code.

    Parameters
    ----------
    root
        The project's folder.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._signature: Signature | None = None
        self._packed = (Digest(""), b"")

    def pack(self) -> tuple[Digest, bytes]:
        """Digest of the files and a zip of them.

        Raises
        ------
        Invalid
            When together they are more than 256 MiB, or when ``tidewheel.toml`` has a password in clear: the pack lies in
            Ray's object store and on the disks of the nodes, where others may read it.
        """
        found = list(_list_files(self._root, ""))
        # Size and times alone would miss an edit within one tick of the clock; a replaced file has another number.
        signature = digest([[name, s.st_size, s.st_mtime_ns, s.st_ctime_ns, s.st_ino] for name, s in found])
        if signature != self._signature:
            total = sum(state.st_size for _, state in found)
            if total > PACK_BYTES:
                largest = ", ".join(name for name, _ in sorted(found, key=lambda each: -each[1].st_size)[:3])
                raise Invalid(
                    f"the project's files are {total / 2**20:.0f} MiB, too much to send to workers ({largest}, ...)",
                    where=str(self._root),
                    fix="keep data outside of the project's folder, or in a hidden folder, and pass it to steps as tables",
                )
            self._refuse_passwords()
            data = self._zip([name for name, _ in found])
            self._packed, self._signature = (digest_bytes(data), data), signature
        return self._packed

    def _refuse_passwords(self) -> None:
        file = self._root / _SETTINGS
        if file.is_file() and (told := list_passwords(file.read_text())):
            raise Invalid(
                f"{_SETTINGS} has a password in clear ({', '.join(told)}), and goes with the project's code to Ray's nodes",
                where=str(file),
                fix="write ${NAME} in its place, and set that variable here and where Ray's nodes start",
            )

    def _zip(self, names: list[str]) -> bytes:
        made = io.BytesIO()
        with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            for name in names:
                # One date for all: the same files make the same bytes.
                archive.writestr(zipfile.ZipInfo(name), Path(self._root, name).read_bytes(), zipfile.ZIP_DEFLATED, 1)
        return made.getvalue()


def list_passwords(text: str) -> list[str]:
    """Names of settings that hold a password or a key in clear, not by ``${NAME}``; never the values.

    Examples
    --------
    >>> list_passwords('[workspace.prod]\\ndatabase = "postgresql://tide:s3cret@db/tide"')
    ['workspace.prod.database']
    >>> list_passwords('[workspace.prod]\\ndatabase = "postgresql://tide:${DB_PASSWORD}@db/tide"')
    []
    """
    return list(_find_passwords(tomllib.loads(text), ""))


def _find_passwords(value: object, name: str) -> Iterator[str]:
    if isinstance(value, dict):
        for key, below in value.items():
            yield from _find_passwords(below, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list):
        for below in value:
            yield from _find_passwords(below, name)
    elif isinstance(value, str):
        held = [*_USER.findall(value), *_ARGUMENT.findall(value), *([value] if _KEY.search(name) else [])]
        if any(_REFERENCE.sub("", one) for one in held):
            yield name


def unpack(data: bytes, folder: Path) -> None:
    """Unpack into a folder, which is there whole or not at all, whoever else does it at the same time."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".unpack-"))
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        archive.extractall(partial)
    try:
        partial.rename(folder)
    except OSError:
        shutil.rmtree(partial, ignore_errors=True)
        if not folder.is_dir():
            raise


def _list_files(root: Path, below: str) -> Iterator[tuple[str, os.stat_result]]:
    with os.scandir(root / below) as entries:
        for entry in sorted(entries, key=lambda each: each.name):
            if entry.name.startswith(".") or entry.name in _SKIPPED:
                continue
            name = f"{below}{entry.name}"
            if entry.is_dir():
                if not Path(entry.path, "pyvenv.cfg").exists():
                    yield from _list_files(root, f"{name}/")
            elif entry.is_file():
                state = entry.stat()
                if state.st_size <= FILE_BYTES or entry.name.endswith(_CODE):
                    yield name, state
