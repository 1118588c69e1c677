"""The contract of the query engine port: subclass it in the backend's tests and give it a fixture ``engine``.

Examples
--------
>>> class TestMine(QueryEngineContract):
...     pass  # and a pytest fixture called engine
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

from tidewheel.errors import TidewheelError
from tidewheel.ports.query_engine import Files, InMemory, QueryEngine

_PEOPLE = pa.table({"id": [3, 1, 2, None], "name": ["c", "a", "b", "n"]})


class QueryEngineContract:
    """What every engine answers alike."""

    def test_answers_in_the_order_asked_for_with_nulls_last(self, engine: QueryEngine) -> None:
        answer = engine.stream("SELECT * FROM people", {"people": InMemory(_PEOPLE)}, order_by=["id"]).read_all()
        assert answer.to_pydict() == {"id": [1, 2, 3, None], "name": ["a", "b", "c", "n"]}

    def test_no_rows_keep_their_types(self, engine: QueryEngine) -> None:
        answer = engine.stream("SELECT id, name FROM people WHERE id > 9", {"people": InMemory(_PEOPLE)}).read_all()
        assert answer.num_rows == 0
        assert answer.schema.names == ["id", "name"]
        assert pa.types.is_int64(answer.schema.field("id").type)

    def test_schema_reads_no_rows_and_agrees_with_the_stream(self, engine: QueryEngine) -> None:
        relations = {"people": InMemory(_PEOPLE)}
        sql = "SELECT id, id * 0.5 AS half, name FROM people"
        assert engine.schema(sql, relations) == engine.stream(sql, relations).schema

    def test_big_integers_do_not_pass_through_floats(self, engine: QueryEngine) -> None:
        table = pa.table({"n": pa.array([9007199254740993, None], pa.int64())})
        assert engine.stream("SELECT n FROM t", {"t": InMemory(table)}).read_all()["n"].to_pylist() == [9007199254740993, None]

    def test_nanoseconds_become_microseconds_rounded_up(self, engine: QueryEngine) -> None:
        for zone in (None, "America/New_York"):
            table = pa.table({"t": pa.array([900, 1_000, 1_400, -1_400, None], pa.timestamp("ns", zone))})
            answer = engine.stream("SELECT t FROM x", {"x": InMemory(table)}).read_all()
            assert answer.schema.field("t").type == pa.timestamp("us", "UTC" if zone else None)
            assert answer["t"].cast(pa.int64()).to_pylist() == [1, 1, 2, -1, None]

    def test_nanoseconds_of_a_file_can_be_compared_and_added_to(self, engine: QueryEngine, tmp_path: Path) -> None:
        path = tmp_path / "ns.parquet"
        pa.parquet.write_table(pa.table({"t": pa.array([1_000], pa.timestamp("ns", "UTC"))}), path)
        zoned = "TIMESTAMP_LTZ" if engine.dialect == "spark" else "TIMESTAMPTZ"
        sql = f"SELECT t + INTERVAL 1 DAY AS later FROM x WHERE t < {zoned} '2000-01-01 00:00:00+00'"
        answer = engine.stream(sql, {"x": Files("parquet", (str(path),))}).read_all()
        assert answer["later"].cast(pa.int64()).to_pylist() == [86_400_000_001]

    def test_nan_of_a_file_is_seen(self, engine: QueryEngine, tmp_path: Path) -> None:
        path = tmp_path / "nan.parquet"
        pa.parquet.write_table(pa.table({"x": [float("nan"), 0.0, None]}), path)  # its statistics say: from 0 to 0
        sql = "SELECT CASE WHEN isnan(x) THEN -1 ELSE x END AS x FROM t"
        answer = engine.stream(sql, {"t": Files("parquet", (str(path),))}, order_by=["x"]).read_all()
        assert answer["x"].to_pylist() == [-1.0, 0.0, None]

    @pytest.mark.parametrize("condition", ["isnan(x)", "x > 15", "NOT (x < 5)", "x = CAST('nan' AS DOUBLE)", "x + 1 > 16"])
    def test_a_filter_by_a_float_finds_nan_in_files_as_it_does_in_memory(
        self, engine: QueryEngine, tmp_path: Path, condition: str
    ) -> None:
        table = pa.table({"i": range(8), "x": [1.0, float("nan"), None, 2.0, 3.0, 4.0, 9.0, float("nan")]})
        path = tmp_path / "nan.parquet"
        pa.parquet.write_table(table, path, row_group_size=2)
        sql = f"SELECT i FROM t WHERE {condition}"
        filed = engine.stream(sql, {"t": Files("parquet", (str(path),))}, order_by=["i"]).read_all()["i"].to_pylist()
        assert filed == ([1, 6, 7] if condition == "NOT (x < 5)" else [1, 7])
        assert filed == engine.stream(sql, {"t": InMemory(table)}, order_by=["i"]).read_all()["i"].to_pylist()

    def test_days_are_24_hours_whatever_the_machine_says(self, engine: QueryEngine) -> None:
        table = pa.table({"t": pa.array([datetime(2026, 3, 8, 5, 30, tzinfo=UTC)], pa.timestamp("us", "America/New_York"))})
        answer = engine.stream("SELECT t + INTERVAL 1 DAY AS t FROM x", {"x": InMemory(table)}).read_all()
        assert answer["t"].to_pylist() == [datetime(2026, 3, 9, 5, 30, tzinfo=UTC)]

    def test_columns_of_files_are_matched_by_name_and_absent_ones_are_null(self, engine: QueryEngine, tmp_path: Path) -> None:
        one, two = tmp_path / "1.parquet", tmp_path / "2.parquet"
        pa.parquet.write_table(pa.table({"a": [1], "b": ["x"]}), one)
        pa.parquet.write_table(pa.table({"b": ["y"], "a": [2], "c": [0.5]}), two)
        answer = engine.stream(
            "SELECT a, b, c FROM t", {"t": Files("parquet", (str(one), str(two)))}, order_by=["a"]
        ).read_all()
        assert answer.to_pydict() == {"a": [1, 2], "b": ["x", "y"], "c": [None, 0.5]}

    def test_csv_files_have_types(self, engine: QueryEngine, tmp_path: Path) -> None:
        path = tmp_path / "it's.csv"
        path.write_text("id,seen,amount,note\n1,2026-01-01 10:00:00,1.5,a\n2,,,\n")
        answer = engine.stream("SELECT id, seen, amount FROM t", {"t": Files("csv", (str(path),))}, order_by=["id"]).read_all()
        assert [str(field.type) for field in answer.schema] == ["int64", "timestamp[us]", "double"]
        assert answer["amount"].to_pylist() == [1.5, None]

    def test_csv_values_that_only_look_like_something_stay_text(self, engine: QueryEngine, tmp_path: Path) -> None:
        one, two = tmp_path / "1.csv", tmp_path / "2.csv"
        rows = ("2026-01-01T10:00:00Z,007,18446744073709551617,01/02/2026,1,1.5", "2026-01-01T10:00:00,1,2,13/02/2026,2,")
        one.write_text("\n".join(["mixed,code,id,day,n,x", *rows]) + "\n")
        two.write_text("x;n\n2;3\n")  # another separator, other columns
        files = {"t": Files("csv", (str(one), str(two)))}
        answer = engine.stream("SELECT mixed, code, id, day, n, x FROM t", files, order_by=["n"]).read_all()
        assert [str(field.type) for field in answer.schema] == ["string"] * 4 + ["int64", "double"]
        assert answer["mixed"].to_pylist() == ["2026-01-01T10:00:00Z", "2026-01-01T10:00:00", None]
        assert answer["id"].to_pylist() == ["18446744073709551617", "2", None]
        assert answer["x"].to_pylist() == [1.5, None, 2.0]

    def test_csv_times_finer_than_microseconds_are_rounded_up(self, engine: QueryEngine, tmp_path: Path) -> None:
        path = tmp_path / "fine.csv"
        path.write_text(
            "n,t,u\n1,1970-01-01T00:00:00.0000009Z,1970-01-01 00:00:00.000001000\n2,1969-12-31 23:59:59.9999991+00:00,\n"
        )
        answer = engine.stream("SELECT n, t, u FROM x", {"x": Files("csv", (str(path),))}, order_by=["n"]).read_all()
        assert [str(field.type) for field in answer.schema] == ["int64", "timestamp[us, tz=UTC]", "timestamp[us]"], str(
            answer.schema
        )
        assert answer["t"].cast(pa.int64()).to_pylist() == [1, 0]
        assert answer["u"].cast(pa.int64()).to_pylist() == [1, None]

    def test_csv_lines_are_rows_whatever_they_start_with(self, engine: QueryEngine, tmp_path: Path) -> None:
        path, empty, bare = tmp_path / "1.csv", tmp_path / "2.csv", tmp_path / "3.csv"
        path.write_bytes('\ufeffa,b\r\n#1,"x\ny"\r\n2,"say ""so"""\r\n'.encode())
        empty.write_bytes(b"")
        bare.write_text("b,a\n")
        files = {"t": Files("csv", (str(path), str(empty), str(bare)))}
        answer = engine.stream("SELECT a, b FROM t", files, order_by=["a"]).read_all()
        assert answer.to_pydict() == {"a": ["#1", "2"], "b": ["x\ny", 'say "so"']}

    def test_a_csv_line_with_too_many_or_too_few_values_is_an_error(self, engine: QueryEngine, tmp_path: Path) -> None:
        path = tmp_path / "ragged.csv"
        for rows in (b"1,2\n3,4,5\n", b"1,2\n3\n", b"1,caf\xe9\n", b""):
            path.write_bytes(b"a,b\n" * bool(rows) + rows)
            with pytest.raises(TidewheelError, match="ragged"):
                engine.stream("SELECT a, b FROM t", {"t": Files("csv", (str(path),))}).read_all()

    def test_two_streams_at_once_do_not_mix(self, engine: QueryEngine) -> None:
        first = engine.stream("SELECT a FROM t", {"t": InMemory(pa.table({"a": list(range(5000))}))}, batch_rows=1000)
        second = engine.stream("SELECT a FROM t", {"t": InMemory(pa.table({"a": ["x"]}))})
        assert second.read_all()["a"].to_pylist() == ["x"]
        assert sum(batch.num_rows for batch in first) == 5000

    def test_a_wrong_query_is_an_error_of_ours(self, engine: QueryEngine) -> None:
        for sql in ("SELECT nope FROM people", "SELECT FROM WHERE", "SELECT * FROM strangers"):
            try:
                engine.stream(sql, {"people": InMemory(_PEOPLE)}).read_all()
            except TidewheelError as error:
                assert error.fix
            else:
                raise AssertionError(f"{sql} was accepted")

    def test_close_twice_is_once(self, engine: QueryEngine) -> None:
        engine.close()
        engine.close()
