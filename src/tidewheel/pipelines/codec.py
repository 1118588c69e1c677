"""How arguments and results of steps are stored: exactly, by content, and without pickle unless it was allowed."""

from __future__ import annotations

import base64
import binascii
import importlib
import io
import math
import pickle
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from importlib.metadata import entry_points
from pathlib import Path, PurePath
from typing import Any, cast

import msgspec

from tidewheel.artifacts.file import File, open_file
from tidewheel.artifacts.store import ArtifactStore
from tidewheel.artifacts.table import Table
from tidewheel.datasets.handle import Dataset, Split
from tidewheel.digest import Digest, digest_bytes
from tidewheel.errors import Corrupt, Invalid, UnsafeFormat
from tidewheel.ports.model_format import ModelFormat

Node = Any
"""A value as JSON: scalars and lists stand for themselves, everything else is an object whose ``$`` names its kind."""

_INLINE = 4096
_I64 = 1 << 63


@dataclass(slots=True)
class Packed:
    """A value as bytes.

    ``content`` is its digest, which for handles is that of what they point at. ``code`` are the functions and classes in it,
    whose code is part of what it is.
    """

    data: bytes
    content: Digest
    code: list[object] = field(default_factory=list)


class Codec:
    """Packs and unpacks values.

    Knows ``None``, bool, int, float, str, bytes, list, tuple, dict, set, frozenset, dates and times, Decimal, paths,
    enums, dataclasses, named tuples, functions and classes by name, NumPy arrays and scalars, Arrow, pandas and Polars
    frames, files, tables and splits by reference, and models of the given formats.

    Examples
    --------
    >>> codec = Codec(ArtifactStore.open("memory:///"), [])
    >>> packed = codec.pack({"rates": (0.1, 0.2)})
    >>> codec.unpack(packed.data)
    {'rates': (0.1, 0.2)}
    """

    def __init__(self, store: ArtifactStore, formats: Sequence[ModelFormat], *, pickle: bool = False) -> None:
        self.store = store
        self.formats = {each.name: each for each in formats}
        self.pickle = pickle

    def pack(self, value: object) -> Packed:
        """Store a value.

        Raises
        ------
        UnsafeFormat
            When only pickle could store a part of it, and pickle is not allowed.
        """
        writer = _Writer(self)
        node = writer.node(value)
        data = msgspec.json.encode(node)
        content = data if not writer.handles else msgspec.json.encode(_without_places(node))
        return Packed(data, digest_bytes(content), writer.code)

    def unpack(self, data: bytes) -> object:
        """The value that :meth:`pack` stored.

        Raises
        ------
        Corrupt
            When the bytes are not such a value, or what they name is gone.
        UnsafeFormat
            When it was pickled, and pickle is not allowed.
        """
        try:
            return _Reader(self).value(msgspec.json.decode(data))
        except (msgspec.DecodeError, KeyError, binascii.Error, struct.error) as error:
            raise Corrupt(
                f"a stored value cannot be read: {error}", fix="build it again: run the pipeline once more"
            ) from error


