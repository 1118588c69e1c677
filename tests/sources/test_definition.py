"""Sources as declared."""

from __future__ import annotations

import pyarrow as pa
import pytest

from tidewheel.errors import Invalid
from tidewheel.ledger.definition import collecting
from tidewheel.sources import source


def test_a_source_is_heard_while_a_project_is_collected() -> None:
    with collecting() as declared:
        made = source("trips", ["a/*.parquet", "b/*.parquet"], time="ended", owner="rides", tags=["taxi"])
    assert [(one.id, one.definition) for one in declared] == [("source:trips", made)]
    assert declared[0].meta["owner"] == "rides"
    assert declared[0].parameters["data"] == ("a/*.parquet", "b/*.parquet")
    assert __file__ in declared[0].where


def test_version_follows_the_meaning_and_not_the_place_or_the_owner() -> None:
    one = source("t", "a.parquet", time="x", select="SELECT a,  b\nFROM this")
    assert one.version == source("t", "z/b.parquet", time="x", select="SELECT a, b FROM this", owner="me").version
    for other in (
        source("t", "a.parquet", time="y", select="SELECT a, b FROM this"),
        source("t", "a.parquet", time="x", select="SELECT a, b FROM this WHERE a > 1"),
        source("t", "a.parquet", time="x", select="SELECT a, b FROM this", after="1m"),
        source("t", "a.parquet", time="x", select="SELECT a, b FROM this", timezone="Asia/Tokyo"),
    ):
        assert other.version != one.version


def test_white_space_inside_of_quotes_is_meaning() -> None:
    def version(select: str) -> str:
        return source("t", "a.parquet", time="x", select=select).version

    assert version("SELECT 'a  b' AS c FROM this") != version("SELECT 'a b' AS c FROM this")
    assert version("SELECT a -- note\n, b FROM this") != version("SELECT a -- note , b FROM this")


def test_formats_are_told_by_endings() -> None:
    assert source("t", "a/*.csv", time="x").format == "csv"
    assert source("t", "a/*.PARQUET", time="x").format == "parquet"
    assert source("t", pa.table({"x": [1]}), time="x").format == "memory"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"data": "a.xlsx"}, "format"),
        ({"data": ["a.csv", "b.parquet"]}, "format"),
        ({"data": []}, "format"),
        ({"timezone": "Mars/Olympus"}, "time zone"),
        ({"available": "known", "after": "1m"}, "both"),
        ({"after": "soon"}, "duration"),
        ({"name": "two words"}, "identifier"),
        ({"nan": "zero"}, "nan"),
        ({"ambiguous": "maybe"}, "ambiguous"),
    ],
)
def test_what_makes_no_sense_is_refused_with_a_fix(change: dict[str, str], said: str) -> None:
    arguments: dict[str, str] = {"name": "trips", "data": "a.parquet", "time": "x"} | change
    with pytest.raises(Invalid, match=said) as caught:
        source(**arguments)  # type: ignore[arg-type]  # wrong on purpose
    assert caught.value.fix
