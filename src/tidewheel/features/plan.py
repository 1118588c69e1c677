"""The window features of a view, resolved against its source's schema."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tidewheel.features.aggregations import Aggregation, get_aggregation
from tidewheel.features.columns import event_schema, feature_type
from tidewheel.features.definition import FeatureView
from tidewheel.features.feature import Feature
from tidewheel.features.state import State
from tidewheel.features.windows import FOREVER
from tidewheel.schema import DataType, Schema

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class TileGroup:
    """What one set of tiles is folded from; windows of any length over the same share it."""

    column: str | None
    kind: DataType | None
    where: str | None
    hop: int
    state: State


@dataclass(frozen=True, slots=True)
class PlannedWindow:
    """One window feature: which tiles it folds, and how it ends; or which two of the plan's ``parts`` it is made of."""

    feature: Feature
    group: int
    aggregation: Aggregation
    type: DataType
    default: pa.Scalar | None
    parts: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class WindowPlan:
    """The window features of a view, resolved against its source's schema."""

    events: Schema
    groups: tuple[TileGroup, ...]
    windows: tuple[PlannedWindow, ...]
    parts: tuple[PlannedWindow, ...] = ()

    @property
    def longest(self) -> int:
        """Microseconds back from a query's time that any window can reach, its rounding down included."""
        folded = (one.feature for one in (*self.windows, *self.parts))
        return max((one.window + one.hop + one.offset for one in folded), default=0)

    def reach(self, group: int) -> tuple[int, bool]:
        """Of one group: microseconds back from a query's time that its windows can tell one tile from another, and whether one
        of them goes on from there to the first event."""
        own = [one.feature for one in (*self.windows, *self.parts) if one.group == group]
        endless = any(one.window >= FOREVER for one in own)
        return max((one.window % FOREVER + one.hop + one.offset for one in own), default=0), endless

    def part(self, windows: Sequence[int]) -> tuple[WindowPlan, tuple[int, ...]]:
        """A plan of some windows over the same events, by their places, and the numbers that its groups have here."""
        chosen = [self.windows[place] for place in windows]
        parts = list(dict.fromkeys(part for one in chosen for part in one.parts))
        behind = [self.parts[part] for part in parts]
        groups = tuple(sorted({one.group for one in (*chosen, *behind) if not one.parts}))
        number = {group: place for place, group in enumerate(groups)} | {-1: -1}
        made = [
            replace(one, group=number[one.group], parts=tuple(parts.index(part) for part in one.parts))
            for one in (*chosen, *behind)
        ]
        own = tuple(self.groups[group] for group in groups)
        return WindowPlan(self.events, own, tuple(made[: len(chosen)]), tuple(made[len(chosen) :])), groups

    @property
    def endless(self) -> bool:
        """Whether a window reaches back to the first event."""
        return self.longest >= FOREVER

    def needed_from(self, watermark: int) -> int:
        """First instant whose raw events are needed beside tiles that are closed up to a watermark: no hop is cut."""
        return min((watermark // group.hop * group.hop for group in self.groups), default=watermark)


def plan_windows(view: FeatureView, schema: Schema) -> WindowPlan:
    """Resolve a view's window features: which states, which types, which tiles can be shared.

    Raises
    ------
    MissingColumns, TypeMismatch
        Naming the column or the feature.
    """
    groups: dict[TileGroup, int] = {}
    windows: list[PlannedWindow] = []
    parts: list[PlannedWindow] = []
    for one in view.windows:
        where = f"{view.name}.{one.name}"
        if one.parts:
            made = [_planned(part, schema, groups, where) for part in one.parts]
            places = tuple(range(len(parts), len(parts) + len(made)))
            parts += made
            result = feature_type(one, schema)
            default = _default(one, result, where)
            windows.append(PlannedWindow(one, -1, get_aggregation(one.aggregation), result, default, places))
        else:
            windows.append(_planned(one, schema, groups, where))
    return WindowPlan(event_schema(view, schema), tuple(groups), tuple(windows), tuple(parts))


def _planned(one: Feature, schema: Schema, groups: dict[TileGroup, int], where: str) -> PlannedWindow:
    kind = None if one.column is None else schema[one.column].type
    aggregation = get_aggregation(one.aggregation)
    group = TileGroup(one.column, kind, one.where, one.hop, aggregation.state_of(kind, one, where=where))
    result = feature_type(one, schema)
    default = _default(one, result, where)
    return PlannedWindow(one, groups.setdefault(group, len(groups)), aggregation, result, default)


def _default(one: Feature, result: DataType, where: str) -> pa.Scalar | None:
    if one.default is None:
        return None
    from tidewheel.features.encoding import typed_default  # brings Arrow along

    return typed_default(one.default, result, where=where)