class _Writer:
    def __init__(self, codec: Codec) -> None:
        self.codec = codec
        self.code: list[object] = []
        self.handles = False

    def node(self, value: object) -> Node:
        """A value as JSON."""
        kind = type(value)
        if value is None or kind is bool or kind is str:
            return value
        if kind is int:
            number = cast(int, value)
            return number if -_I64 <= number < _I64 else {"$": "int", "v": str(number)}
        if kind is float:
            return value if math.isfinite(cast(float, value)) else {"$": "float", "v": struct.pack(">d", value).hex()}
        if kind is list:
            return [self.node(item) for item in cast("list[object]", value)]
        if kind is dict:
            pairs = cast("dict[object, object]", value).items()
            return {"$": "dict", "v": [[self.node(key), self.node(item)] for key, item in pairs]}
        if kind is tuple:
            return {"$": "tuple", "v": [self.node(item) for item in cast("tuple[object, ...]", value)]}
        if kind in (set, frozenset):
            items = [self.node(item) for item in cast("set[object]", value)]
            return {"$": kind.__name__, "v": sorted(items, key=msgspec.json.encode)}
        simple = _SIMPLE.get(kind)
        if simple is not None:
            return {"$": simple[0], "v": simple[1](value)}
        return self._special(value)

    def _special(self, value: object) -> Node:
        kind = type(value)
        if isinstance(value, bytes | bytearray):
            return {"$": kind.__name__, "v": self.blob(bytes(value))}
        if isinstance(value, PurePath):
            return {"$": "path", "v": str(value)}
        if isinstance(value, Table | Split | Dataset):
            self.handles = True
            told = value.content if isinstance(value, Dataset) else value.digest
            return {"$": kind.__name__, "v": told, "place": self.blob(_text(value.to_json()))}
        if isinstance(value, File):
            self.handles = True
            return {"$": "File", "v": value.digest, "place": value.path}
        if isinstance(value, Enum):
            return {"$": "enum", "type": self._named(kind), "v": value.name}
        if is_dataclass(value) and not isinstance(value, type):
            parts = [[each.name, self.node(getattr(value, each.name))] for each in fields(value)]
            return {"$": "dataclass", "type": self._named(kind), "v": parts}
        if isinstance(value, tuple) and hasattr(kind, "_fields"):
            return {"$": "namedtuple", "type": self._named(kind), "v": [self.node(item) for item in value]}
        if isinstance(value, type) or (callable(value) and hasattr(value, "__qualname__") and hasattr(value, "__module__")):
            return {"$": "name", "v": self._named(value)}
        library = kind.__module__.partition(".")[0]
        if library in _LIBRARIES:
            node = _LIBRARIES[library](self, value)
            if node is not None:
                return node
        for name, model_format in self.codec.formats.items():
            if model_format.accepts(value):
                files = {file: self.blob(data) for file, data in sorted(model_format.save(value).items())}
                return {"$": "model", "format": name, "v": files}
        return self._pickled(value)

    def _pickled(self, value: object) -> Node:
        kind = type(value)
        if not self.codec.pickle:
            raise UnsafeFormat(
                f"only pickle could store a {kind.__module__}.{kind.__qualname__}",
                where=repr(value)[:80],
                fix="pass plain values, arrays, tables or models, or allow pickle on the step: @tw.step(pickle=True)",
            )
        self.code.append(kind)
        return {"$": "pickle", "v": self.blob(pickle.dumps(value, protocol=5))}

    def _named(self, value: object) -> str:
        name = f"{getattr(value, '__module__', '')}:{getattr(value, '__qualname__', '')}"
        if "<" in name:
            raise Invalid(
                f"{name} cannot be found by name, so it cannot be stored",
                fix="define it at the top level of a module of the project",
            )
        self.code.append(value)
        return name

    def blob(self, *parts: bytes | memoryview) -> Node:
        """Bytes, in parts one after the other: short ones in place, long ones by digest."""
        if sum(len(part) for part in parts) <= _INLINE:
            return base64.b64encode(b"".join(parts)).decode("ascii")
        return {"$": "blob", "v": self.codec.store.put_parts([memoryview(part) for part in parts])}


class _Reader:
    def __init__(self, codec: Codec) -> None:
        self.codec = codec

    def value(self, node: Node) -> object:
        """The value of a node."""
        if isinstance(node, list):
            return [self.value(item) for item in node]
        if not isinstance(node, dict):
            return node
        tag = node["$"]
        if tag in _COLLECTIONS:
            return _COLLECTIONS[tag]([self.value(item) for item in node["v"]])
        if tag == "dict":
            return {self.value(key): self.value(item) for key, item in node["v"]}
        if tag in _PARSE:
            return _PARSE[tag](node["v"])
        return self._special(tag, node)

    def _special(self, tag: str, node: Mapping[str, Node]) -> object:
        if tag in ("bytes", "bytearray"):
            data = self.blob(node["v"])
            return data if tag == "bytes" else bytearray(data)
        if tag == "File":
            return open_file(node["place"], Digest(node["v"]))
        if tag in _HANDLES:
            return _HANDLES[tag](self.codec.store, self.blob(node["place"]).decode())
        if tag == "name":
            return _find(node["v"])
        if tag == "enum":
            return cast("type[Enum]", _find(node["type"]))[node["v"]]
        if tag == "dataclass":
            made: object = object.__new__(cast(type, _find(node["type"])))
            for name, part in node["v"]:
                object.__setattr__(made, name, self.value(part))
            return made
        if tag == "namedtuple":
            return cast("Callable[..., object]", _find(node["type"]))(*[self.value(item) for item in node["v"]])
        if tag == "model":
            model_format = self.codec.formats[node["format"]]
            return model_format.load({file: self.blob(part) for file, part in node["v"].items()})
        if tag == "pickle":
            if not self.codec.pickle:
                raise UnsafeFormat("a stored value is a pickle", fix="allow pickle on the step: @tw.step(pickle=True)")
            return cast(object, pickle.loads(self.blob(node["v"])))
        if tag == "array":
            return self._array(node["v"])
        return _load_array(tag, node, self.blob)

    def _array(self, node: Node) -> object:
        """An array; a long one is read into its place piece by piece, so that it is in memory once."""
        from numpy.lib import format

        if isinstance(node, str):
            return format.read_array(io.BytesIO(self.blob(node)), allow_pickle=False)
        pieces = self.codec.store.read(Digest(node["v"]))
        try:
            return cast(object, format.read_array(_Stream(pieces), allow_pickle=False))
        finally:
            for _ in pieces:  # up to the last, after which damage is told
                continue

    def blob(self, node: Node) -> bytes:
        """Bytes as they were."""
        if isinstance(node, str):
            return base64.b64decode(node)
        return self.codec.store.get(Digest(node["v"]))


