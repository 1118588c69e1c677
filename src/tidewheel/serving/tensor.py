"""Tensors of the Open Inference Protocol v2, JSON and binary: bytes to flat lists of Python values and back.

*Source*: KServe's ``open_inference_rest.yaml``, Triton's binary data extension, and what ``tritonclient.http`` sends.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tidewheel.errors import BodyTooLarge, Invalid

MAX_ELEMENTS = 1_000_000

_BINARY: Mapping[str, str] = {
    "BOOL": "?",
    "UINT8": "<u1",
    "UINT16": "<u2",
    "UINT32": "<u4",
    "UINT64": "<u8",
    "INT8": "<i1",
    "INT16": "<i2",
    "INT32": "<i4",
    "INT64": "<i8",
    "FP16": "<f2",
    "FP32": "<f4",
    "FP64": "<f8",
    "BF16": "<u2",
}
DATATYPES = (*_BINARY, "BYTES")


@dataclass(frozen=True, slots=True)
class Tensor:
    """A named tensor; ``values`` are flat and row-major: bool, int, float, or bytes for ``BYTES``."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    values: Sequence[object]


def check_shape(shape: object, where: str) -> tuple[int, ...]:
    """A shape whose product is small enough to allocate for.

    Examples
    --------
    >>> check_shape([2, 3], "x")
    (2, 3)
    """
    if not isinstance(shape, list) or not all(type(part) is int for part in shape) or not 1 <= len(shape) <= 8:
        raise Invalid(f"{where}: shape must be a list of 1 to 8 whole numbers", where=where, fix='send "shape": [1]')
    if any(part < 0 for part in shape):
        raise Invalid(f"{where}: shape {shape} has a negative dimension", where=where, fix="send the real shape")
    if math.prod(shape) > MAX_ELEMENTS or max(shape) > MAX_ELEMENTS:
        raise BodyTooLarge(
            f"{where}: shape {shape} has more than {MAX_ELEMENTS} elements", where=where, fix="send smaller batches"
        )
    return tuple(shape)


def from_json(name: str, datatype: str, *, shape: tuple[int, ...], data: object) -> Tensor:
    """A tensor from JSON data, nested or flat."""
    if datatype in ("FP16", "BF16"):
        raise Invalid(f"tensor {name!r}: {datatype} has no JSON form", where=name, fix="send it binary, or as FP32")
    if not isinstance(data, list):
        raise Invalid(f"tensor {name!r}: data must be an array", where=name, fix='send "data": [...]')
    nested = any(isinstance(item, list) for item in data)
    flat: list[object] = []
    if nested:
        _flatten(name, data, shape, 0, flat)
    else:
        flat = data
    count = math.prod(shape)
    if len(flat) != count:
        raise Invalid(
            f"tensor {name!r}: shape {list(shape)} needs {count} elements, data has {len(flat)}",
            where=name,
            fix="make shape and data agree",
        )
    check = _CHECKS[datatype]
    for index, value in enumerate(flat):
        if not (value is None or check(value)):
            raise Invalid(
                f"tensor {name!r}: element {index} is {repr(value)[:60]}, not {datatype}",
                where=name,
                fix=f"send {datatype} values",
            )
    if datatype == "BYTES":
        flat = [value.encode() if isinstance(value, str) else value for value in flat]
    return Tensor(name, datatype, shape, flat)


def from_binary(name: str, datatype: str, *, shape: tuple[int, ...], data: bytes) -> Tensor:
    """A tensor from raw little-endian bytes; ``BYTES`` elements each follow their length in four bytes."""
    count = math.prod(shape)
    if datatype == "BYTES":
        values: list[object] = _split_bytes(name, data)
        if len(values) != count:
            raise Invalid(
                f"tensor {name!r}: shape {list(shape)} needs {count} elements, the binary data has {len(values)}",
                where=name,
                fix="make shape and data agree",
            )
        return Tensor(name, datatype, shape, values)
    kind = np.dtype(_BINARY[datatype])
    if len(data) != count * kind.itemsize:
        raise Invalid(
            f"tensor {name!r}: {datatype} of shape {list(shape)} is {count * kind.itemsize} bytes, not {len(data)}",
            where=name,
            fix="set binary_data_size to the size of the tensor",
        )
    array = np.frombuffer(data, dtype=kind)
    if datatype == "BF16":
        array = (array.astype(np.uint32) << 16).view(np.float32)
    return Tensor(name, datatype, shape, array.tolist())


def to_binary(tensor: Tensor) -> bytes:
    """Raw bytes of a tensor."""
    if tensor.datatype == "BYTES":
        return b"".join(struct.pack("<I", len(value)) + value for value in tensor.values if isinstance(value, bytes))
    return np.asarray(tensor.values, dtype=_BINARY[tensor.datatype]).tobytes()


def to_json(tensor: Tensor) -> list[object]:
    """Flat JSON values of a tensor."""
    if tensor.datatype == "BYTES":
        return [value.decode() if isinstance(value, bytes) else value for value in tensor.values]
    return list(tensor.values)


def _flatten(name: str, data: object, shape: tuple[int, ...], depth: int, out: list[object]) -> None:
    if depth == len(shape):
        out.append(data)
        return
    if not isinstance(data, list) or len(data) != shape[depth]:
        raise Invalid(
            f"tensor {name!r}: data does not have shape {list(shape)}",
            where=name,
            fix="send flat data, or nest it like the shape",
        )
    for item in data:
        _flatten(name, item, shape, depth + 1, out)


def _split_bytes(name: str, data: bytes) -> list[object]:
    values: list[object] = []
    place = 0
    while place < len(data):
        size = int.from_bytes(data[place : place + 4], "little")
        end = place + 4 + size
        if place + 4 > len(data) or end > len(data):
            raise Invalid(
                f"tensor {name!r}: an element of {size} bytes runs past the end",
                where=name,
                fix="put each element after its length as four little-endian bytes",
            )
        values.append(data[place + 4 : end])
        place = end
    return values


def _integers(low: int, high: int) -> Callable[[object], bool]:
    return lambda value: type(value) is int and low <= value <= high


_CHECKS: Mapping[str, Callable[[object], bool]] = {
    "BOOL": lambda value: type(value) is bool,
    **{f"INT{bits}": _integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) for bits in (8, 16, 32, 64)},
    **{f"UINT{bits}": _integers(0, 2**bits - 1) for bits in (8, 16, 32, 64)},
    "FP32": lambda value: type(value) in (int, float),
    "FP64": lambda value: type(value) in (int, float),
    "BYTES": lambda value: type(value) is str,
}
