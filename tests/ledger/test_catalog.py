"""The catalog: what matches, and who uses what."""

from __future__ import annotations

from tidewheel.ledger.catalog import Entry, Wanted, decode, encode, search

ENTRIES = [
    Entry("source:trips", owner="Ann", tags=("taxi",), columns=(("fare_amount", "float64"), ("zone", "int64"))),
    Entry("view:ZonePace", owner="bob", description="How fast a zone is", columns=(("zone", "int64"),), uses=("source:trips",)),
    Entry("service:eta", uses=("view:ZonePace",)),
    Entry("training_set:rides", uses=("service:eta", "source:trips"), tags=("Taxi",)),
    Entry("model:eta", uses=("training_set:rides",)),
]


def found(**wanted: str) -> list[str]:
    return [hit.entry.node for hit in search(ENTRIES, Wanted(**wanted))]


def test_every_part_that_is_given_must_match_whatever_its_case() -> None:
    assert found(text="zone") == ["view:ZonePace", "source:trips"]
    assert found(text="ZONE", owner="bob") == ["view:ZonePace"]
    assert found(tag="taxi") == ["source:trips", "training_set:rides"]
    assert found(column="fare") == ["source:trips"]
    assert found(kind="model") == ["model:eta"]
    assert found(text="how fast") == ["view:ZonePace"]
    assert found(text="nothing of that kind") == []
    assert len(found()) == len(ENTRIES)


def test_a_hit_says_who_uses_it_and_what_it_uses_nearest_first() -> None:
    (view,) = search(ENTRIES, Wanted("ZonePace"))
    assert view.upstream == ("source:trips",)
    assert view.downstream == ("service:eta", "training_set:rides", "model:eta")
    (model,) = search(ENTRIES, Wanted(kind="model"))
    assert model.upstream == ("training_set:rides", "service:eta", "source:trips", "view:ZonePace")
    (source,) = search(ENTRIES, Wanted(column="FARE"))
    assert source.columns == ("fare_amount",)


def test_a_catalog_is_read_as_it_was_written() -> None:
    assert decode(encode(ENTRIES)) == ENTRIES