class _Stream:
    """Pieces of bytes as a file that is read from its beginning."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = memoryview(b"")

    def read(self, size: int = -1, /) -> bytes:
        """The next bytes, so many or less; none at the end."""
        if not self._rest:
            self._rest = memoryview(next(self._pieces, b""))
        size = len(self._rest) if size < 0 else size
        found, self._rest = self._rest[:size], self._rest[size:]
        return bytes(found)


def _without_places(node: Node) -> Node:
    if isinstance(node, list):
        return [_without_places(item) for item in node]
    if isinstance(node, dict):
        return {key: _without_places(item) for key, item in node.items() if key != "place"}
    return node


def _find(name: str) -> object:
    module, _, qualname = name.partition(":")
    found: object = importlib.import_module(module)
    for part in qualname.split("."):
        found = getattr(found, part)
    return found


def _text(value: str | bytes) -> bytes:
    return value.encode() if isinstance(value, str) else value


# ── libraries: looked up by the name of a value's type, so none is imported to say no ────────────


def _numpy(writer: _Writer, value: object) -> Node | None:
    import numpy as np

    if isinstance(value, np.ndarray) and not value.dtype.hasobject:
        return {"$": "array", "v": writer.blob(*_array_parts(value))}
    if isinstance(value, np.generic):
        return {"$": "scalar", "dtype": value.dtype.str, "v": value.tobytes().hex()}
    return None


def _array_parts(value: Any) -> list[bytes | memoryview]:
    """What ``np.save`` writes; of an array that lies in memory as it is written, without a copy."""
    import numpy as np

    out = io.BytesIO()
    flat = value if value.flags.c_contiguous else value.T
    if type(value) is not np.ndarray or value.dtype.fields or not value.size or not flat.flags.c_contiguous:
        np.save(out, value, allow_pickle=False)
        return [out.getvalue()]
    np.lib.format.write_array_header_1_0(out, np.lib.format.header_data_from_array_1_0(value))
    return [out.getvalue(), memoryview(flat.reshape(-1).view(np.uint8))]


def _arrow(writer: _Writer, value: object) -> Node | None:
    import pyarrow as pa

    if isinstance(value, pa.Table):
        return {"$": "arrow", "v": writer.blob(_ipc(value))}
    return None


def _pandas(writer: _Writer, value: object) -> Node | None:
    import pyarrow as pa

    name = type(value).__name__
    if name not in ("DataFrame", "Series"):
        return None
    frame = value if name == "DataFrame" else cast(Any, value).to_frame(name="value")
    label = None if name == "DataFrame" else writer.node(cast(Any, value).name)
    try:
        return {"$": "pandas", "kind": name, "name": label, "v": writer.blob(_ipc(pa.Table.from_pandas(frame)))}
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError):
        return None


def _polars(writer: _Writer, value: object) -> Node | None:
    if type(value).__name__ != "DataFrame":
        return None
    return {"$": "polars", "v": writer.blob(_ipc(cast(Any, value).to_arrow()))}


def _ipc(table: Any) -> memoryview:
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table.combine_chunks())
    return memoryview(sink.getvalue()).cast("B")


def _load_array(tag: str, node: Mapping[str, Node], blob: Callable[[Node], bytes]) -> object:
    if tag == "scalar":
        import numpy as np

        return cast(object, np.frombuffer(bytes.fromhex(node["v"]), dtype=np.dtype(node["dtype"]))[0])
    if tag in ("arrow", "pandas", "polars"):
        import pyarrow as pa

        table = pa.ipc.open_stream(blob(node["v"])).read_all()
        if tag == "arrow":
            return cast(object, table)
        if tag == "polars":
            return cast(object, next(iter(entry_points(group="tidewheel.frames", name="polars"))).load()(table))
        frame = table.to_pandas()
        if node["kind"] == "Series":
            frame = frame["value"]
            frame.name = node["name"]
        return cast(object, frame)
    raise Corrupt(f"a stored value is of the unknown kind {tag!r}", fix="upgrade tidewheel to the version that stored it")


_LIBRARIES: Mapping[str, Callable[[_Writer, object], Node | None]] = {
    "numpy": _numpy,
    "pyarrow": _arrow,
    "pandas": _pandas,
    "polars": _polars,
}
_SIMPLE: Mapping[type, tuple[str, Callable[[Any], Node]]] = {
    datetime: ("datetime", datetime.isoformat),
    date: ("date", date.isoformat),
    timedelta: ("timedelta", lambda span: [span.days, span.seconds, span.microseconds]),
    Decimal: ("decimal", str),
    complex: ("complex", repr),
    range: ("range", lambda span: [span.start, span.stop, span.step]),
}
_PARSE: Mapping[str, Callable[[Any], object]] = {
    "int": int,
    "float": lambda text: struct.unpack(">d", bytes.fromhex(text))[0],
    "datetime": datetime.fromisoformat,
    "date": date.fromisoformat,
    "timedelta": lambda parts: timedelta(*parts),
    "decimal": Decimal,
    "complex": complex,
    "range": lambda parts: range(*parts),
    "path": Path,
}
_COLLECTIONS: Mapping[str, Callable[[list[object]], object]] = {"tuple": tuple, "set": set, "frozenset": frozenset}
_HANDLES: Mapping[str, Callable[[ArtifactStore, str], object]] = {
    "Table": Table.from_json,
    "Split": Split.from_json,
    "Dataset": Dataset.from_json,
}
