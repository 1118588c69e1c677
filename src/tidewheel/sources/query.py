"""The SQL that reads a source: the user's select in the middle, NaN, doubles and bounds around it. DuckDB's dialect."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tidewheel.clock import DAY, Micros, to_datetime
from tidewheel.sources.changes import Changes
from tidewheel.sources.definition import GONE, UNTIL, Source
from tidewheel.sources.expectation import Rule, condition_of, good_rows
from tidewheel.sources.select import parse_select
from tidewheel.sources.sql import quoted

if TYPE_CHECKING:
    import pyarrow as pa

TS, CREATED, AVAILABLE = "__ts", "__created", "__avail"
SYSTEM = (TS, CREATED, AVAILABLE)
NAN = "__nan"
PLACE = "__place"
"""Column with the place of each raw row, where :func:`failing_query` asks for it."""
_ZONES_REACH = 2 * DAY
_MOST_ASKED = 1_000_000
ONLY = "__only"
"""Relation with the rows of :class:`Only`."""


@dataclass(frozen=True, slots=True)
class Only:
    """Which rows of a source are asked for, of all that there are: few, told before anything else is done with them.

    Parameters
    ----------
    rows
        Either event ids, or keys: their columns after ``select``. Rows with a null in their key come along with the latter, and
        maybe some of other keys.

    Examples
    --------
    >>> import pyarrow as pa
    >>> Only.of(pa.table({"zone": [7]})).rows.column_names
    ['zone']
    >>> Only.of(pa.table({"share": [0.5]})) is None
    True
    """

    rows: pa.Table
    by_id: bool = False

    @staticmethod
    def of(rows: pa.Table, *, by_id: bool = False) -> Only | None:
        """What asks for these; ``None`` where there are too many to tell, or of types that a file may hold in another way."""
        import pyarrow as pa

        plain = (pa.types.is_integer, pa.types.is_string, pa.types.is_binary, pa.types.is_boolean)
        told = all(any(one(kind) for one in plain) for kind in rows.schema.types)
        return Only(rows, by_id) if told and rows.num_columns and rows.num_rows <= _MOST_ASKED else None


def scan_query(
    source: Source,
    described: pa.Schema,
    columns: Sequence[str],
    *,
    raw: Sequence[str] = (),
    start: Micros | None = None,
    end: Micros | None = None,
    where: str | Only | None = None,
) -> str:
    """The query for some columns of a source and the raw values of its system columns.

    Parameters
    ----------
    described
        Columns after ``select``.
    raw
        Columns of the relations ``files`` and ``pushed`` to read as one table; none reads the relation ``this``.
    start, end
        Bounds on the event's time, applied loosely here: local times are resolved after the query.
    """
    wanted = list(dict.fromkeys(columns))
    rows = _rows(source, described, wanted, raw, where if isinstance(where, Only) else None)
    output = [quoted(name) for name in wanted] + [f"{quoted(source.time)} AS {TS}"]
    if source.created is not None:
        output.append(f"{quoted(source.created)} AS {CREATED}")
    if source.available != "event":
        output.append(f"{quoted(source.available)} AS {AVAILABLE}")
    if source.retracts:
        output.append(f"{_gone(source)} AS {GONE}")
    if source.bounded:
        output.append(f"{quoted(source.valid_to) if source.valid_to is not None else UNTIL} AS {UNTIL}")
    floats = [name for name in wanted if source.nan == "null" and _is_float(described, name)]
    if floats:
        output.append(f"{' + '.join(quoted(_nan(name)) for name in floats)} AS {NAN}")
    conditions = [f"({where}\n)"] if isinstance(where, str) and where else []
    conditions += _bounds(source, described, start, end)
    text = f"SELECT {', '.join(output)} FROM ({rows}) AS rows"
    return text + (f" WHERE {' AND '.join(conditions)}" if conditions else "")


def conditions_of(source: Source) -> tuple[str, ...]:
    """What a source says of its columns after ``select``, each as a query of its own.

    Examples
    --------
    >>> from tidewheel.sources import source
    >>> conditions_of(source("trips", "trips.parquet", time="t", deleted="gone"))
    ('SELECT CAST((gone\\n) AS BOOLEAN) FROM this',)
    """
    found = [] if source.deleted is None else [f"SELECT CAST(({source.deleted}\n) AS BOOLEAN) FROM this"]
    rules = [rule.condition for one in source.expect for rule in one.rules if rule.condition is not None]
    return (*found, *(f"SELECT ({rule}\n) FROM this" for rule in rules))


def time_query(source: Source) -> str:
    """The event's time of every raw row in ``this``, in order, also of those that ``select`` filters out."""
    import sqlglot
    from sqlglot import exp

    tree = sqlglot.parse_one(_selected(source), read="duckdb")
    tree.set("where", None)
    assert isinstance(tree, exp.Select)
    return f"SELECT {quoted(source.time)} FROM ({tree.sql(dialect='duckdb', comments=False)}) AS rows"


