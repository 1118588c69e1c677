"""Search runs: the parsed filter as one SQL statement, and pages by keyset.

Filters become EXISTS over parameters, tags and the summaries of metrics, so the points of metrics are never read. A page's
token holds the sort values of its last run: a page costs the same however far one has turned, and runs that start
meanwhile neither repeat nor hide others.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy import ColumnElement, Connection

from tidewheel.clock import Micros
from tidewheel.digest import Digest, digest
from tidewheel.errors import Invalid
from tidewheel.runs.definition import Process, RunPage, RunRecord, RunStatus
from tidewheel.runs.grammar import Comparison, Key, Order, parse_filter, parse_order
from tidewheel.runs.tables import artifacts, parameters, runs, series, tags

LIMIT = 1_000
"""Most runs a page holds."""


def search_runs(
    connection: Connection, filter: str, *, order_by: Sequence[str] = (), limit: int = 100, token: str | None = None
) -> RunPage:
    """One page of the runs that a filter leaves; newest first when no order is given."""
    if not 1 <= limit <= LIMIT:
        raise Invalid(f"limit is {limit}", where="limit", fix=f"ask for 1 to {LIMIT} runs a page and turn pages with the token")
    orders = [parse_order(text) for text in order_by] or [Order(Key("attribute", "started_at"), descending=True)]
    conditions = [_condition(part, connection.dialect.name) for part in parse_filter(filter)]
    sorts = [(column, order.descending) for order in orders for column in _sort_columns(order.key)]
    query = digest([filter, list(order_by)])[4:16]
    if token is not None:
        values, last = _read_token(token, query, len(sorts))
        conditions.append(_after(sorts, values, last))
    columns = [column.label(f"sort_{place}") for place, (column, _) in enumerate(sorts)]
    statement = sa.select(runs.c.id, *columns).where(*conditions).limit(limit + 1)
    for column, descending in sorts:
        statement = statement.order_by(column.is_(None), column.desc() if descending else column.asc())
    found = connection.execute(statement.order_by(runs.c.id)).all()
    page = found[:limit]
    more = _write_token(query, list(page[-1][1:]), page[-1].id) if len(found) > limit else None
    return RunPage(tuple(load_runs(connection, [row.id for row in page])), more)


def load_runs(connection: Connection, ids: Sequence[str]) -> list[RunRecord]:
    """Runs by id, in that order, each complete but for the points of its metrics: five statements, however many runs."""
    rows = {row.id: row for row in connection.execute(sa.select(runs).where(runs.c.id.in_(ids)))}
    texts: dict[str, dict[str, dict[str, str]]] = {}
    for table, key, value in ((parameters, "key", "value"), (tags, "key", "value"), (artifacts, "name", "digest")):
        chosen = sa.select(table.c.run_id, table.c[key], table.c[value]).where(table.c.run_id.in_(ids)).order_by(table.c[key])
        held = texts.setdefault(table.name, {})
        for run_id, name, text in connection.execute(chosen):
            held.setdefault(run_id, {})[name] = text
    metrics: dict[str, dict[str, float]] = {}
    summary = sa.select(series.c.run_id, series.c.key, series.c.last).where(series.c.run_id.in_(ids)).order_by(series.c.key)
    for run_id, name, number in connection.execute(summary):
        metrics.setdefault(run_id, {})[name] = float("nan") if number is None else number
    return [
        RunRecord(
            id=row.id,
            name=row.name,
            experiment=row.experiment,
            status=RunStatus(row.status),
            actor=row.actor,
            recipe=None if row.recipe is None else Digest(row.recipe),
            started_at=Micros(row.started_at),
            ended_at=None if row.ended_at is None else Micros(row.ended_at),
            process=Process(row.host, row.boot, row.pid, row.process_started),
            environment=Digest(row.environment),
            heartbeat_at=Micros(row.heartbeat_at),
            error=row.error,
            facts=json.loads(row.facts),
            parameters=texts[parameters.name].get(row.id, {}),
            metrics=metrics.get(row.id, {}),
            tags=texts[tags.name].get(row.id, {}),
            artifacts={name: Digest(text) for name, text in texts[artifacts.name].get(row.id, {}).items()},
        )
        for row in (rows[run_id] for run_id in ids if run_id in rows)
    ]


def _condition(part: Comparison, dialect: str) -> ColumnElement[bool]:
    negated = part.negated or part.operator == "!="
    if part.key.kind == "attribute":
        column: ColumnElement[object] = runs.c[part.key.name]
        held = column.is_not(None) if part.operator == "NULL" else sa.and_(column.is_not(None), _holds(column, part, dialect))
    else:
        table, column = _place(part)
        inner = sa.select(sa.literal(1)).where(table.c.run_id == runs.c.id, table.c.key == part.key.name)
        held = sa.exists(inner if part.operator == "NULL" else inner.where(_holds(column, part, dialect)))
    present = part.operator == "NULL"  # IS NULL asks for absence, so the sense turns round once more
    return sa.not_(held) if negated != present else held


def _place(part: Comparison) -> tuple[sa.Table, ColumnElement[object]]:
    if part.key.kind == "metric":
        return series, series.c.last
    if part.key.kind == "tag":
        return tags, tags.c.value
    numeric = bool(part.values) and isinstance(part.values[0], float)
    return parameters, parameters.c.number if numeric else parameters.c.value


def _holds(column: ColumnElement[object], part: Comparison, dialect: str) -> ColumnElement[bool]:
    if part.operator == "IN":
        return column.in_(part.values)
    value = part.values[0]
    if part.operator == "LIKE":
        return column.op("GLOB")(_glob(str(value))) if dialect == "sqlite" else column.like(str(value), escape="\\")
    if part.operator == "ILIKE":
        return column.ilike(str(value), escape="\\")
    sign = "=" if part.operator == "!=" else part.operator
    return column.bool_op(sign)(sa.literal(value, column.type))


def _glob(pattern: str) -> str:
    """A LIKE pattern as a GLOB, because SQLite's LIKE does not mind case."""
    found = ""
    escaped = False
    for letter in pattern:
        if letter == "\\" and not escaped:
            escaped = True
            continue
        if letter in "%_" and not escaped:
            found += {"%": "*", "_": "?"}[letter]
        else:
            found += f"[{letter}]" if letter in "*?[" else letter
        escaped = False
    return found


