"""Sessions in this process: what is looked up, what is run, and what is kept."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from tests.counting import calls
from tests.pipelines.workspace import workspace

from tidewheel.artifacts.table import Table
from tidewheel.errors import Invalid, StepFailed, UnsafeFormat
from tidewheel.pipelines import definition as pipelines
from tidewheel.pipelines.execute import _pause

DOUBLE = """
def helper(x):
    return 2 * x

@tw.step
def double(x):
    mark(f"double-{x}")
    return helper(x)
"""


def test_a_call_that_is_known_is_not_run(tmp_path: Path) -> None:
    with workspace(tmp_path, DOUBLE) as ws:
        steps = ws.steps()
        with ws.session.active():
            assert [steps.double(4), steps.double(4), steps.double(x=4)] == [8, 8, 8]
        assert ws.marks == ["double-4"]
        assert ws.told == [
            ("double: running", 0, 1),
            ("double: done", 1, 1),
            ("double: known", 1, 1),
            ("double: known", 1, 1),
        ]


def test_outside_of_a_session_a_step_is_a_function(tmp_path: Path) -> None:
    with workspace(tmp_path, DOUBLE) as ws:
        steps = ws.steps()
        assert [steps.double(4), steps.double(4)] == [8, 8]
        assert ws.marks == ["double-4", "double-4"]


def test_an_edit_of_a_helper_runs_and_of_a_comment_does_not(tmp_path: Path) -> None:
    with workspace(tmp_path, DOUBLE) as ws:
        for text, expected in ((DOUBLE, 8), (DOUBLE.replace("return 2 * x", "return x * 2  # so"), 8)):
            ws.write(text)
            with ws.session.active():
                assert ws.steps().double(4) == expected
        ws.write(DOUBLE.replace("2 * x", "2 * x  # a comment"))
        before = len(ws.marks)
        with ws.session.active():
            ws.steps().double(4)
        assert len(ws.marks) == before
        ws.write(DOUBLE.replace("2 * x", "3 * x"))
        with ws.session.active():
            assert ws.steps().double(4) == 12
        ws.write(DOUBLE)
        with ws.session.active():
            assert ws.steps().double(4) == 8
        assert len(ws.marks) == before + 1, "going back to the first code is known"


@pytest.mark.parametrize("stored", [True, False])
def test_a_column_that_is_not_handed_over_runs_nothing(tmp_path: Path, stored: bool) -> None:
    text = "@tw.step\ndef total(table):\n    mark('total')\n    return sum(pa.table(table)['a'].to_pylist())"
    with workspace(tmp_path, f"import pyarrow as pa\n{text}") as ws:

        def made(**columns: list[int]) -> pa.Table | Table:
            table = pa.table({"a": [1, 2], "b": [3, 4]} | columns)
            return Table.write(ws.session.artifacts, table) if stored else table

        steps = ws.steps()
        with ws.session.active():
            for columns, runs in (({}, 1), ({"b": [5, 6]}, 1), ({"a": [1, 3]}, 2)):
                steps.total(made(**columns).select(["a"]))
                assert len(ws.marks) == runs


def test_equal_numbers_of_other_types_are_other_arguments(tmp_path: Path) -> None:
    with workspace(tmp_path, "@tw.step\ndef show(x): return repr(x)") as ws:
        show = ws.steps().show
        values = [1, 1.0, True, "1", None, (1,), [1], {"a": 1}, {1: "a"}, np.float32(1), -0.0, 0.0, 2**70]
        with ws.session.active():
            first = [show(value) for value in values]
            again = [show(value) for value in values]
        assert first == again == [repr(value) for value in values]


def test_a_file_that_is_read_is_part_of_the_result(tmp_path: Path) -> None:
    with workspace(tmp_path, "@tw.step\ndef load(name):\n    mark('load')\n    return (ROOT / name).read_text()") as ws:
        load, file = ws.steps().load, tmp_path / "data.txt"
        file.write_text("one")
        seen = []
        for text in ("one", "two", "two", "one", "two"):
            file.write_text(text)
            with ws.session.active():
                seen.append(load("data.txt"))
        assert seen == ["one", "two", "two", "one", "two"]
        assert ws.marks == ["load", "load"], "each content is read once, and going back is known"


def test_a_file_read_by_an_inner_step_counts_for_the_outer(tmp_path: Path) -> None:
    text = """
    @tw.step
    def inner(): return (ROOT / "data.txt").read_text()

    @tw.step
    def outer(): return inner() + "!"
    """
    with workspace(tmp_path, text) as ws:
        outer = ws.steps().outer
        for content in ("one", "two", "one"):
            (tmp_path / "data.txt").write_text(content)
            with ws.session.active() as reads:
                assert outer() == content + "!"
            assert "data.txt" in [read.name for read in reads]


def test_a_directory_listing_and_an_environment_variable_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = """
    @tw.step
    def names():
        mark("names")
        return sorted(os.listdir(ROOT / "data"))

    @tw.step
    def variable(name):
        mark("variable")
        return os.environ.get(name)
    """
    with workspace(tmp_path, text) as ws:
        steps = ws.steps()
        (tmp_path / "data").mkdir()
        with ws.session.active():
            assert (steps.names(), steps.names()) == ([], [])
            (tmp_path / "data" / "a").write_text("")
            assert steps.names() == ["a"]
            monkeypatch.setenv("TW_VALUE", "1")
            assert (steps.variable("TW_VALUE"), steps.variable("TW_VALUE")) == ("1", "1")
            monkeypatch.setenv("TW_VALUE", "2")
            assert steps.variable("TW_VALUE") == "2"
        assert ws.marks == ["names", "names", "variable", "variable"]


def test_early_cut_off_when_upstream_gives_the_same(tmp_path: Path) -> None:
    text = """
    @tw.step
    def clean(x):
        mark("clean")
        return x // 10 * 10

    @tw.step
    def fit(x):
        mark("fit")
        return x + 1
    """
    with workspace(tmp_path, text) as ws:
        steps = ws.steps()
        with ws.session.active():
            assert steps.fit(steps.clean(41)) == steps.fit(steps.clean(42)) == 41
        assert ws.marks == ["clean", "fit", "clean"]


def test_a_map_runs_equal_calls_once_and_keeps_the_order(tmp_path: Path) -> None:
    with workspace(tmp_path, DOUBLE) as ws:
        from tidewheel.pipelines.definition import map as tw_map

        with ws.session.active():
            assert tw_map(ws.steps().double, x=[3, 1, 3, 2]) == [6, 2, 6, 4]
        assert sorted(ws.marks) == ["double-1", "double-2", "double-3"]


def test_what_cannot_be_followed_is_never_taken_from_the_cache(tmp_path: Path) -> None:
    text = """
    @tw.step
    def now():
        mark("now")
        return time.time()

    @tw.step(fresh="1h")
    def hourly():
        mark("hourly")
        return time.time()
    """
    with workspace(tmp_path, text) as ws:
        steps = ws.steps()
        with ws.session.active():
            assert steps.now() != steps.now()
            assert steps.hourly() == steps.hourly()
        assert ws.marks == ["now", "now", "hourly"]


def test_declared_reads_count(tmp_path: Path) -> None:
    text = """
    import duckdb

    @tw.step(reads=["*.csv"])
    def total():
        mark("total")
        return duckdb.sql(f"SELECT sum(a) FROM read_csv('{ROOT}/*.csv')").fetchall()[0][0]
    """
    with workspace(tmp_path, text) as ws:
        total = ws.steps().total
        for content, expected in (("a\n1\n", 1), ("a\n1\n", 1), ("a\n1\n2\n", 3)):
            (tmp_path / "data.csv").write_text(content)
            with ws.session.active():
                assert total() == expected
        assert ws.marks == ["total", "total"]


def test_a_failing_step_is_tried_again_and_then_told(tmp_path: Path) -> None:
    text = """
    @tw.step(retries=2)
    def flaky(until):
        mark("flaky")
        if (ROOT / "marks.txt").stat().st_size // 6 < until:
            raise ValueError("not yet")
        return "done"
    """
    with workspace(tmp_path, text) as ws:
        flaky = ws.steps().flaky
        with ws.session.active():
            assert flaky(3) == "done"
            with pytest.raises(StepFailed, match=r"step flaky failed after 3 tries: ValueError: not yet") as caught:
                flaky(100)
        assert isinstance(caught.value.__cause__, ValueError)
        assert "pipeline_steps.py:" in str(caught.value.where)


def test_a_time_limit_holds_in_process(tmp_path: Path) -> None:
    text = "@tw.step(timeout='100ms')\ndef slow():\n    for _ in range(100): time.sleep(.05)\n    mark('end')"
    with workspace(tmp_path, text) as ws:
        with ws.session.active(), pytest.raises(StepFailed, match="limit of 100ms"):
            ws.steps().slow()
        assert ws.marks == []


def test_a_lost_result_is_built_again(tmp_path: Path) -> None:
    with workspace(tmp_path, "import numpy as np\n@tw.step\ndef zeros(n):\n    mark('zeros')\n    return np.zeros(n)") as ws:
        zeros = ws.steps().zeros
        with ws.session.active():
            first = zeros(100_000)
            for blob in list(ws.session.artifacts.list()):
                ws.session.artifacts.delete(blob.digest)
            assert np.array_equal(zeros(100_000), first)
            assert np.array_equal(zeros(100_000), first)
        assert ws.marks == ["zeros", "zeros"]


def test_what_only_pickle_could_store_needs_permission(tmp_path: Path) -> None:
    text = """
    class Thing:
        def __init__(self, n): self.n = n

    @tw.step
    def strict(): return Thing(1)

    @tw.step(pickle=True)
    def lax(): return Thing(1)
    """
    with workspace(tmp_path, text) as ws:
        steps = ws.steps()
        with ws.session.active():
            with pytest.raises(UnsafeFormat, match="Thing"):
                steps.strict()
            assert (steps.lax().n, steps.lax().n) == (1, 1)


def test_arguments_of_a_step_have_names(tmp_path: Path) -> None:
    with workspace(tmp_path, "@tw.step\ndef many(*xs): return xs") as ws:
        many = ws.steps().many
        with ws.session.active(), pytest.raises(Invalid, match=r"\*xs"):
            many(1, 2)


def test_a_cached_chain_costs_little_a_step(tmp_path: Path) -> None:
    with workspace(tmp_path, "@tw.step\ndef add(x): return x + 1") as ws:
        add = ws.steps().add

        def chain() -> None:
            value = 0
            with ws.session.active():
                for _ in range(50):
                    value = add(value)
            assert value == 50

        first, cached = calls(chain) / 50, calls(chain) / 50
        assert first < 4_500  # 2,200 when this was written, most of them SQLAlchemy's
        assert cached < 700  # 330


def test_a_chain_that_is_known_is_looked_up_in_one_query(tmp_path: Path) -> None:
    text = """
    @tw.step
    def add(x): return x + 1

    @tw.step
    def total(xs): return sum(xs)
    """
    with workspace(tmp_path, text) as ws:
        steps = ws.steps()

        def flow(count: int) -> int:
            with ws.session.active():
                value = 0
                for _ in range(count):
                    value = steps.add(value)
                return int(steps.total(pipelines.map(steps.add, x=[value, value + 1])))

        first = flow(5)
        queries: list[str] = []
        with ws.queries(queries):
            assert flow(5) == first
        assert len(queries) == 1
        with ws.queries(queries):
            flow(6)
        assert flow(6) == first + 2
        with ws.session.active():  # a part that is known by itself, and what nobody has asked for yet
            assert steps.add(0) == 1
            assert steps.add(100) == 101


def test_calls_that_fail_together_are_not_tried_again_together() -> None:
    pauses: dict[int, set[float]] = {}
    state = random.getstate()
    for tries in (1, 2, 3, 60):
        pauses[tries] = {_pause(tries) for _ in range(50)}
        longest = min(0.1 * 2 ** (tries - 1), 30.0)
        assert all(longest / 2 <= pause <= longest for pause in pauses[tries])
        assert len(pauses[tries]) > 40
    assert random.getstate() == state, "the user's own draws are not disturbed"
