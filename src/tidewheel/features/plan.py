"""The window features of a view, resolved against its source's schema."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tidewheel.features.aggregations import Aggregation, get_aggregation
from tidewheel.features.columns import event_schema, feature_type
from tidewheel.features.definition import FeatureView
from tidewheel.features.feature import Feature
from tidewheel.features.state import State
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
    """One window feature: which tiles it folds, and how it ends."""

    feature: Feature
    group: int
    aggregation: Aggregation
    type: DataType
    default: pa.Scalar | None


@dataclass(frozen=True, slots=True)
class WindowPlan:
    """The window features of a view, resolved against its source's schema."""

    events: Schema
    groups: tuple[TileGroup, ...]
    windows: tuple[PlannedWindow, ...]

    @property
    def longest(self) -> int:
        """Microseconds back from a query's time that any window can reach, its rounding down included."""
        return max((one.feature.window + one.feature.hop for one in self.windows), default=0)

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
    windows = []
    for one in view.windows:
        kind = None if one.column is None else schema[one.column].type
        aggregation = get_aggregation(one.aggregation)
        group = TileGroup(one.column, kind, one.where, one.hop, aggregation.state_of(kind, where=f"{view.name}.{one.name}"))
        result = feature_type(one, schema)
        default = None
        if one.default is not None:
            from tidewheel.features.encoding import typed_default  # brings Arrow along

            default = typed_default(one.default, result, where=f"{view.name}.{one.name}")
        windows.append(PlannedWindow(one, groups.setdefault(group, len(groups)), aggregation, result, default))
    return WindowPlan(event_schema(view, schema), tuple(groups), tuple(windows))
