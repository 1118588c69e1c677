"""The feature server from bytes to bytes: values of every type, statuses, and errors that say how to mend the request."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.web.feature_world import BIG, NOW, RAW, shop
from tests.web.world import call

from tidewheel.clock import Micros
from tidewheel.ledger.definition import NodeId
from tidewheel.project.load import Project
from tidewheel.project.open import Workspace
from tidewheel.web.application import Application
from tidewheel.web.http import Request, handle

World = tuple[Application, Project, Workspace]
ASKED = {"uid": 1, "label": "a", "when": "2026-01-01T10:00:00+01:00", "factor": 3}
FACTS = "/features/facts_only"
ALL = "/features/everything"
ARROW = "application/vnd.apache.arrow.stream"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with shop(tmp_path_factory.mktemp("shop")) as made:
        yield made


@pytest.fixture
def app(world: World) -> Application:
    return world[0]


def test_values_of_every_type_are_exact_and_written_shortest(app: Application) -> None:
    response = handle(app, Request("POST", FACTS, {}, b'{"rows": [{"uid": 1}], "include": []}'))
    assert response.status == 200
    assert json.loads(response.body) == {
        "service": "facts_only",
        "names": ["whole", "narrow", "wide", "text", "raw", "day", "seen", "price", "flag"],
        "at": "2026-01-01T12:00:00Z",
        "values": [[BIG, 1.111, 0.1, "zürich", RAW, "2026-01-02", "2026-01-01T12:00:00.000001Z", "1.500000000", True]],
    }
    assert f"[[{BIG},1.111,0.1," in response.body.decode()


def test_statuses_event_times_and_lag_say_why_a_value_is_what_it_is(app: Application) -> None:
    rows = [{"uid": uid} for uid in (1, 2, 3, 4)]
    include = ["statuses", "event_times", "lag"]
    status, told = call(app, "POST", FACTS, {"rows": rows, "features": ["wide"], "include": include})
    assert status == 200
    assert told["values"] == [[0.1], [None], [None], [None]]
    assert told["statuses"] == [["PRESENT"], ["NULL_VALUE"], ["OUTSIDE_MAX_AGE"], ["NOT_FOUND"]]
    assert told["event_times"] == [["2026-01-01T11:00:00Z"], ["2026-01-01T11:00:00Z"], ["2026-01-01T09:00:00Z"], [None]]
    assert told["lag_seconds"] == [[3600.0], [3600.0], [10800.0], [None]]
    assert told["materialized"] == {"Facts": "2026-01-01T12:00:00Z"}


def test_windows_transforms_and_request_values_are_answered_in_the_services_order(app: Application) -> None:
    status, told = call(app, "POST", ALL, {"rows": [ASKED, ASKED | {"label": "b", "uid": 9}]})
    assert status == 200
    names = told["names"]
    assert isinstance(names, list)
    first, second = (dict(zip(names, row, strict=True)) for row in told["values"])  # type: ignore[attr-defined]
    assert (first["sold_1h"], first["mean_1h"], first["double"], first["when"]) == (3, 70 / 3, 0.1 * 3, "2026-01-01T09:00:00Z")
    assert (second["sold_1h"], second["mean_1h"], second["double"]) == (0, None, 0.0)


def test_columns_in_are_columns_out(app: Application) -> None:
    _, told = call(app, "POST", FACTS, {"columns": {"uid": [1, 4, 1]}, "features": ["whole", "flag"]})
    columns = told["columns"]
    assert isinstance(columns, dict)
    assert list(columns) == ["whole", "flag"]
    assert columns["whole"]["values"] == [BIG, None, BIG]
    assert columns["flag"]["statuses"] == ["PRESENT", "NOT_FOUND", "PRESENT"]


def test_at_is_one_instant_or_one_per_row_in_the_body_or_the_address(app: Application) -> None:
    late = {"rows": [{"uid": 1}, {"uid": 1}], "features": ["wide"], "include": ["statuses"]}
    _, told = call(app, "POST", FACTS, late | {"at": [None, "2026-01-01T12:04:00Z"]})
    assert told["at"] == ["2026-01-01T12:00:00Z", "2026-01-01T12:04:00Z"]
    response = handle(app, Request("POST", FACTS, {}, json.dumps(late).encode(), "at=2026-01-01T12:01:00Z&include=lag"))
    assert json.loads(response.body)["at"] == "2026-01-01T12:01:00Z"
    assert call(app, "POST", FACTS, late | {"at": "2026-01-01T12:05:00.000001Z"})[1]["code"] == "FutureEvent"
    long_ago = {"rows": [ASKED], "at": "2025-12-30T10:00:00Z"}
    assert (call(app, "POST", ALL, long_ago)[0], call(app, "POST", ALL, long_ago)[1]["code"]) == (422, "HistoryUnavailable")


def test_no_row_is_no_row(app: Application) -> None:
    assert call(app, "POST", FACTS, {"rows": [], "include": []})[1] | {"names": []} == {
        "service": "facts_only",
        "names": [],
        "at": [],
        "values": [],
    }
    assert call(app, "POST", FACTS, {"columns": {"uid": []}, "features": ["whole"]})[1]["columns"] == {
        "whole": {"values": [], "statuses": [], "event_times": []}
    }


def test_the_schema_says_what_to_send_and_what_comes_back(app: Application) -> None:
    status, told = call(app, "GET", f"{ALL}/schema")
    assert status == 200
    assert told["keys"] == [
        {"name": "uid", "type": "int64", "nullable": False},
        {"name": "label", "type": "string", "nullable": False},
    ]
    assert told["request"] == [
        {"name": "when", "type": "timestamp", "nullable": False},
        {"name": "factor", "type": "float64", "nullable": False},
    ]
    outputs = told["outputs"]
    assert isinstance(outputs, list)
    assert outputs[1] == {"name": "narrow", "type": "float32", "origin": "view:Facts"}
    assert outputs[-2:] == [
        {"name": "double", "type": "float64", "origin": "transform:double"},
        {"name": "when", "type": "timestamp", "origin": "request"},
    ]
    _, listed = call(app, "GET", "/features")
    services = listed["services"]
    assert isinstance(services, list)
    assert [(one["name"], one["ready"]) for one in services] == [("everything", True), ("facts_only", True), ("never", False)]


def arrow(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


def test_arrow_in_and_out(app: Application) -> None:
    asked = pa.table({"uid": pa.array([1, 4], pa.int32())})
    response = handle(app, Request("POST", FACTS, {"content-type": ARROW}, arrow(asked), "include=statuses,event_times,lag"))
    assert (response.status, response.headers["content-type"]) == (200, ARROW)
    table = pa.ipc.open_stream(response.body).read_all()
    assert table.column("narrow").type == pa.float32()
    assert table.column("price").type == pa.decimal128(38, 9)
    assert table.column("whole").to_pylist() == [BIG, None]
    assert table.column("whole__status").to_pylist() == ["PRESENT", "NOT_FOUND"]
    assert table.column("whole__lag_seconds").to_pylist() == [3600.0, None]
    mixed = handle(app, Request("POST", FACTS, {"accept": ARROW}, b'{"rows": [{"uid": 1}]}', "features=narrow"))
    assert pa.ipc.open_stream(mixed.body).read_all().column("narrow").to_pylist() == [pytest.approx(1.111)]
    plain = {"content-type": ARROW, "accept": "application/json"}
    assert json.loads(handle(app, Request("POST", FACTS, plain, arrow(asked))).body)["columns"]["narrow"]["values"] == [
        1.111,
        None,
    ]


@pytest.mark.parametrize(
    ("table", "code", "field"),
    [
        (pa.table({"uid": ["1"]}), "KeyTypeMismatch", "columns.uid"),
        (pa.table({"uid": [1.0]}), "KeyTypeMismatch", "columns.uid"),
        (pa.table({"uid": pa.array([None], pa.int64())}), "KeyTypeMismatch", "columns.uid[0]"),
        (pa.table({"uid": [[1]]}), "KeyTypeMismatch", "columns.uid"),
        (pa.table({"uidd": [1]}), "UnknownInput", "columns.uidd"),
        (pa.table({}), "MissingColumns", "columns.uid"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(app: Application, table: pa.Table, code: str, field: str) -> None:
    response = handle(app, Request("POST", FACTS, {"content-type": ARROW}, arrow(table)))
    told = json.loads(response.body)
    assert (response.status, told["code"], told["field"]) == (422, code, field), told


GARBAGE: list[tuple[str, bytes, int, str, str | None]] = [
    (FACTS, b"", 400, "NotJson", "body"),
    (FACTS, b"[1]", 400, "NotJson", "body"),
    (FACTS, b"[" * 20_000, 400, "NotJson", "body"),
    (FACTS, b'{"rows": [{"uid": 1e400}]}', 422, "TypeMismatch", None),
    (FACTS, b"{}", 422, "MissingInput", "rows"),
    (FACTS, b'{"rows": [], "columns": {}}', 422, "MissingInput", "rows"),
    (FACTS, b'{"rows": {}}', 422, "TypeMismatch", "rows"),
    (FACTS, b'{"rows": [5]}', 422, "TypeMismatch", "rows[0]"),
    (FACTS, b'{"row": []}', 422, "UnknownInput", "row"),
    (FACTS, b'{"rows": [{}]}', 422, "MissingColumns", "rows[0].uid"),
    (FACTS, b'{"rows": [{"uid": 1}, {"uidd": 1}]}', 422, "MissingColumns", "rows[1].uid"),
    (FACTS, b'{"rows": [{"uid": 1, "x": 1}]}', 422, "UnknownInput", "rows[0].x"),
    (FACTS, b'{"rows": [{"uid": 1}, {"uid": "1"}]}', 422, "KeyTypeMismatch", "rows[1].uid"),
    (FACTS, b'{"rows": [{"uid": 1.0}]}', 422, "KeyTypeMismatch", "rows[0].uid"),
    (FACTS, b'{"rows": [{"uid": true}]}', 422, "KeyTypeMismatch", "rows[0].uid"),
    (FACTS, b'{"rows": [{"uid": null}]}', 422, "KeyTypeMismatch", "rows[0].uid"),
    (FACTS, b'{"rows": [{"uid": 9223372036854775808}]}', 422, "KeyTypeMismatch", "rows[0].uid"),
    (FACTS, b'{"rows": [{"uid": NaN}]}', 422, "TypeMismatch", "rows[0].uid"),
    (FACTS, b'{"columns": {"uid": [1, {}]}}', 422, "KeyTypeMismatch", "columns.uid[1]"),
    (FACTS, b'{"columns": {"uid": 1}}', 422, "TypeMismatch", None),
    (FACTS, b'{"columns": {}}', 422, "MissingColumns", "columns.uid"),
    (FACTS, b'{"rows": [{"uid": 1}], "at": "soon"}', 422, "TypeMismatch", "at"),
    (FACTS, b'{"rows": [{"uid": 1}], "at": [1, 2]}', 422, "Invalid", "at"),
    (FACTS, b'{"rows": [{"uid": 1}], "at": -1}', 422, "Invalid", "at"),
    (FACTS, b'{"rows": [{"uid": 1}], "features": ["nope"]}', 404, "UnknownFeature", "features"),
    (FACTS, b'{"rows": [{"uid": 1}], "include": ["nope"]}', 422, "UnknownInput", "include"),
    ("/features/fact_only", b'{"rows": []}', 404, "UnknownFeature", "service"),
    ("/features/never", b'{"rows": [{"label": "a"}]}', 409, "NotMaterialized", "Never"),
    ("/features/facts_only/x", b"{}", 404, "NotFound", "path"),
    ("/features", b"{}", 405, "WrongMethod", "GET"),
    (ALL, json.dumps({"rows": [ASKED | {"when": "noon"}]}).encode(), 422, "TypeMismatch", "rows[0].when"),
    (ALL, json.dumps({"rows": [ASKED | {"factor": None}]}).encode(), 422, "TypeMismatch", "rows[0].factor"),
    (ALL, json.dumps({"rows": [ASKED | {"label": 5}]}).encode(), 422, "KeyTypeMismatch", "rows[0].label"),
    ("/get-online-features", b"x", 400, "NotJson", "body"),
    ("/get-online-features", b"{}", 422, "MissingInput", "entities"),
    ("/get-online-features", b'{"entities": {}}', 422, "MissingInput", "feature_service"),
    ("/get-online-features", b'{"entities": {"uid": [1]}, "features": ["Facts:nope"]}', 404, "UnknownFeature", "features"),
    ("/get-online-features", b'{"entities": {"uid": [1]}, "features": ["Never:sold_1d"]}', 409, "NotMaterialized", "Never"),
    (
        "/get-online-features",
        b'{"entities": {"uid": ["1"]}, "features": ["Facts:wide"]}',
        422,
        "KeyTypeMismatch",
        "columns.uid[0]",
    ),
    ("/get-online-features", b'{"entities": {"x": ["1"]}, "features": ["Facts:wide"]}', 422, "MissingColumns", "columns.uid"),
    ("/get-online-features", b'{"entities": 5, "features": ["Facts:wide"]}', 422, "TypeMismatch", "entities"),
    ("/push", b'{"push_source_name": "nope", "df": {"a": [1]}}', 404, "NotFound", "nope"),
    ("/push", b'{"push_source_name": "sales", "df": {"a": [1], "b": []}}', 422, "Invalid", "df"),
    (
        "/push",
        b'{"push_source_name": "sales", "df": {"label": ["a"], "ts": ["2026-01-01"]}}',
        422,
        "MissingColumns",
        "rows[0].amount",
    ),
    ("/push/sales", b'{"rows": [{"label": "a", "ts": "2026-01-01", "amount": "x"}]}', 422, "TypeMismatch", "rows[0].amount"),
    ("/push/sales", b'{"rows": [{"label": "a", "ts": null, "amount": 1}]}', 422, "MissingTime", "rows[0].ts"),
    ("/push/sales", b'{"rows": [{"label": "a", "ts": "2027-01-01", "amount": 1}]}', 422, "FutureEvent", "rows[0].ts"),
    ("/push/sale", b'{"rows": [{"label": "a"}]}', 404, "NotFound", "sale"),
]


@pytest.mark.parametrize(("path", "body", "status", "code", "field"), GARBAGE, ids=range(len(GARBAGE)))
def test_garbage_is_the_callers_fault_and_says_how_to_mend_it(
    app: Application, path: str, body: bytes, status: int, code: str, field: str | None
) -> None:
    answered, told = call(app, "POST", path, body)
    assert (answered, told["code"]) == (status, code), told
    assert told["error"]
    assert told["fix"]
    if field is not None:
        assert told["field"] == field


def test_an_unknown_feature_of_a_known_view_names_the_nearest(app: Application) -> None:
    _, told = call(app, "POST", "/get-online-features", {"entities": {"uid": [1]}, "features": ["Facts:nope"]})
    assert str(told["fix"]).startswith("did you mean Facts:")
    assert call(app, "POST", "/features/fact_only", {})[1]["fix"] == "did you mean facts_only?"


JSONS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
ROW = st.fixed_dictionaries({}, optional={name: JSONS | st.just(value) for name, value in ASKED.items()})


@settings(max_examples=25)
@given(
    st.fixed_dictionaries({"rows": st.lists(ROW, max_size=3)}, optional={"at": JSONS, "include": JSONS, "features": JSONS})
    | st.fixed_dictionaries({"columns": st.dictionaries(st.sampled_from([*ASKED, "x"]), st.lists(JSONS, max_size=3))})
    | st.dictionaries(st.sampled_from(["rows", "columns", "at", "entities", "features", "feature_service"]), JSONS)
)
def test_no_json_at_all_makes_a_500(world: World, sent: object) -> None:
    for path in (ALL, "/get-online-features", "/push"):
        assert handle(world[0], Request("POST", path, {}, json.dumps(sent).encode())).status < 500


@settings(max_examples=25)
@given(st.binary(max_size=200), st.text(max_size=30))
def test_no_bytes_and_no_query_at_all_make_a_500(world: World, body: bytes, query: str) -> None:
    for headers in ({}, {"content-type": ARROW}):
        assert handle(world[0], Request("POST", FACTS, headers, body, query)).status < 500


def test_a_service_that_is_materialised_later_is_served_at_once(tmp_path: pytest.TempPathFactory) -> None:
    with shop(tmp_path) as (app, project, workspace):  # type: ignore[arg-type]
        assert call(app, "POST", "/features/never", {"rows": [{"label": "a"}]})[0] == 409
        held = app.features.table
        app.refresh()
        assert app.features.table is held
        from tidewheel.project.prepare_services import list_views

        workspace.materializer.materialize(list_views(project)["Never"], until=Micros(NOW))
        app.refresh()
        assert app.features.table.ready["facts_only"] is held.ready["facts_only"]
        status, told = call(app, "POST", "/features/never", {"rows": [{"label": "a"}]})
        assert (status, told["values"]) == (200, [[3]])

        definitions = workspace.root / "definitions.py"
        definitions.write_text(definitions.read_text() + '\nmore = tw.service("more", Sales)\n')
        app.refresh()
        assert call(app, "POST", "/features/more", {"rows": [{"label": "a"}]})[0] == 404  # an edit is not an environment
        workspace.ledger.move("dev", {NodeId("service:x"): "0" * 64}, expected=0, actor="ada", reason="apply")  # type: ignore[dict-item]
        app.refresh()
        assert call(app, "POST", "/features/more", {"rows": [{"label": "a"}]})[1]["values"] == [[3, 70 / 3]]


def test_pushed_rows_count_at_once_and_requests_for_features_are_counted(app: Application) -> None:
    body = {"push_source_name": "sales", "df": {"label": ["c"], "ts": ["2026-01-01T11:30:00Z"], "amount": [5]}, "to": "online"}
    _, receipt = call(app, "POST", "/push", body)
    assert receipt == {"accepted": 1, "applied": {"Sales": 1}, "late": {}, "quarantined": 0}
    _, told = call(app, "POST", "/get-online-features", {"features": ["Sales:sold_1h"], "entities": {"label": ["c", "a"]}})
    assert told["results"][1]["values"] == [1, 3]  # type: ignore[index]
    call(app, "POST", FACTS, {"rows": [{"uid": 1}]})
    call(app, "POST", FACTS, {"rows": [{}]})
    text = handle(app, Request("GET", "/metrics", {})).body.decode()
    assert 'tidewheel_feature_rows_total{service="facts_only"}' in text
    assert 'tidewheel_feature_errors_total{code="MissingColumns",service="facts_only"}' in text


def test_rows_written_to_a_view_count_at_once(app: Application) -> None:
    df = {
        "label": {"0": "w", "1": "w"},
        "ts": {"0": "2026-01-01T11:30:00Z", "1": "2026-01-01T11:31:00Z"},
        "amount": {"0": 5, "1": 7},
    }
    status, _ = call(
        app, "POST", "/write-to-online-store", {"feature_view_name": "Sales", "df": df, "transform_on_write": True}
    )
    assert status == 200
    asked = {"features": ["Sales:sold_1h", "Sales:mean_1h"], "entities": {"label": ["w"]}}
    _, told = call(app, "POST", "/get-online-features", asked)
    assert [one["values"] for one in told["results"]] == [["w"], [2], [6.0]]  # type: ignore[attr-defined]
    status, told = call(app, "POST", "/write-to-online-store", {"feature_view_name": "Sale", "df": {"label": ["w"]}})
    assert (status, told["field"]) == (404, "feature_view_name")
    assert "Sales" in str(told["fix"])


def test_explain_shows_the_rows_and_events_behind_each_number_on_both_sides(app: Application) -> None:
    status, told = call(app, "POST", f"{ALL}/explain", {"rows": [ASKED]})
    assert status == 200, told
    assert (told["agree"], told["trouble"]) == (True, None)
    features = {one["name"]: one for one in told["features"]}  # type: ignore[attr-defined]
    wide, sold = features["wide"], features["sold_1h"]
    assert (wide["offline"], wide["online"], wide["definition"]) == (0.1, 0.1, "lookup('wide')")
    for side in ("offline", "online"):
        assert wide["made_of"][side]["row"]["event_time"] == "2026-01-01T11:00:00Z"
        made_of = sold["made_of"][side]
        assert sum(tile["count"] for tile in made_of["tiles"]) + made_of["event_count"] == sold[side] == 3
    assert sold["window"] == ["2026-01-01T11:00:00Z", "2026-01-01T12:00:00Z"]
    assert features["double"]["offline"] == features["double"]["online"] == 0.1 * 3
    assert call(app, "POST", f"{ALL}/explain", {"rows": [ASKED, ASKED]})[0] == 413
    assert call(app, "POST", f"{ALL}/explain", {"rows": []})[0] == 422
    assert call(app, "GET", f"{ALL}/explain")[0] == 405


def test_explain_on_the_command_line(tmp_path: pytest.TempPathFactory) -> None:
    from click.testing import CliRunner

    from tidewheel.cli import cli

    with shop(tmp_path) as (_app, _project, workspace):  # type: ignore[arg-type]
        arguments = ["explain", "everything", "uid=1", "label=a", "when=2026-01-01T09:00:00Z", "factor=3"]
        place = ["--project", str(workspace.root), "--at", "2026-01-01T12:00:00Z"]
        shown = CliRunner().invoke(cli, [*arguments, *place], standalone_mode=False)
        assert shown.exception is None
        assert "sold_1h = 3  (online the same)" in shown.output
        asked = CliRunner().invoke(cli, ["explain", "never", "label=a", *place, "--json"], standalone_mode=False)
        told = json.loads(asked.output)
        assert told["features"][0]["offline"] == 3
        assert told["trouble"].startswith("view Never was never materialised")
        wrong = CliRunner().invoke(cli, ["explain", "never", "label", *place], standalone_mode=False)
        assert "not name=value" in str(wrong.exception)


def test_feasts_own_words_for_times_are_utc_and_its_times_are_seconds(app: Application) -> None:
    df = {"label": ["f"], "event_timestamp": ["2026-01-01T11:30:00"], "created": [None], "amount": [5]}
    assert call(app, "POST", "/write-to-online-store", {"feature_view_name": "Sales", "df": df})[0] == 200
    told = call(app, "POST", "/get-online-features", {"features": ["Sales:sold_1h"], "entities": {"label": ["f"]}})[1]
    assert told["results"][1]["values"] == [1]  # type: ignore[index]
    fact = {"uid": 9, "event_timestamp": "2026-01-01T11:30:00", "seen": 1767225600, "day": 1767225600}
    null = {"uid": 10, "event_timestamp": "2026-01-01T11:30:00", "seen": -(2**63), "day": None}
    rest = dict.fromkeys(["whole", "narrow", "wide", "text", "raw", "price", "flag"])
    rows = [fact | rest, null | rest]
    df = {name: [row[name] for row in rows] for name in rows[0]}
    assert call(app, "POST", "/write-to-online-store", {"feature_view_name": "Facts", "df": df})[0] == 200
    asked = {"features": ["Facts:seen", "Facts:day"], "entities": {"uid": [9, 10, 1]}}
    told = call(app, "POST", "/get-online-features", asked)[1]
    noon, second = 1767268800, 1767312000  # of the day; midnight of the next
    assert [one["values"] for one in told["results"][1:]] == [  # type: ignore[index]
        [1767225600, None, noon],
        [1767225600, None, second],
    ]
    status, values = call(app, "POST", FACTS, {"rows": [{"uid": 9}]})
    assert (status, values["values"][0][6]) == (200, "2026-01-01T00:00:00Z")  # type: ignore[index]
    df["seen"] = [2**62, None]
    assert call(app, "POST", "/write-to-online-store", {"feature_view_name": "Facts", "df": df})[0] == 422


def test_feasts_shape_is_the_one_that_its_own_server_writes(app: Application) -> None:
    # What feast 0.67 answers to the same request over the same rows, but for the values.
    sent = {"features": ["Facts:wide", "Facts:flag"], "entities": {"uid": [1, 2, 4], "other": [0, 0, 0]}}
    at = "2026-01-01T11:00:00Z"
    none = "1970-01-01T00:00:00Z"
    assert call(app, "POST", "/get-online-features", sent) == (
        200,
        {
            "results": [
                {"values": [1, 2, 4], "statuses": ["PRESENT"] * 3, "event_timestamps": [none] * 3},
                {
                    "values": [0.1, None, None],
                    "statuses": ["PRESENT", "NULL_VALUE", "NOT_FOUND"],
                    "event_timestamps": [at, at, none],
                },
                {
                    "values": [True, None, None],
                    "statuses": ["PRESENT", "NULL_VALUE", "NOT_FOUND"],
                    "event_timestamps": [at, at, none],
                },
            ],
            "metadata": {"feature_names": ["uid", "wide", "flag"]},
        },
    )
    full = call(app, "POST", "/get-online-features", {**sent, "full_feature_names": True})[1]["metadata"]
    assert full == {"feature_names": ["uid", "Facts__wide", "Facts__flag"]}
    by_name = call(app, "POST", "/get-online-features", {"feature_service": "facts_only", "entities": {"uid": [1]}})[1]
    assert by_name["metadata"]["feature_names"][:2] == ["uid", "whole"]  # type: ignore[index]
    assert call(app, "GET", "/health")[0] == 200