def failing_query(source: Source, rules: Sequence[Rule], floats: Sequence[str], *, also: str | None = None) -> str:
    """Which raw rows in ``this`` fail which rules: the ``__place`` of each that fails one, and a flag for each rule.

    Of rows that the source puts aside nothing is told.

    Parameters
    ----------
    also
        A column after ``select`` to give beside them.
    """
    import sqlglot
    from sqlglot import exp

    tree = sqlglot.parse_one(_selected(source), read="duckdb")
    assert isinstance(tree, exp.Select)
    if not parse_select(source.select, source.where).star:
        tree = tree.select(PLACE)
    flags = ", ".join(f"(({condition_of(rule, floats)}\n) IS FALSE) AS f{number}" for number, rule in enumerate(rules))
    more = "" if also is None else f", {quoted(also)}"
    rest = f" WHERE {good_rows(source.quarantine, floats)}" if source.quarantine else ""
    inside = f"SELECT {PLACE}, {flags}{more} FROM ({tree.sql(dialect='duckdb', comments=False)}) AS rows{rest}"
    failing = " OR ".join(f"f{number}" for number in range(len(rules)))
    return f"SELECT * FROM ({inside}) AS judged WHERE {failing}"


def _rows(source: Source, described: pa.Schema, wanted: Sequence[str], raw: Sequence[str], only: Only | None = None) -> str:
    union = ""
    if raw:
        names = ", ".join(quoted(name) for name in raw)
        union = f"SELECT {names} FROM files UNION ALL SELECT {names} FROM pushed"
    rows = f"({select_query(source, union=union, floats=float_names(source, described))}\n) AS picked"
    if only is not None:
        rows = f"({_asked(source, only, rows)}) AS asked"
    if source.changes is not None:
        rows = f"({_superseded(source, rows)}) AS changed"
    elif source.event_id is not None:
        rows = f"({_once(source, described, rows)}) AS once"
    if source.nan == "keep":
        return f"SELECT * FROM {rows}"
    floats = [name for name in described.names if _is_float(described, name)]
    if not floats:
        return f"SELECT * FROM {rows}"
    cleaned = [
        f"CASE WHEN isnan({quoted(name)}) THEN NULL ELSE {quoted(name)} END AS {quoted(name)}"
        if name in floats
        else quoted(name)
        for name in described.names
    ] + ([UNTIL] if source.changes is not None else [])
    marks = [f"CASE WHEN isnan({quoted(name)}) THEN 1 ELSE 0 END AS {quoted(_nan(name))}" for name in wanted if name in floats]
    return f"SELECT {', '.join(cleaned + marks)} FROM {rows}"


def _asked(source: Source, only: Only, rows: str) -> str:
    """Rows of the ids or keys asked for, and of events that have a version among them every other version."""
    names = only.rows.column_names
    told = " AND ".join(f"{quoted(name)} IN (SELECT {quoted(name)} FROM {ONLY})" for name in names)
    if only.by_id:
        return f"SELECT * FROM {rows} WHERE {told}"
    nowhere = " OR ".join(f"{quoted(name)} IS NULL" for name in names)
    if source.event_id is None:
        return f"SELECT * FROM {rows} WHERE ({told}) OR {nowhere}"
    key = quoted(source.event_id)
    others = f"SELECT {key} FROM {rows} WHERE {told}"
    mine = f"SELECT * FROM {rows} WHERE {key} IN ({others})"
    return f"{mine} UNION ALL SELECT * FROM {rows} WHERE {key} IS NULL AND (({told}) OR {nowhere})"


def select_query(source: Source, *, union: str = "", departed: bool = False, floats: Sequence[str] = ()) -> str:
    """The source's select over the relation ``this``, or over a union that takes its name, without rows in quarantine.

    Parameters
    ----------
    departed
        Of changes, the rows as they were before an update; otherwise as they are after a change, or were before a deletion.
    floats
        Columns whose NaN is null to the rules (:func:`float_names`); needed for the rows, not for their columns.
    """
    selected = _selected(source, union=union, departed=departed)
    if not source.quarantine:
        return selected
    return f"SELECT * FROM ({selected}\n) AS judged WHERE {good_rows(source.quarantine, floats)}"


def _selected(source: Source, *, union: str = "", departed: bool = False) -> str:
    select = parse_select(source.select, source.where).sql
    if source.changes is None:
        return f"WITH this AS NOT MATERIALIZED ({union}) {select}" if union else select
    import sqlglot
    from sqlglot import exp

    tree = sqlglot.parse_one(select, read="duckdb")
    table = tree.find(exp.Table)
    assert table is not None
    table.replace(exp.alias_(exp.to_table("__changes"), "this", table=True))
    first = f"this AS NOT MATERIALIZED ({union}), " if union else ""
    return f"WITH {first}__changes AS ({_images(source.changes, departed)}) {tree.sql(dialect='duckdb', comments=False)}"


