"""Check what stands behind the definitions: rows by what is expected, views by their sources, online rows by offline ones.

Nothing is written: what is wrong is told, with the command that mends it.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, islice, takewhile

import pyarrow as pa

from tidewheel.clock import Micros, format_duration, format_instant
from tidewheel.errors import Corrupt, HistoryUnavailable, TidewheelError
from tidewheel.features.arrivals import find_arrivals
from tidewheel.features.case import service_of_view
from tidewheel.features.definition import FeatureView, view_of
from tidewheel.features.prepare import prepare
from tidewheel.features.register import Bookmark, OnlineViews
from tidewheel.features.retrieve import retrieve
from tidewheel.monitors.definition import LEAST_ROWS, Monitor
from tidewheel.monitors.evaluate import KINDS
from tidewheel.monitors.window import WindowResult
from tidewheel.project.instants import choose_instants
from tidewheel.project.load import Project
from tidewheel.project.open import Workspace
from tidewheel.project.parity import different
from tidewheel.project.progress import Progress, silent
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
    """Monitors with an alert that lasts, with windows that nobody has judged, or whose newest ones could not be judged."""
    for declaration in project.graph.nodes.values():
        monitor = declaration.definition
        if not isinstance(monitor, Monitor):
            continue
        for alert in workspace.monitors.list_alerts(monitor.name, state="lasting"):
            seen = f" (seen by {alert.acknowledged_by})" if alert.acknowledged_by else ""
            what = f"{declaration.id}: {alert.render()}{seen}"
            yield Finding("error", declaration.where, f"{what}. Next: tidewheel run {declaration.id} once it is mended")
        due = _count_due(workspace, monitor)
        if due:
            what = f"{declaration.id}: {due} windows of predictions are complete and not judged"
            yield Finding("warning", declaration.where, f"{what}. Next: tidewheel run {declaration.id}")
        for kind in KINDS:
            windows = workspace.monitors.list_windows(monitor.name, kind=kind)
            blind = list(takewhile(lambda one: one.status == "skipped", windows))
            if blind:
                what = f"{declaration.id}: {kind} of the newest {len(blind)} windows could not be judged"
                since = format_instant(blind[-1].start)
                yield Finding(
                    "warning", declaration.where, f"{what}, since {since}: {blind[0].reason}. {_mend(monitor, blind[0])}"
                )


def _count_due(workspace: Workspace, monitor: Monitor) -> int:
    """Windows that a run of the monitor would judge now."""
    champion = workspace.routes.current(monitor.deployment).champion
    return workspace.monitors.count_due(
        monitor, workspace.prediction_log(monitor.deployment), version=champion.version if champion else None
    )


def _mend(monitor: Monitor, window: WindowResult) -> str:
    if window.rows >= monitor.min_rows:
        return f"Next: tidewheel show monitor:{monitor.name}"
    if window.kind == "performance" and window.rows == 0:
        return "Next: give labels, by POST /labels/NAME or labels= of the monitor, or watch drift alone with metrics=()"
    longer = f"Give the monitor a longer window than {format_duration(monitor.window)}"
    return f"{longer}, or a min_rows of {window.rows} or less" if window.rows >= LEAST_ROWS else longer


def compare_online(
    project: Project, workspace: Workspace, *, sample: int, progress: Progress = silent
) -> Iterator[OnlineParity | Finding]:
    """What views answer online for some keys against the same computed offline: now, as of their newest row, and at instants
    between which each tile that is held is read.

    Views that are behind their sources differ for that reason, and are left out.
    """
    views = _views(project)
    for number, (where, view) in enumerate(views):
        progress.step(f"compare {view.name} online and offline", number, len(views))
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


def _first(found: Iterable[OnlineMismatch]) -> tuple[OnlineMismatch, ...]:
    return tuple(islice(found, _EXAMPLES))


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
        """A sample of keys, each at the same instants."""
        keys = _sampled(self._workspace, self._view, sample)
        now = self._workspace.clock()
        whole = [part for one in self._view.windows for part in (one.parts or (one,))]
        instants = choose_instants(whole, closed=mark.closed, until=mark.until, now=now)
        asked = [(key, at) for at in instants for key in keys]
        wrong, answered = self._differing(asked, now)
        if wrong:  # a row may have come between the two reads
            again = self._differing([asked[place] for place in sorted({place for place, _ in wrong})], now)[0]
            still = {(shown_keys(one.keys), one.feature, one.at) for one in again.values()}
            wrong = {place: one for place, one in wrong.items() if (shown_keys(one.keys), one.feature, one.at) in still}
        found: dict[tuple[str, str], OnlineMismatch] = {}
        for one in sorted(wrong.values(), key=lambda one: (one.at != min(mark.until, now), one.at != now, one.at)):
            found.setdefault((shown_keys(one.keys), one.feature), one)  # of several instants the one that says most
        return OnlineParity(self._view.name, len(keys), answered * len(self._service.names), len(found), _first(found.values()))

    def _differing(
        self, asked: Sequence[tuple[Keys, Micros]], now: Micros
    ) -> tuple[dict[tuple[int, str], OnlineMismatch], int]:
        """What differs, by question and feature, and how many questions had an answer."""
        answers: list[Sequence[object] | None] = []
        for at, some in groupby(asked, key=lambda one: one[1]):
            answers += self._answers([key for key, _ in some], at, last=at >= now)
        places = [place for place, one in enumerate(answers) if one is not None]
        if not places:
            return {}, 0
        spine = {
            key.name: pa.array([asked[place][0][key.name] for place in places], key.type.arrow()) for key in self._service.keys
        }
        questions = pa.table(spine | {"__at": pa.array([asked[place][1] for place in places], pa.int64())})
        computed = retrieve(self._service, questions, time="__at", sources=self._workspace.sources).table
        wrong = {}
        for column, name in enumerate(self._service.names):
            values = [one[column] for one in answers if one is not None]
            for row in different(pa.array(values, computed[name].type), computed[name]):
                place = places[row]
                offline = computed[name][row].as_py()
                keys, at = asked[place]
                wrong[place, name] = OnlineMismatch(keys, name, at, values[row], offline)
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