def _sort_columns(key: Key) -> list[ColumnElement[object]]:
    if key.kind == "attribute":
        return [runs.c[key.name]]
    table, columns = {
        "metric": (series, [series.c.last]),
        "parameter": (parameters, [parameters.c.number, parameters.c.value]),
        "tag": (tags, [tags.c.value]),
    }[key.kind]
    return [
        sa.select(column).where(table.c.run_id == runs.c.id, table.c.key == key.name).scalar_subquery() for column in columns
    ]


def _after(sorts: list[tuple[ColumnElement[object], bool]], values: list[object], last: str) -> ColumnElement[bool]:
    rest: ColumnElement[bool] = runs.c.id > last
    for (column, descending), value in reversed(list(zip(sorts, values, strict=True))):
        if value is None:
            rest = sa.and_(column.is_(None), rest)
        else:
            beyond = column < value if descending else column > value
            rest = sa.or_(beyond, column.is_(None), sa.and_(column == value, rest))
    return rest


def _write_token(query: str, values: list[object], last: str) -> str:
    return base64.urlsafe_b64encode(json.dumps([query, values, last]).encode()).decode()


def _read_token(token: str, query: str, count: int) -> tuple[list[object], str]:
    try:
        asked, values, last = json.loads(base64.urlsafe_b64decode(token.encode("ascii")))
    except (ValueError, TypeError, binascii.Error) as error:
        raise Invalid(
            "the page's token cannot be read", where="token", fix="pass on the token of the page before, unchanged"
        ) from error
    plain = isinstance(values, list) and all(value is None or isinstance(value, str | int | float) for value in values)
    if asked != query or not plain or len(values) != count or not isinstance(last, str):
        raise Invalid(
            "the page's token belongs to another search",
            where="token",
            fix="keep filter and order while turning pages, or start without a token",
        )
    return values, last
