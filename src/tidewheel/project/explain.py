"""Explain the features of one request: offline from the sources, online from the store, side by side."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from tidewheel.clock import Micros, format_instant
from tidewheel.errors import HistoryUnavailable, Invalid, NotMaterialized
from tidewheel.features.columns import view_columns
from tidewheel.features.definition import FeatureView, ServiceDefinition, Use
from tidewheel.features.explain import (
    Evidence,
    Explained,
    SeenRow,
    SeenTile,
    define,
    offline_evidence,
    online_evidence,
    window_of,
)
from tidewheel.features.feature import Feature
from tidewheel.features.online import OnlineLayout
from tidewheel.features.plan import plan_windows
from tidewheel.features.prepare import prepare
from tidewheel.features.register import OnlineViews
from tidewheel.features.retrieve import retrieve
from tidewheel.project.open import Workspace
from tidewheel.schema import DataType, Field, Schema
from tidewheel.serving.feature_request import AskedFeatures, FeatureInputs

_AT = "__asked_at"
_PLAIN = (DataType.BOOL, DataType.INT32, DataType.INT64, DataType.FLOAT32, DataType.FLOAT64)


@dataclass(frozen=True, slots=True)
class Explanation:
    """A service's features for one request.

    ``trouble`` says why there is no online side, where there is none.
    """

    service: str
    at: Micros
    asked: Mapping[str, object]
    features: tuple[Explained, ...]
    trouble: str | None = None

    @property
    def agree(self) -> bool:
        """Whether no feature differs between the two sides."""
        return all(one.agree is not False for one in self.features)

    def to_json(self) -> dict[str, object]:
        """Plain values; instants as ISO 8601."""
        return {
            "service": self.service,
            "at": format_instant(self.at),
            "asked": dict(self.asked),
            "agree": self.agree,
            "trouble": self.trouble,
            "features": [_feature_json(one) for one in self.features],
        }


def read_asked(service: ServiceDefinition, given: Sequence[str]) -> dict[str, object]:
    """Inputs written as ``name=value``, in the types that the service declares.

    Raises
    ------
    Invalid, MissingColumns, UnknownInput, KeyTypeMismatch, TypeMismatch
        With the name at fault.
    """
    sent: dict[str, object] = {}
    types = {one.name: one.type for one in (*service.keys, *service.request)}
    for one in given:
        name, equals, text = one.partition("=")
        if not equals:
            raise Invalid(f"{one!r} is not name=value", where=one, fix=f"write {one}=VALUE")
        sent[name] = _read_text(text, types.get(name))
    inputs = FeatureInputs(tuple({one.name: one for one in (*service.request, *service.keys)}.values()), service.keys)
    columns = inputs.read(AskedFeatures([sent], None))
    return {name: values[0] for name, values in columns.items()}


def _read_text(text: str, kind: DataType | None) -> object:
    """A value as JSON would have it: only where a number or a truth is declared is the text one."""
    if kind in _PLAIN:
        try:
            return json.loads(text)
        except ValueError:
            return text
    return text


def explain(workspace: Workspace, service: ServiceDefinition, asked: Mapping[str, object], *, at: Micros) -> Explanation:
    """What made each feature of a service, for one request at one instant.

    Parameters
    ----------
    asked
        Keys and request values in their declared types.
    """
    schemas = {view.source.name: workspace.sources.schema(view.source) for view in service.views}
    offline = _offline(workspace, service, asked, at)
    online, trouble = _online(workspace, service, schemas, asked, at)
    layouts = _layouts(workspace, service, schemas) if online is not None else {}
    features: list[Explained] = []
    of_view: dict[str, Explained] = {}
    # a key may be a feature of another view: each side has its own answer for it
    sides = tuple({**dict(zip(service.names, one or (), strict=False)), **asked} for one in (offline, online))
    for use in service.uses:
        schema, layout = schemas[use.view.source.name], layouts.get(use.view.name)
        for one in _explain_use(workspace, use, schema, (sides[0], sides[1]), at=at, layout=layout):
            of_view[one.name] = one
    for place, output in enumerate(service.outputs):
        found = of_view.get(output.name, Explained(output.name, output.origin, output.origin, None))
        value = None if online is None else online[place]
        agree = None if online is None else _same(offline[place], value)
        features.append(
            Explained(
                found.name,
                output.origin,
                found.definition,
                offline[place],
                value,
                agree,
                found.window,
                found.evidence_offline,
                found.evidence_online if online is not None else None,
                found.parts,
            )
        )
    return Explanation(service.name, at, asked, tuple(features), trouble)


def _offline(workspace: Workspace, service: ServiceDefinition, asked: Mapping[str, object], at: Micros) -> list[object]:
    fields = {one.name: one for one in (*service.keys, *service.request)}
    columns = {name: pa.array([asked[name]], field.type.arrow()) for name, field in fields.items()}
    spine = pa.table(columns | {_AT: pa.array([at], pa.int64())})
    table = retrieve(service, spine, time=_AT, sources=workspace.sources).table
    return [column.to_pylist()[0] for column in table.columns]


def _online(
    workspace: Workspace, service: ServiceDefinition, schemas: Mapping[str, Schema], asked: Mapping[str, object], at: Micros
) -> tuple[list[object] | None, str | None]:
    numbers = OnlineViews(workspace.database, workspace.clock).list_ids()
    try:
        prepared = prepare(service, store=workspace.online, view_ids=numbers, schemas=schemas)
        return list(prepared.answer([asked], at=[at]).values[0]), None
    except (NotMaterialized, HistoryUnavailable) as error:
        return None, str(error)


def _layouts(workspace: Workspace, service: ServiceDefinition, schemas: Mapping[str, Schema]) -> dict[str, OnlineLayout]:
    numbers = OnlineViews(workspace.database, workspace.clock).list_ids()
    return {view.name: OnlineLayout(view, numbers[view.online_version], schemas[view.source.name]) for view in service.views}


def _explain_use(
    workspace: Workspace,
    use: Use,
    schema: Schema,
    sides: tuple[Mapping[str, object], Mapping[str, object]],
    *,
    at: Micros,
    layout: OnlineLayout | None,
) -> list[Explained]:
    """The features of one use; without evidence where its key is null.

    Parameters
    ----------
    sides
        What is known by name offline and online: inputs, and features that are keys of others.
    """
    view = use.view
    parts, parts_online = ([known.get(column.name) for column in use.columns] for known in sides)
    offline: dict[str, tuple[Evidence, ...]] = {}
    if None not in parts:
        offline = offline_evidence(view, schema, _rows(workspace, view, schema, parts, at), at=at)
    online: dict[str, tuple[Evidence, ...]] = {}
    if None not in parts_online and layout is not None:
        key = layout.keys.encode(parts_online)
        rows, sets = workspace.online.read([key], [key])
        online = online_evidence(layout, rows[0], sets[0], at=at)
    explained = []
    for name, feature in zip(use.names, view.features, strict=True):
        count = len(feature.inputs)
        pairs = zip(offline.get(feature.name, (Evidence(),) * count), online.get(feature.name, (None,) * count), strict=True)
        made = [_explain_part(name, view, part, at, pair) for part, pair in zip(feature.inputs, pairs, strict=True)]
        if feature.parts:
            made = [Explained(name, f"view:{view.name}", define(feature), None, parts=tuple(made))]
        explained += made
    return explained


def _explain_part(
    name: str, view: FeatureView, feature: Feature, at: Micros, evidence: tuple[Evidence, Evidence | None]
) -> Explained:
    return Explained(
        name,
        f"view:{view.name}",
        define(feature),
        None,
        window=window_of(feature, at) if feature.kind == "window" else None,
        evidence_offline=evidence[0],
        evidence_online=evidence[1],
    )


def _rows(workspace: Workspace, view: FeatureView, schema: Schema, parts: Sequence[object], at: Micros) -> pa.Table:
    """Rows of one key, as far back as any feature reaches."""
    plan = plan_windows(view, schema)
    start = None if view.lookups or plan.endless else Micros(at - plan.longest)
    simple = [(key, part) for key, part in zip(view.keys, parts, strict=True) if isinstance(part, int | str)]
    where = " AND ".join(f"{_quoted(key.name, double=True)} = {_literal(part)}" for key, part in simple) or None
    rows = workspace.sources.scan(view.source, view_columns(view), start=start, end=Micros(at + 1), where=where)
    for key, part in zip(view.keys, parts, strict=True):
        rows = rows.filter(pc.equal(rows.column(key.name), _scalar(part, key)))
    return rows


def _literal(part: int | str) -> str:
    return _quoted(part, double=False) if isinstance(part, str) else str(part)


def _quoted(text: str, *, double: bool) -> str:
    mark = '"' if double else "'"
    return f"{mark}{text.replace(mark, mark * 2)}{mark}"


def _scalar(part: object, key: Field) -> pa.Scalar:
    return pa.scalar(part, key.type.arrow())


def _same(left: object, right: object) -> bool:
    return left == right or (left != left and right != right)


# ── as JSON ──────────────────────────────────────────────────────────────────────────────────────


def _feature_json(one: Explained) -> dict[str, object]:
    told: dict[str, object] = {
        "name": one.name,
        "origin": one.origin,
        "definition": one.definition,
        "offline": one.offline,
        "online": one.online,
        "agree": one.agree,
    }
    if one.origin.startswith("view:"):
        told |= _made_json(one)
    return told


def _made_json(one: Explained) -> dict[str, object]:
    if one.parts:
        return {"parts": [{"definition": part.definition, **_made_json(part)} for part in one.parts]}
    told: dict[str, object] = {}
    if one.window is not None:
        told["window"] = [None if edge is None else format_instant(edge) for edge in one.window]
    told["made_of"] = {
        "offline": _evidence_json(one.evidence_offline),
        "online": None if one.evidence_online is None else _evidence_json(one.evidence_online),
    }
    return told


def _evidence_json(one: Evidence) -> dict[str, object]:
    return {
        "tiles": [_tile_json(tile) for tile in one.tiles],
        "events": [_row_json(row) for row in one.events],
        "event_count": one.count,
        "row": None if one.row is None else _row_json(one.row),
    }


def _tile_json(one: SeenTile) -> dict[str, object]:
    return {"start": format_instant(one.start), "end": format_instant(one.end), "count": one.count}


def _row_json(one: SeenRow) -> dict[str, object]:
    return {
        "event_time": format_instant(one.event_time),
        "known_from": format_instant(one.known_from),
        "values": dict(one.values),
        **({"gone": True} if one.gone else {}),
        **({} if one.until is None else {"until": format_instant(one.until)}),
    }
