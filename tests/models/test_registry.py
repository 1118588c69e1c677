"""Versions never change, aliases keep their history, and a loaded model holds to its signature."""

from __future__ import annotations

import math
import threading
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from sklearn.linear_model import LinearRegression

from tidewheel.artifacts.store import ArtifactStore
from tidewheel.backends.sklearn.model_format import SklearnFormat
from tidewheel.clock import Clock
from tidewheel.database.open import Database
from tidewheel.digest import Digest, digest
from tidewheel.errors import (
    Corrupt,
    Incompatible,
    Invalid,
    MissingColumns,
    MissingExtra,
    NotFound,
    TypeMismatch,
    UnsafeFormat,
)
from tidewheel.models.pickled import PickleFormat
from tidewheel.models.registry import Registry
from tidewheel.models.version import FeatureProfile, ModelVersion, Provenance, Signature, parse_reference
from tidewheel.schema import DataType, Field, Schema

INPUTS = Schema((Field("trips", DataType.INT64), Field("distance", DataType.FLOAT64), Field("rain", DataType.BOOL)))


class Doubler:
    """A model of nobody's library."""

    def predict(self, columns: np.ndarray) -> np.ndarray:
        return columns[:, 0] * 2


def provenance(recipe: object = 1, **changes: object) -> Provenance:
    known = Provenance(
        signature=Signature(INPUTS, Field("minutes", DataType.FLOAT64, nullable=False)),
        recipe=digest(recipe),
        run_id="r1",
        training_set=digest("rides"),
        project_snapshot=digest("code"),
        metrics={"mae": 4.25, "odd": math.nan},
        views={"ZonePace": digest("view")},
        profile={"trips": FeatureProfile(10, 1, 2.0, 1.0, tuple(float(mark) for mark in range(9)))},
        environment_lock={"numpy": "2.4"},
        owner="ann",
        description="Minutes of a ride.",
        actor="ben",
    )
    return replace(known, **changes)  # type: ignore[arg-type]  # names are the fields'


def fitted(slope: float = 1.0) -> LinearRegression:
    x = np.random.default_rng(0).normal(size=(50, 3))
    return LinearRegression().fit(x, x @ np.array([slope, 2.0, 3.0]))


def test_versions_count_up_and_come_back_as_they_were(registry: Registry) -> None:
    first = registry.register("eta", fitted(1.0), provenance(1))
    second = registry.register("eta", fitted(2.0), provenance(2))
    assert (first.version, second.version) == (1, 2)
    assert first.content != second.content
    assert [version.name for version in registry.list("eta")] == ["eta:2", "eta:1"]
    assert str(registry.get("eta:1")) == str(first), "as text, because NaN is not equal to itself"
    assert registry.get("eta").version == 2
    assert registry.get("eta@latest").version == 2
    assert registry.models() == ["eta"]
    assert first.views == {"ZonePace": digest("view")}
    assert registry.find_recipe("eta", digest(2)) is not None


def test_the_same_recipe_is_the_same_version(registry: Registry) -> None:
    first = registry.register("eta", fitted(1.0), provenance(1))
    assert registry.register("eta", fitted(9.0), provenance(1)).name == first.name
    assert registry.register("other", fitted(1.0), provenance(1)).version == 1
    assert registry.get("other").content == first.content, "equal models are equal content"


