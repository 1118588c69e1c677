"""What a project says about a gate."""

from __future__ import annotations

import pytest

from tidewheel.errors import Invalid
from tidewheel.ledger.definition import collecting
from tidewheel.releases import beats, gate, no_worse, under


def test_a_gate_is_downstream_of_its_model_and_its_conditions_are_its_recipe() -> None:
    with collecting() as declared:
        gate("eta", beats("champion", "mae", by=0.01), no_worse("mae", slices=["zone"]), under(p95_ms=10), owner="ada")
        gate("eta", beats("champion", "mae", by=0.02), name="strict")
    assert [one.id for one in declared] == ["gate:eta", "gate:strict"]
    assert declared[0].upstream == ("model:eta",)
    assert declared[0].parameters != declared[1].parameters
    assert declared[0].meta["owner"] == "ada"


def test_what_cannot_be_meant_is_refused_with_a_fix() -> None:
    for wrong in (
        lambda: gate("eta"),
        lambda: beats("champion", "mea"),
        lambda: beats("champion", "mae", by=3),
        lambda: beats("champion", "mae", confidence=95),
        lambda: no_worse("mae", tolerance=-1),
        lambda: under(p95_ms=0),
    ):
        with pytest.raises(Invalid) as caught:
            wrong()
        assert caught.value.fix
