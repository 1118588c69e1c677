"""The skops container, so that equal models are equal bytes.

skops writes a zip file with the time of day in it, and numbers objects and files by their addresses in memory.
Numbering them in order of appearance and dropping the time makes the digest of a model a property of the model.
"""

from __future__ import annotations

import io
import re
import zipfile

_SCHEMA = "schema.json"
_NUMBER = re.compile(r'("__id__": |"file": ")(\d+)')
_EPOCH = (1980, 1, 1, 0, 0, 0)


def normalise(data: bytes) -> bytes:
    """The same model with numbers by order of appearance and without times."""
    with zipfile.ZipFile(io.BytesIO(data)) as packed:
        files = {name: packed.read(name) for name in packed.namelist()}
    numbers: dict[str, str] = {}

    def renumber(match: re.Match[str]) -> str:
        return match.group(1) + numbers.setdefault(match.group(2), str(len(numbers) + 1))

    schema = _NUMBER.sub(renumber, files.pop(_SCHEMA).decode())
    renamed = {_rename(name, numbers): content for name, content in files.items()}
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in [(_SCHEMA, schema.encode()), *sorted(renamed.items())]:
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            packed.writestr(entry, content)
    return out.getvalue()


def _rename(name: str, numbers: dict[str, str]) -> str:
    stem, dot, rest = name.partition(".")
    return numbers.get(stem, stem) + dot + rest