def test_two_who_register_at_once_get_different_versions(registry: Registry) -> None:
    made: list[ModelVersion] = []
    model = fitted()

    def work(recipe: int) -> None:
        made.append(registry.register("eta", model, provenance(recipe)))

    threads = [threading.Thread(target=work, args=(recipe,)) for recipe in (1, 2, 3, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(version.version for version in made) in ([1, 2, 3, 3], [1, 1, 2, 3], [1, 2, 2, 3])
    assert len(registry.list("eta")) == 3


def test_aliases_move_and_remember(registry: Registry) -> None:
    for recipe in (1, 2):
        registry.register("eta", fitted(), provenance(recipe))
    assert registry.find("eta@champion") is None
    registry.set_alias("eta", "champion", 1, actor="ann", reason="first")
    registry.set_alias("eta", "champion", 1, actor="ann", reason="again: changes nothing")
    registry.set_alias("eta", "champion", 2, actor="ben", reason="better")
    registry.set_alias("eta", "challenger", 1, actor="ben", reason="compare")
    registry.set_alias("eta", "challenger", None, actor="ben", reason="done")
    assert registry.get("eta@champion").version == registry.get("eta", "champion").version == 2
    assert registry.aliases("eta") == {"champion": 2}
    assert [(move.old, move.new, move.actor, move.reason) for move in registry.alias_history("eta", "champion")] == [
        (1, 2, "ben", "better"),
        (None, 1, "ann", "first"),
    ]
    assert [move.alias for move in registry.alias_history("eta")] == ["challenger", "challenger", "champion", "champion"]


def test_what_does_not_exist_is_said_with_a_near_miss(registry: Registry) -> None:
    registry.register("eta", fitted(), provenance())
    registry.set_alias("eta", "champion", 1, actor="ann", reason="first")
    for reference, fix in (("etta", "did you mean eta?"), ("eta:7", "1 to 1"), ("eta@champio", "did you mean champion?")):
        with pytest.raises(NotFound) as caught:
            registry.get(reference)
        assert fix in (caught.value.fix or "")
    with pytest.raises(NotFound):
        registry.set_alias("eta", "champion", 7, actor="ann", reason="typo")


@pytest.mark.parametrize("wrong", ["latest", "v3", "Champion", "", "a b"])
def test_aliases_that_could_be_mistaken_are_refused(registry: Registry, wrong: str) -> None:
    with pytest.raises(Invalid):
        registry.set_alias("eta", wrong, None, actor="ann", reason="")


@pytest.mark.parametrize("wrong", ["", "eta:", "eta:0", "eta:-1", "eta:x", "eta@", "e/ta", "eta:²"])
def test_references_that_name_nothing_are_refused(wrong: str) -> None:
    with pytest.raises(Invalid):
        parse_reference(wrong)


def test_a_loaded_model_answers_what_the_fitted_one_answers(registry: Registry) -> None:
    model = fitted()
    version = registry.register("eta", model, provenance(), sample=np.ones((5, 3)))
    loaded = registry.load("eta")
    x = np.random.default_rng(1).normal(size=(20, 3))
    assert np.array_equal(loaded.predict(x), model.predict(x))
    assert loaded.version.name == version.name
    assert loaded.features == ("trips", "distance", "rain")


def test_arrays_that_are_not_the_signature_s_are_refused(registry: Registry) -> None:
    registry.register("eta", fitted(), provenance())
    loaded = registry.load("eta")
    for wrong in (np.zeros((2, 4)), np.zeros(3), np.zeros((2, 3), dtype=np.float32)):
        with pytest.raises(Incompatible, match=r"shape \(rows, 3\)"):
            loaded.predict(wrong)  # type: ignore[arg-type]  # that is the point


def test_tables_are_held_to_names_and_types(registry: Registry) -> None:
    model = fitted()
    registry.register("eta", model, provenance())
    loaded = registry.load("eta")
    table = pa.table(
        {"rain": [True, False], "other": ["x", "y"], "distance": [1.5, 2.5], "trips": pa.array([3, 4], pa.int32())}
    )
    assert np.array_equal(loaded.predict_table(table), model.predict(np.array([[3, 1.5, 1.0], [4, 2.5, 0.0]])))
    with pytest.raises(MissingColumns, match="trips"):
        loaded.predict_table(table.drop_columns(["trips"]))
    for column, given in (("trips", [1.5, 2.5]), ("trips", ["a", "b"]), ("rain", [1, 0])):
        with pytest.raises(TypeMismatch, match=column):
            loaded.predict_table(table.set_column(table.column_names.index(column), column, pa.array(given)))


def test_a_model_that_does_not_fit_its_features_is_not_registered(registry: Registry) -> None:
    x = np.zeros((5, 2))
    with pytest.raises(Incompatible, match="2 columns and there are 3 features"):
        registry.register("eta", LinearRegression().fit(x, x[:, 0]), provenance())
    assert registry.list("eta") == []


def test_a_version_whose_signature_was_changed_does_not_load(registry: Registry) -> None:
    version = registry.register("eta", fitted(), provenance())
    signature = Signature(Schema(INPUTS.fields[:2]), version.signature.output)
    with pytest.raises(Incompatible):
        registry.load(replace(version, provenance=replace(version.provenance, signature=signature)))


def test_damaged_bytes_do_not_load(registry: Registry, artifacts: ArtifactStore) -> None:
    version = registry.register("eta", fitted(), provenance())
    artifacts.path(next(iter(version.files.values()))).write_bytes(b"something else")
    with pytest.raises(Corrupt):
        registry.load(version)


def test_pickle_needs_permission_to_store_and_to_load(
    registry: Registry, database: Database, artifacts: ArtifactStore, clock: Clock
) -> None:
    with pytest.raises(UnsafeFormat, match="no safe format") as caught:
        registry.register("eta", Doubler(), provenance())
    assert "allow_pickle=True" in (caught.value.fix or "")
    version = registry.register("eta", Doubler(), provenance(), allow_pickle=True)
    assert version.format == "pickle"
    with pytest.raises(UnsafeFormat, match="runs code"):
        registry.load(version)
    permitted = Registry(database, artifacts, [SklearnFormat()], clock, allow_pickle=True)
    assert permitted.load(version).predict(np.ones((2, 3))).tolist() == [2.0, 2.0]
    assert "runs code" in registry.card(version)


def test_a_safe_format_is_preferred_to_pickle_where_both_would_do(registry: Registry) -> None:
    assert registry.register("eta", fitted(), provenance(), allow_pickle=True).format == "skops"


def test_a_class_that_nobody_can_find_again_is_not_pickled() -> None:
    class Local(Doubler):
        """Defined inside of a function."""

    with pytest.raises(Invalid, match="cannot be pickled"):
        PickleFormat().save(Local())


def test_a_format_that_is_not_installed_is_named(
    registry: Registry, database: Database, artifacts: ArtifactStore, clock: Clock
) -> None:
    version = registry.register("eta", fitted(), provenance())
    with pytest.raises(MissingExtra, match="skops"):
        Registry(database, artifacts, [], clock).load(version)


class Forgetful(SklearnFormat):
    """A format that loses the intercept."""

    def load(self, files: object) -> object:
        return LinearRegression().fit(np.eye(3), np.zeros(3))


def test_a_model_that_does_not_survive_being_stored_is_not_registered(
    database: Database, artifacts: ArtifactStore, clock: Clock
) -> None:
    registry = Registry(database, artifacts, [Forgetful()], clock)
    with pytest.raises(Incompatible, match="answers differently"):
        registry.register("eta", fitted(), provenance(), sample=np.ones((2, 3)))


def test_the_card_tells_what_matters(registry: Registry) -> None:
    version = registry.register("eta", fitted(), provenance())
    registry.set_alias("eta", "champion", 1, actor="ann", reason="first")
    card = registry.card("eta")
    for told in (
        "# eta, version 1",
        "Minutes of a ride.",
        "ann",
        "champion",
        "**mae** | 4.25",
        "10.0%",
        "numpy==2.4",
        "ZonePace",
    ):
        assert told in card, told
    assert version.content in card
    assert Digest(version.training_set) in card
