"""Which columns a view reads, and of which types its features are, given the schema of its source."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from tidewheel.errors import KeyTypeMismatch, MissingColumns, TypeMismatch, near_miss
from tidewheel.features.definition import FeatureView, ServiceDefinition
from tidewheel.features.feature import Feature
from tidewheel.features.needed_columns import columns_of_lookups, columns_of_windows
from tidewheel.features.state import FLOATS
from tidewheel.schema import DataType, Field, Schema
from tidewheel.sources.definition import GONE, UNTIL

_WIDER = {DataType.INT32: DataType.INT64}


def lookup_columns(view: FeatureView) -> tuple[str, ...]:
    """Columns that the view's look-ups read, sorted: the content of a row, in the order of its canonical bytes.

    Examples
    --------
    >>> from tidewheel.features.definition import entity, features, lookup, view_of
    >>> from tidewheel.sources.definition import source
    >>> @features(source("f", "f.parquet", time="ts"), by=entity("user", uid=int))
    ... class F:
    ...     y = lookup("b")
    ...     x = lookup("a")
    >>> lookup_columns(view_of(F))
    ('a', 'b')
    """
    return columns_of_lookups(view.features)


def event_columns(view: FeatureView) -> tuple[str, ...]:
    """Columns that an event of the view's windows has, in the order of its canonical bytes: event id, then the rest sorted."""
    return columns_of_windows(view.features, view.source.event_id)


def view_columns(view: FeatureView) -> tuple[str, ...]:
    """Every column of the source that the view needs: keys, then those of look-ups and events."""
    return view.columns


def row_schema(view: FeatureView, schema: Schema) -> Schema:
    """Schema of the view's rows: :func:`lookup_columns` with the source's types, and what tells rows of one time apart beside
    them: whether a row is a tombstone, which is greater than any other, or closes another one."""
    fields = [*_pick(view, schema, lookup_columns(view))]
    if view.source.deleted is not None:
        fields.append(Field(GONE, DataType.BOOL, nullable=False))
    if view.source.valid_to is not None:
        fields.append(Field(UNTIL, DataType.INT64))
    return Schema(tuple(fields))


def event_schema(view: FeatureView, schema: Schema) -> Schema:
    """Schema of the view's events: :func:`event_columns` with the source's types."""
    return _pick(view, schema, event_columns(view))


def _pick(view: FeatureView, schema: Schema, names: Iterable[str]) -> Schema:
    check_columns(view, schema)
    return Schema(tuple(schema[name] for name in names))


def check_columns(view: FeatureView, schema: Schema) -> None:
    """Refuse a view whose columns the source does not have, or whose keys have another type there.

    Raises
    ------
    MissingColumns, TypeMismatch, KeyTypeMismatch
        Naming the column.
    """
    for name in view_columns(view):
        if name in schema.unread:
            told = "has no value in it, so no type" if schema.unread[name] == "null" else f"is {schema.unread[name]}"
            raise TypeMismatch(
                f"view {view.name} reads {name!r}, which {told} in source {view.source.name}",
                where=name,
                fix=f"cast or project it in the source's select: {_select(name, schema.unread[name])}",
            )
        if name not in schema:
            raise MissingColumns(
                f"view {view.name} reads {name!r}, which source {view.source.name} does not have",
                where=name,
                fix=near_miss(name, schema.names),
            )
    for key in view.keys:
        check_key(key, schema[key.name].type)


def _select(name: str, kind: str) -> str:
    """A select that makes a column one that can be read."""
    column = '"' + name.replace('"', '""') + '"'
    field = re.match(r"struct<([^:<>]+): ", kind)
    if field is not None:
        return f"SELECT *, {column}.{field[1]} AS {field[1]} FROM this"
    if kind == "uint64":
        return f"SELECT * REPLACE ({column}::BIGINT AS {column}) FROM this, or ::VARCHAR for ids of 2^63 and above"
    return f"SELECT * REPLACE ({column}::{'DOUBLE' if kind == 'null' else 'VARCHAR'} AS {column}) FROM this"


def check_key(key: Field, found: DataType, *, told: str | None = None) -> None:
    """Refuse a key column of another type than declared; int32 stands for int64, nothing else is coerced.

    Raises
    ------
    KeyTypeMismatch
        Saying what came and what is declared.

    Examples
    --------
    >>> check_key(Field("uid", DataType.INT64), DataType.INT32)
    >>> check_key(Field("uid", DataType.INT64), DataType.STRING)
    Traceback (most recent call last):
    tidewheel.errors.KeyTypeMismatch: uid: got string, declared int64 (at uid). Fix: cast it, or declare another type
    """
    if found is not key.type and _WIDER.get(found) is not key.type:
        raise KeyTypeMismatch(
            f"{key.name}: got {told or found.value}, declared {key.type.value}",
            where=key.name,
            fix="cast it, or declare another type",
        )


def feature_type(feature: Feature, schema: Schema) -> DataType:
    """Type of a feature over a source of this schema.

    Examples
    --------
    >>> from tidewheel.features.aggregations.mean import mean
    >>> feature_type(mean("x", "1h"), Schema((Field("x", DataType.INT64),))).value
    'float64'
    """
    column = None if feature.column is None else schema[feature.column].type
    if feature.kind == "lookup":
        assert column is not None
        return column
    from tidewheel.features.aggregations import get_aggregation

    aggregation = get_aggregation(feature.aggregation)
    where = feature.name or feature.aggregation
    for part in feature.parts:
        if (kind := feature_type(part, schema)) not in (DataType.INT32, DataType.INT64, *FLOATS, DataType.DECIMAL):
            raise TypeMismatch(f"{where} divides {part.aggregation}, a {kind.value}", where=where, fix="divide numbers")
    if not feature.parts:
        aggregation.state_of(column, feature, where=where)
    return aggregation.result(column)


def service_schema(service: ServiceDefinition, schemas: Mapping[str, Schema]) -> Schema:
    """Names and types of a service's outputs, in the model's order.

    Parameters
    ----------
    schemas
        Schema of each view's source, by the source's name.
    """
    fields = {one.name: Field(one.name, one.type) for one in service.outputs if one.type is not None}
    for alias in service.uses:
        schema = schemas[alias.view.source.name]
        check_columns(alias.view, schema)
        for name, feature in zip(alias.names, alias.view.features, strict=True):
            fields[name] = Field(name, feature_type(feature, schema))
    for alias in service.uses:
        for key, column in zip(alias.view.keys, alias.columns, strict=True):
            if column.name in fields and column.name not in {one.name for one in service.request}:
                check_key(key, fields[column.name].type)
    return Schema(tuple(fields[name] for name in service.names))
