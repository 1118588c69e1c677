"""The skops container, so that equal models are equal bytes.

skops writes a zip file with the time of day in it, and numbers objects and files by their addresses in memory.
Numbering them in order of appearance and dropping the time makes the digest of a model a property of the model.
"""

from __future__ import annotations

import io
import json
import zipfile

import numpy as np

_SCHEMA = "schema.json"
_VALUES = ("JsonNode", "TypeNode")
"""Nodes that are plain values: whether two of them were one object in memory means nothing, and is left out."""

_EPOCH = (1980, 1, 1, 0, 0, 0)


def normalise(data: bytes) -> bytes:
    """The same model, numbered by order of appearance, without times and without gaps."""
    with zipfile.ZipFile(io.BytesIO(data)) as packed:
        files = {name: packed.read(name) for name in packed.namelist()}
    numbering = _Numbering()
    schema = json.dumps(numbering.renumber(json.loads(files.pop(_SCHEMA))))
    renamed = {numbering.files[name]: _without_gaps(name, content) for name, content in files.items()}
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in [(_SCHEMA, schema.encode()), *sorted(renamed.items())]:
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            packed.writestr(entry, content)
    return out.getvalue()


class _Numbering:
    def __init__(self) -> None:
        self.files: dict[str, str] = {}
        self._objects: dict[object, int] = {}
        self._count = 0

    def renumber(self, node: object) -> object:
        if isinstance(node, list):
            return [self.renumber(part) for part in node]
        if not isinstance(node, dict):
            return node
        found: dict[str, object] = {}
        for key, part in node.items():
            if key == "__id__":
                found[key] = self._number(part, fresh=node.get("__loader__") in _VALUES)
            elif key == "file" and isinstance(part, str):
                found[key] = self.files.setdefault(part, f"{len(self.files) + 1}.{part.rpartition('.')[2]}")
            else:
                found[key] = self.renumber(part)
        return found

    def _number(self, identity: object, *, fresh: bool) -> int:
        if fresh or identity not in self._objects:
            self._count += 1
            if fresh:
                return self._count
            self._objects[identity] = self._count
        return self._objects[identity]


def _without_gaps(name: str, content: bytes) -> bytes:
    if not name.endswith(".npy"):
        return content
    held = np.load(io.BytesIO(content), allow_pickle=False)
    if held.dtype.names is None or held.ndim != 1:
        return content
    cleared = np.zeros(held.shape, held.dtype)  # not zeros_like, which clears field by field
    for field in held.dtype.names:
        cleared[field] = held[field]
    gapless: bytes = cleared.tobytes()
    return content[: len(content) - held.nbytes] + gapless  # np.save would fill the gaps anew
