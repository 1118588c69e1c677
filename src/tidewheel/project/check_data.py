"""Check what stands behind the definitions: rows by what is expected, views by their sources, online rows by offline ones.

Nothing is written: what is wrong is told, with the command that mends it.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from tidewheel.clock import DAY, Micros, format_instant
from tidewheel.errors import Corrupt, HistoryUnavailable, TidewheelError
from tidewheel.features.arrivals import find_arrivals
from tidewheel.features.case import service_of_view
from tidewheel.features.definition import FeatureView, view_of
from tidewheel.features.prepare import prepare
from tidewheel.features.register import Bookmark, OnlineViews
from tidewheel.features.retrieve import retrieve
from tidewheel.monitors.definition import Monitor
from tidewheel.project.load import Project
from tidewheel.project.open import Workspace
from tidewheel.project.parity import different
from tidewheel.sources.definition import Source
from tidewheel.sources.validate import told

_EXAMPLES = 20
_DAMAGED = (HistoryUnavailable, Corrupt, ArithmeticError, LookupError, ValueError, TypeError, pa.ArrowException)
"""What reading bytes that are not what they were may raise."""

Keys = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong, will go wrong, or may; the message says what to do."""

    level: str
    where: str
    message: str


@dataclass(frozen=True, slots=True)
class OnlineMismatch:
    """A feature that is otherwise online than it is computed offline, at one instant (microseconds UTC)."""

    keys: Keys
    feature: str
    at: Micros
    online: object
    computed: object


@dataclass(frozen=True, slots=True)
class OnlineParity:
    """What a view answers online for a sample of its keys, against the same computed from the source."""

    view: str
    keys: int
    values: int
    mismatches: int
    examples: tuple[OnlineMismatch, ...]


def check_rows(project: Project, workspace: Workspace) -> Iterator[Finding]:
    """Sources that cannot be read, whose rows break a rule, or have rows in quarantine."""
    nodes = project.graph.nodes.values()
    sources = [(where, view.source) for where, view in _views(project)]  # whose own expectations are among those of its source
    sources += [(one.where, one.definition) for one in nodes if isinstance(one.definition, Source)]
    told_of: set[str] = set()
    for where, source in {(one.name, one.expect): (where, one) for where, one in sources}.values():
        try:
            verdict = workspace.sources.verdict(source)
            compared = workspace.sources.compare_files(source, workspace.sources.snapshot(source))
        except TidewheelError as error:
            yield Finding("error", where, f"source {source.name} cannot be read: {error}")
            continue
        yield from (Finding("warning", where, one) for one in compared if one not in told_of)
        told_of.update(compared)
        for one in verdict.findings:
            if one.broken and one.otherwise != "quarantine":
                yield Finding("error" if one.otherwise == "stop" else "warning", where, told(source.name, one))
        if verdict.quarantined:
            told_rules = ", ".join(repr(one.rule) for one in verdict.findings if one.otherwise == "quarantine" and one.failed)
            what = f"source {source.name}: {verdict.quarantined} rows are in quarantine, by {told_rules}: see {verdict.kept}"
            yield Finding("warning", where, what)


def check_freshness(project: Project, workspace: Workspace) -> Iterator[Finding]:
    """Views that are online, and whose sources have files by now that are not."""
    for where, view in _views(project):
        mark = _bookmark(workspace, view)
        behind = None if mark is None else _behind(workspace, view, mark)
        if mark is not None and behind is not None:
            what = f"view {view.name} is behind its source: {behind}, since it was materialised at {format_instant(mark.at)}"
            yield Finding("error", where, f"{what}. Next: tidewheel run view:{view.name}")


def check_monitors(project: Project, workspace: Workspace) -> Iterator[Finding]:
    """Monitors with an alert that lasts, or with windows that nobody has judged."""
    for declaration in project.graph.nodes.values():
        monitor = declaration.definition
        if not isinstance(monitor, Monitor):
            continue
        for alert in workspace.monitors.list_alerts(monitor.name, state="lasting"):
            checks = ", ".join(
                f"{one.column.removeprefix('f.')} {one.metric} {one.value:.3g} (limit {one.limit:.3g})"
                for one in alert.checks[:3]
            )
            what = f"{declaration.id}: {alert.kind} since {format_instant(alert.first_window)}: {checks}"
            yield Finding("error", declaration.where, f"{what}. Next: tidewheel run {declaration.id} once it is mended")
        times = workspace.prediction_log(monitor.deployment).read(columns=["at"])["at"]
        judged = workspace.monitors.list_windows(monitor.name, limit=1)
        if len(times):
            first, last = (int(one.as_py()) for one in pc.min_max(times).values())
            since = int(judged[0].end) if judged else first - first % min(DAY, monitor.window)
            due = (last - since) // monitor.window
            if due > 0:
                what = f"{declaration.id}: {due} windows of predictions are complete and not judged"
                yield Finding("warning", declaration.where, f"{what}. Next: tidewheel run {declaration.id}")


def compare_online(project: Project, workspace: Workspace, *, sample: int) -> Iterator[OnlineParity | Finding]:
    """What views answer online for some keys, as of now and as of their newest row, against the same computed offline.

    Views that are behind their sources differ for that reason, and are left out.
    """
    for where, view in _views(project):
        mark = _bookmark(workspace, view)
        if mark is None or not sample:
            continue
        try:
            if _behind(workspace, view, mark) is not None:
                continue
            compared = _Compared(workspace, view)
            yield compared.parity(mark, sample)
        except TidewheelError as error:
            yield Finding("error", where, f"view {view.name} does not answer online: {error}")
            continue
        for keys, why in list(compared.unread.items())[:_EXAMPLES]:
            what = f"view {view.name}: the online row of {keys} cannot be read: {why}"
            yield Finding("error", where, f"{what}. Next: tidewheel admin rebuild {view.name}")


