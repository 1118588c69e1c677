"""What a service shows its readers: names, types and meanings of what it answers and asks for. Pure."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from tidewheel.digest import Digest, digest
from tidewheel.features.definition import ServiceDefinition
from tidewheel.features.view import FeatureView
from tidewheel.schema import Schema


class Face(msgspec.Struct, frozen=True):
    """A service as its readers see it.

    Parameters
    ----------
    outputs
        Of each output its type and a digest of what decides its value, data apart.
    inputs
        Keys and request values that must be sent, with their types.
    """

    outputs: dict[str, tuple[str, str]]
    inputs: dict[str, str]

    def to_json(self) -> bytes:
        """The face as JSON."""
        return msgspec.json.encode(self)

    @classmethod
    def from_json(cls, data: bytes) -> Face:
        """Read what :meth:`to_json` wrote."""
        return msgspec.json.decode(data, type=cls)


def face_of(service: ServiceDefinition, schema: Schema, code: Mapping[str, Digest]) -> Face:
    """The face of a service.

    Parameters
    ----------
    schema
        Of its outputs.
    code
        Digest of the code of each transform, by name.

    Examples
    --------
    >>> from tidewheel.features.definition import request, service
    >>> from tidewheel.schema import DataType, Field
    >>> shown = face_of(service("s", request(km=float)), Schema((Field("km", DataType.FLOAT64),)), {})
    >>> list(shown.outputs), shown.inputs
    (['km'], {'km': 'float64'})
    """
    meanings: dict[str, object] = {}
    for one in service.uses:
        for name, feature in zip(one.names, one.view.features, strict=True):
            meanings[name] = [_about(one.view), feature.parameters | {"name": ""}, [column.name for column in one.columns]]
    for transform in service.transforms:
        meanings[transform.name] = [transform.parameters, code.get(transform.name, "")]
    outputs = {one.name: (one.type.value, str(digest(meanings.get(one.name, "request")))) for one in schema.fields}
    asked = {one.name: one.type.value for one in (*service.keys, *service.request)}
    return Face(outputs, asked)


def _about(view: FeatureView) -> list[object]:
    return [view.source.version, [[key.name, key.type.value] for key in view.keys], view.ttl, view.strict_ties]


def broken_promises(before: Face, after: Face) -> tuple[str, ...]:
    """What readers of the earlier face would no longer get, in words; what is new beside it breaks nothing.

    Examples
    --------
    >>> broken_promises(Face({"fare": ("int64", "a")}, {"uid": "int64"}), Face({"fare": ("float64", "b")}, {"uid": "int64"}))
    ('fare was int64 and would be float64',)
    """
    told = []
    for name, (kind, meaning) in before.outputs.items():
        if name not in after.outputs:
            told.append(f"{name} would be gone")
        elif kind != after.outputs[name][0]:
            told.append(f"{name} was {kind} and would be {after.outputs[name][0]}")
        elif meaning != after.outputs[name][1]:
            told.append(f"{name} would be computed in another way")
    for name, kind in after.inputs.items():
        if name not in before.inputs:
            told.append(f"{name} would have to be sent")
        elif kind != before.inputs[name]:
            told.append(f"{name}, which is sent, was {before.inputs[name]} and would be {kind}")
    return tuple(told)