def _images(changes: Changes, departed: bool) -> str:
    writes, deletes = (
        ", ".join(f"'{one.replace(chr(39), chr(39) * 2)}'" for one in ops) for ops in (changes.writes, changes.deletes)
    )
    op = quoted(changes.op)
    if changes.before is None or changes.after is None:
        kinds = ", ".join(part for part in (writes, deletes) if part and not departed)
        return f"SELECT * FROM this WHERE {f'{op} IN ({kinds})' if kinds else 'false'}"
    before, after = quoted(changes.before), quoted(changes.after)
    if departed:
        image, condition = before, f"{op} IN ({writes}) AND {before} IS NOT NULL"
    else:
        image = f"CASE WHEN {op} IN ({writes}) THEN {after} ELSE {before} END"
        condition = f"{op} IN ({', '.join(part for part in (writes, deletes) if part)})"
    inner = f"SELECT *, {image} AS __image FROM this WHERE {condition}"
    return f"SELECT * EXCLUDE ({before}, {after}, __image), __image.* FROM ({inner}) AS imaged"


def _gone(source: Source) -> str:
    if source.changes is None:
        return f"coalesce(CAST(({source.deleted}\n) AS BOOLEAN), false)"
    deletes = ", ".join(f"'{one.replace(chr(39), chr(39) * 2)}'" for one in source.changes.deletes)
    return f"coalesce({quoted(source.changes.op)} IN ({deletes}), false)" if deletes else "false"


def _superseded(source: Source, rows: str) -> str:
    """Changes with the time from which a later change of the same row is known: an image is visible until then."""
    assert source.event_id is not None
    key = quoted(source.event_id)
    order = [quoted(name) for name in (source.created, source.time) if name is not None]
    known = quoted(source.time if source.available == "event" else source.available)
    frame = "ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING"
    later = f"min({known}) OVER (PARTITION BY {key} ORDER BY {', '.join(order)}, {_gone(source)} {frame})"
    return f"SELECT *, CASE WHEN {key} IS NULL THEN NULL ELSE {later} END AS {UNTIL} FROM {rows}"


def _once(source: Source, described: pa.Schema, rows: str) -> str:
    """One row for each event id: the last created, then the greatest; rows without an id all stay.

    The greatest by the columns in order of their names, with NaN for null where it becomes one: so do the rows online.
    """
    assert source.event_id is not None
    first = [name for name in (source.created, source.time) if name is not None]
    order = first + sorted(name for name in described.names if name not in first and name != source.event_id)
    floats = {name for name in order if source.nan != "keep" and _is_float(described, name)}
    told = {name: f"CASE WHEN isnan({quoted(name)}) THEN NULL ELSE {quoted(name)} END" for name in floats}
    greatest = ", ".join(f"{told.get(name, quoted(name))} DESC NULLS LAST" for name in order)
    names = ", ".join(quoted(name) for name in described.names)
    key = quoted(source.event_id)
    ranked = f"SELECT {names}, row_number() OVER (PARTITION BY {key} ORDER BY {greatest}) AS __rank FROM {rows}"
    return f"SELECT {names} FROM ({ranked}) AS ranked WHERE __rank = 1 OR {key} IS NULL"


def _bounds(source: Source, described: pa.Schema, start: Micros | None, end: Micros | None) -> list[str]:
    import pyarrow as pa

    kind = described.field(source.time).type
    if not (pa.types.is_timestamp(kind) or pa.types.is_int64(kind)):
        return []
    found = []
    for bound, operator, reach in ((start, ">=", -_ZONES_REACH), (end, "<", _ZONES_REACH)):
        if bound is None:
            continue
        if pa.types.is_int64(kind):
            if source.time_unit in (None, "us"):
                found.append(f"{quoted(source.time)} {operator} {int(bound)}")
            continue
        text = to_datetime(bound + reach).strftime("%Y-%m-%d %H:%M:%S")
        literal = f"TIMESTAMPTZ '{text}+00'" if kind.tz else f"TIMESTAMP '{text}'"
        found.append(f"{quoted(source.time)} {operator} {literal}")
    return found


def float_names(source: Source, described: pa.Schema) -> tuple[str, ...]:
    """Columns after ``select`` in which NaN becomes null."""
    return tuple(name for name in described.names if source.nan == "null" and _is_float(described, name))


def _is_float(described: pa.Schema, name: str) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_floating(described.field(name).type))


def _nan(name: str) -> str:
    return f"__nan {name}"