def shown_keys(keys: Mapping[str, object]) -> str:
    """Keys as a person reads them.

    Examples
    --------
    >>> shown_keys({"shop_id": 3})
    'shop_id=3'
    """
    return ", ".join(f"{name}={value}" for name, value in keys.items()) or "everything"


class _Compared:
    """A view online beside the same view offline.

    Attributes
    ----------
    unread
        Keys whose rows do not answer, with the reason.
    """

    def __init__(self, workspace: Workspace, view: FeatureView) -> None:
        self._workspace = workspace
        self._view = view
        self._service = service_of_view(view)
        sources = workspace.sources
        schemas = {view.source.name: sources.schema(view.source)}
        ids = OnlineViews(workspace.database, workspace.clock).list_ids()
        self._online = prepare(self._service, store=workspace.online, view_ids=ids, schemas=schemas)
        self.unread: dict[str, str] = {}

    def parity(self, mark: Bookmark, sample: int) -> OnlineParity:
        """A sample of keys, at two instants."""
        keys = _sampled(self._workspace, self._view, sample)
        now = self._workspace.clock()
        found: dict[tuple[int, str], OnlineMismatch] = {}
        compared = 0
        for at in sorted({min(mark.until, now), now}):
            wrong, answered = self._differing(keys, at, last=at == now)
            if wrong:  # a row may have come between the two reads
                again = self._differing(keys, at, last=False)[0]
                found = {place: one for place, one in wrong.items() if place in again} | found
            compared += answered * len(self._service.names)
        return OnlineParity(self._view.name, len(keys), compared, len(found), tuple(found.values())[:_EXAMPLES])

    def _differing(self, keys: Sequence[Keys], at: Micros, *, last: bool) -> tuple[dict[tuple[int, str], OnlineMismatch], int]:
        """What differs, by key and feature, and for how many keys there was an answer."""
        answers = self._answers(keys, at, last=last)
        places = [place for place, one in enumerate(answers) if one is not None]
        if not places:
            return {}, 0
        spine = {
            key.name: pa.array([keys[place][key.name] for place in places], key.type.arrow()) for key in self._service.keys
        }
        asked = pa.table(spine | {"__at": pa.array([at] * len(places), pa.int64())})
        computed = retrieve(self._service, asked, time="__at", sources=self._workspace.sources).table
        wrong = {}
        for column, name in enumerate(self._service.names):
            values = [one[column] for one in answers if one is not None]
            for row in different(pa.array(values, computed[name].type), computed[name]):
                place = places[row]
                offline = computed[name][row].as_py()
                wrong[place, name] = OnlineMismatch(keys[place], name, at, values[row], offline)
        return wrong, len(places)

    def _answers(self, keys: Sequence[Keys], at: Micros, *, last: bool) -> list[Sequence[object] | None]:
        """The answer of each key, all at once; one by one where a row is damaged, which may show as anything."""
        if not keys:
            return []
        try:
            return list(self._online.answer(keys, at=[at] * len(keys)).values)
        except _DAMAGED:
            pass
        found: list[Sequence[object] | None] = []
        for key in keys:
            try:
                found.append(self._online.answer([key], at=[at]).values[0])
            except _DAMAGED as error:
                if last or not isinstance(error, HistoryUnavailable):  # windows may have moved on since the newest row
                    self.unread[shown_keys(key)] = error.what if isinstance(error, TidewheelError) else repr(error)
                found.append(None)
        return found


def _sampled(workspace: Workspace, view: FeatureView, sample: int) -> list[dict[str, object]]:
    """Keys that the source has, drawn evenly, the same ones each time."""
    names = [key.name for key in view.keys]
    if not names:
        return [{}]
    draw = random.Random(view.name)
    held: dict[tuple[object, ...], float] = {}
    for rows in workspace.sources.batches(view.source, names):
        distinct = rows.select(names).group_by(names).aggregate([]).drop_null()
        places = draw.sample(range(distinct.num_rows), min(sample, distinct.num_rows))
        picked = distinct.take(pa.array(places, pa.int64()))
        for row in zip(*(column.to_pylist() for column in picked.columns), strict=True):
            held.setdefault(row, draw.random())
        held = dict(sorted(held.items(), key=lambda one: one[1])[:sample])
    return [dict(zip(names, row, strict=True)) for row in held]


def _views(project: Project) -> list[tuple[str, FeatureView]]:
    """Views, and where they are declared."""
    nodes = project.graph.nodes.values()
    return [(one.where, view_of(one.definition)) for one in nodes if isinstance(one.definition, FeatureView | type)]


def _bookmark(workspace: Workspace, view: FeatureView) -> Bookmark | None:
    return OnlineViews(workspace.database, workspace.clock).find_bookmark(view)


def _behind(workspace: Workspace, view: FeatureView, mark: Bookmark) -> str | None:
    """What the source has by now and the store has not; pushed rows are in it as they come."""
    try:
        now = workspace.sources.snapshot(view.source)
    except TidewheelError:  # told of the source
        return None
    if now.data == mark.snapshot.data:
        return None
    arrived = find_arrivals(mark.snapshot, now)
    if arrived is None:
        return "rows that it had read were changed or removed"
    names = ", ".join(file.path for file in arrived.files[:3])
    return f"{len(arrived.files)} files ({names}{', ...' if len(arrived.files) > 3 else ''}) have arrived"
