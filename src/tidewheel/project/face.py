"""What a node shows its readers: names, types and meanings of what it gives and asks for. Pure."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from tidewheel.digest import Digest, digest
from tidewheel.features.columns import feature_type, view_columns
from tidewheel.features.definition import ServiceDefinition, Transform
from tidewheel.features.feature import Feature
from tidewheel.features.needed_columns import columns_of_lookups, columns_of_windows
from tidewheel.features.view import FeatureView
from tidewheel.project.change_class import ChangeClass
from tidewheel.project.column_change import ColumnChange
from tidewheel.schema import Schema
from tidewheel.sources.column_basis import column_bases
from tidewheel.sources.definition import Source


class Face(msgspec.Struct, frozen=True):
    """A node as its readers see it.

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
    keys = [[key.name, key.type.value] for key in view.keys]
    return [column_bases(view.source, view_columns(view)), keys, view.ttl, view.strict_ties]


def face_of_source(source: Source, schema: Schema, parameters: Mapping[str, object]) -> Face:
    """The columns of a source; what decides one of them is its meaning.

    Parameters
    ----------
    parameters
        As they are declared.
    """
    rest = {name: value for name, value in parameters.items() if name != "select"}
    bases = column_bases(source, schema.names)
    return Face({one.name: (one.type.value, str(digest([rest, bases[one.name]]))) for one in schema.fields}, {})


def face_of_view(view: FeatureView, schema: Schema, parameters: Mapping[str, object]) -> Face:
    """The features of a view, each with the columns that it reads and the rows that those are in.

    Parameters
    ----------
    schema
        Of its source.
    parameters
        As they are declared.
    """
    rest = {name: value for name, value in parameters.items() if name != "features"}
    keys = {key.name: key.type.value for key in view.keys}
    bases = column_bases(view.source, view.columns)
    read = {one.name: _columns_of(one, view) for one in view.features}
    meanings = {
        one.name: str(digest([rest, one.parameters, [bases[name] for name in read[one.name]]])) for one in view.features
    }
    return Face({one.name: (feature_type(one, schema).value, meanings[one.name]) for one in view.features}, keys)


def _columns_of(feature: Feature, view: FeatureView) -> list[str]:
    """Columns that decide a feature; of rows at one time the greatest counts, so that look-ups read what all of them do."""
    looked = columns_of_lookups(view.features) if feature.kind == "lookup" else ()
    return [*(key.name for key in view.keys), *looked, *columns_of_windows([feature], view.source.event_id)]


def face_of_transform(transform: Transform, code: Digest) -> Face:
    """What a transform takes and gives."""
    given = (transform.returns.type.value, str(digest([transform.parameters, code])))
    return Face({transform.name: given}, {one.name: one.type.value for one in transform.inputs if one.required})


def judge(before: Face, after: Face) -> ChangeClass | None:
    """What becomes of the readers of the earlier face; ``None`` when nothing that it shows differs.

    Examples
    --------
    >>> before = Face({"fare": ("int64", "a")}, {"uid": "int64"})
    >>> judge(before, Face({"fare": ("int64", "a"), "tip": ("int64", "b")}, {"uid": "int64"}))
    'additive'
    >>> judge(before, Face({"fare": ("int64", "b")}, {"uid": "int64"}))
    'value-changing'
    >>> judge(before, Face({"fare": ("int64", "a")}, {"uid": "int64", "zone": "int64"}))
    'schema-breaking'
    """
    kept = {name: given for name, given in after.outputs.items() if name in before.outputs}
    types = {name: kind for name, (kind, _) in kept.items()}
    if types != {name: kind for name, (kind, _) in before.outputs.items()} or after.inputs.items() - before.inputs.items():
        return "schema-breaking"
    if kept != before.outputs:
        return "value-changing"
    return "additive" if after != before else None


def differing(before: Face, after: Face) -> tuple[ColumnChange, ...]:
    """The outputs that are not what they were, in the order of the later face; what is gone is told last.

    Examples
    --------
    >>> before = Face({"fare": ("int64", "a"), "tip": ("int64", "b")}, {})
    >>> [(one.name, one.what) for one in differing(before, Face({"fare": ("int64", "c")}, {}))]
    [('fare', 'changed'), ('tip', 'removed')]
    """
    found = []
    for name, given in after.outputs.items():
        known = before.outputs.get(name)
        if known is None:
            found.append(ColumnChange(name, "added"))
        elif known != given:
            found.append(ColumnChange(name, "changed" if known[0] == given[0] else "retyped"))
    return (*found, *(ColumnChange(name, "removed") for name in before.outputs if name not in after.outputs))


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
