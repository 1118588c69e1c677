"""What an error of a source names: the select, the rule, the column, the file."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pyarrow as pa
import pytest

from tidewheel.errors import Invalid, TidewheelError, TypeMismatch, UnknownFeature
from tidewheel.sources import source
from tidewheel.sources.expectation import expect
from tidewheel.sources.push import PushLog
from tidewheel.sources.read import Sources

ROWS = pa.table({"t": [1], "word": ["seven"], "n": [7]})


@pytest.mark.parametrize("otherwise", ["stop", "quarantine"])
@pytest.mark.parametrize(
    ("rule", "refusal", "words"),
    [
        ({"subject": "wrod", "null": False}, UnknownFeature, "source f has no column 'wrod'.*'wrod is not null'.*word"),
        ({"subject": "word", "between": (0, 9)}, TypeMismatch, "'word is between 0 and 9' of source f.*word is string"),
        ({"subject": "n + word > 3"}, TypeMismatch, "of source f does not fit: n is int64, word is string"),
    ],
)
def test_a_rule_that_does_not_fit_its_columns_is_named(
    sources: Sources, rule: dict[str, object], refusal: type[TidewheelError], words: str, otherwise: str
) -> None:
    rules = [expect("n > 0"), expect(otherwise=otherwise, **rule)]  # type: ignore[arg-type]  # of any case
    declared = source("f", ROWS, time="t", expect=rules)
    with pytest.raises(refusal, match=words):
        sources.verdict(declared)
    if otherwise == "quarantine":
        with pytest.raises(refusal, match=words):
            sources.scan(declared, ["n"])


def test_a_select_that_cannot_run_is_named(sources: Sources) -> None:
    rules = [expect("n > 0", otherwise="quarantine")]
    with pytest.raises(Invalid, match=r"the select of source f cannot run: .*wrod"):
        sources.scan(source("f", ROWS, time="t", select="SELECT t, wrod AS n FROM this", expect=rules), ["n"])


def test_a_value_that_cannot_be_read_is_in_a_file_that_is_named(sources: Sources, tmp_path: Path) -> None:
    for name, text in (("a", "t,x\n2026-01-01,1\n"), ("b", "t,x\n2026-01-01,1\nN/A,x\n"), ("c", "t,x\n2026-01-01,1\n")):
        (tmp_path / f"{name}.csv").write_text(text)
    with pytest.raises(TypeMismatch, match=r"source f, in b\.csv: t: .*N/A"):
        sources.scan(source("f", "*.csv", time="t"), [])
    whole = source("f", "*.csv", time="t", select="SELECT DATE '2026-01-01' AS t, x::INT AS x FROM this")
    with pytest.raises(Invalid, match=r"source f, in b\.csv: .*'x'"):
        sources.scan(whole, ["x"])
    (tmp_path / "b.csv").write_text("t,x\n2026-01-01,1\n")
    words = source("g", "*.csv", time="t", select="SELECT t, x, ('1' || x)::INT AS y FROM this")
    log = PushLog(tmp_path / "pushes/g")
    log.append(words, pa.table({"t": [date(2026, 1, 1)], "x": [2**62]}))
    log.close()
    with pytest.raises(Invalid, match="source g, in pushed rows: "):
        sources.scan(words, ["y"])
