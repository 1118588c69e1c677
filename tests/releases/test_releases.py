"""Gates, promotion and rollback over a real registry and real routes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest

from tidewheel.artifacts import ArtifactStore, Table
from tidewheel.clock import Clock
from tidewheel.database import Database
from tidewheel.datasets.handle import Split
from tidewheel.digest import digest
from tidewheel.errors import Conflict, GateFailed, Invalid, NotFound
from tidewheel.models import ModelVersion, Provenance, Registry, Signature
from tidewheel.ports.model_format import Predictor
from tidewheel.releases import Releases, beats, gate, no_worse, under
from tidewheel.releases.evaluate import require
from tidewheel.schema import DataType, Field, Schema
from tidewheel.serving.arm import Arm
from tidewheel.serving.route import Routes

Floats = npt.NDArray[np.float64]


class Line:
    """A model that answers ``factor * distance``."""

    def __init__(self, factor: float) -> None:
        self.factor = factor

    def predict(self, columns: Floats) -> Floats:
        found: Floats = self.factor * columns[:, 0]
        return found


class LineFormat:
    """Stores lines as JSON."""

    name = "line"

    def accepts(self, model: object) -> bool:
        return isinstance(model, Line)

    def save(self, model: object) -> Mapping[str, bytes]:
        assert isinstance(model, Line)
        return {"line.json": json.dumps(model.factor).encode()}

    def load(self, files: Mapping[str, bytes]) -> object:
        return Line(json.loads(files["line.json"]))

    def predictor(self, model: object, features: Sequence[str]) -> Predictor:
        assert isinstance(model, Line)
        return model


class Site:
    """A workspace with a registry, routes and held-out rows on which a factor of 2 is right."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self.store = ArtifactStore.open("memory:///")
        self.registry = Registry(database, self.store, [LineFormat()], clock)
        self.routes = Routes(database, clock)
        self.releases = Releases(database, clock, registry=self.registry, routes=self.routes)
        random = np.random.default_rng(5)
        distance = random.uniform(1, 9, 3_000)
        zone = random.integers(0, 4, 3_000)
        label = 2 * distance + random.normal(0, 0.5, 3_000)
        self.rows = pa.table({"distance": distance, "zone": zone, "minutes": label, "t": np.arange(3_000)})
        self.held_out = self.split(self.rows)

    def split(self, rows: pa.Table) -> Split:
        return Split(Table.write(self.store, rows), features=["distance"], label="minutes", time="t")

    def train(self, factor: float, *features: str) -> ModelVersion:
        names = features or ("distance",)
        inputs = Schema(tuple(Field(name, DataType.FLOAT64) for name in names))
        signature = Signature(inputs, Field("minutes", DataType.FLOAT64, False))
        nothing = digest(None)
        made = Provenance(
            signature, recipe=digest([factor, *names]), run_id="run", training_set=nothing, project_snapshot=nothing
        )
        return self.registry.register("eta", Line(factor), made)

    def champion(self, factor: float) -> ModelVersion:
        version = self.train(factor)
        self.releases.promote("api", version, evidence=None, actor="ada", reason="first")
        return version


@pytest.fixture
def site(database: Database, clock: Clock) -> Site:
    return Site(database, clock)


BETTER = gate("eta", beats("champion", "mae", by=0.01))


def test_the_first_version_has_nobody_to_beat_and_the_report_says_so(site: Site) -> None:
    report = site.releases.evaluate(BETTER, site.train(2.1), site.held_out)
    assert report.passed and report.champion_version is None
    assert "no champion yet" in report.render()
    assert require(report) is report


def test_a_better_challenger_passes_and_a_worse_or_equal_one_fails(site: Site) -> None:
    site.champion(2.1)
    passed = site.releases.evaluate(BETTER, site.train(2.0), site.held_out)
    assert passed.passed and passed.findings[0].low is not None and passed.findings[0].low > 0.01
    failed = site.releases.evaluate(BETTER, site.train(2.2), site.held_out)
    assert not failed.passed and "FAILED" in failed.render()
    assert not site.releases.evaluate(BETTER, site.train(2.0999999), site.held_out).passed
    with pytest.raises(GateFailed, match="beats champion in mae") as caught:
        require(failed)
    assert caught.value.where == "eta"


def test_a_margin_is_asked_of_the_whole_interval(site: Site) -> None:
    site.champion(2.1)
    better = site.train(2.0)
    assert site.releases.evaluate(gate("eta", beats("champion", "mae", by=0.05)), better, site.held_out).passed
    assert not site.releases.evaluate(gate("eta", beats("champion", "mae", by=0.6)), better, site.held_out).passed


def test_the_champion_itself_passes_its_gate(site: Site) -> None:
    report = site.releases.evaluate(BETTER, site.champion(2.0), site.held_out)
    assert report.passed and report.findings[0].note == "it is the champion"


def test_a_challenger_that_is_worse_in_one_slice_only_is_found(site: Site) -> None:
    site.champion(2.1)
    label = site.rows["minutes"].to_numpy().copy()
    zone = site.rows["zone"].to_numpy()
    label[zone == 3] += 0.1 * site.rows["distance"].to_numpy()[zone == 3]  # there 2.1 is right
    rows = site.rows.set_column(2, "minutes", pa.array(label))
    report = site.releases.evaluate(gate("eta", no_worse("mae", slices=["zone"])), site.train(2.0), site.split(rows))
    assert not report.passed
    assert [finding.slice for finding in report.findings if finding.verdict == "failed"] == ["zone=3"]
    assert report.findings[0].verdict == "passed"
    assert "[zone=3]" in report.render() and "3 slices passed" in report.render()


def test_many_slices_of_two_equal_models_do_not_fail_by_chance(site: Site) -> None:
    site.champion(2.01)
    many = site.rows.append_column("street", pa.array([f"s{number % 75}" for number in range(3_000)]))
    report = site.releases.evaluate(gate("eta", no_worse("mae", slices=["street"])), site.train(1.99), site.split(many))
    assert len(report.findings) == 76
    assert report.passed


def test_a_slice_of_few_rows_is_told_and_not_judged_and_an_unknown_one_fails(site: Site) -> None:
    site.champion(2.1)
    rare = site.rows.append_column("kind", pa.array(["rare"] * 10 + ["often"] * 2_990))
    report = site.releases.evaluate(gate("eta", no_worse("mae", slices=["kind", "nope"])), site.train(2.0), site.split(rare))
    verdicts = {finding.slice: finding.verdict for finding in report.findings}
    assert verdicts == {"": "passed", "kind=rare": "skipped", "kind=often": "passed", "nope": "failed"}


def test_latency_is_measured_on_what_will_be_served(site: Site) -> None:
    import time

    quick = site.releases.evaluate(gate("eta", under(p95_ms=1_000)), site.train(2.0), site.held_out)
    assert quick.passed and quick.findings[0].challenger is not None and quick.findings[0].challenger > 0
    asked = []

    def slow(index: int) -> None:
        asked.append(index)
        time.sleep(0.002)

    report = site.releases.evaluate(gate("eta", under(p95_ms=1), name="slow"), site.train(2.0), site.held_out, answer=slow)
    assert not report.passed and len(asked) == 420
    assert "is not under 1 ms" in report.render()


def test_a_report_that_was_passed_stands_and_one_that_failed_is_made_anew(site: Site) -> None:
    site.champion(2.1)
    good, bad = site.train(2.0), site.train(2.2)
    assert site.releases.evaluate(BETTER, good, site.held_out) == site.releases.evaluate(BETTER, good, site.held_out)
    first, second = (site.releases.evaluate(BETTER, bad, site.held_out) for _ in range(2))
    assert first.id == second.id and first.at < second.at
    assert len(site.releases.list_reports("eta")) == 2
    assert site.releases.find_report(first.id) == second


def test_a_champion_that_cannot_answer_the_rows_is_not_beaten(site: Site) -> None:
    old = site.train(2.1, "fare")
    site.releases.promote("api", old, evidence=None, actor="ada", reason="first")
    report = site.releases.evaluate(BETTER, site.train(2.0), site.held_out)
    assert not report.passed
    assert "cannot answer these rows" in report.render() and "fare" in report.render()


def test_rows_without_a_label_are_left_out_and_none_at_all_is_refused(site: Site) -> None:
    label = site.rows["minutes"].to_numpy().copy()
    label[:1_000] = np.nan
    rows = site.rows.set_column(2, "minutes", pa.array(label))
    assert site.releases.evaluate(BETTER, site.train(2.0), site.split(rows)).rows == 2_000
    with pytest.raises(Invalid, match="no held-out row"):
        site.releases.evaluate(BETTER, site.train(2.0), site.split(rows.slice(0, 1_000)))
    with pytest.raises(Invalid, match="guards 'other'"):
        site.releases.evaluate(gate("other", under(p95_ms=1)), site.train(2.0), site.held_out)


def test_promotion_moves_alias_and_route_together_with_its_evidence(site: Site) -> None:
    first = site.champion(2.1)
    better = site.train(2.0)
    report = site.releases.evaluate(BETTER, better, site.held_out)
    release = site.releases.promote("api", better, evidence=report, actor="ada", reason="retrained")
    assert (release.kind, release.version, release.previous, release.evidence) == ("promote", 2, first.version, report.id)
    assert site.registry.aliases("eta") == {"champion": 2}
    assert site.routes.current("api").arms == (Arm("eta", 2),)
    assert [done.version for done in site.releases.history("api")] == [2, 1]


def test_promoting_twice_is_one_release(site: Site) -> None:
    first = site.train(2.0)
    one, two = (site.releases.promote("api", first, evidence=None, actor="ada", reason="go") for _ in range(2))
    assert one == two
    assert site.routes.current("api").revision == 1


def test_a_version_that_failed_its_gate_or_evidence_of_another_is_not_promoted(site: Site) -> None:
    site.champion(2.0)
    worse = site.train(2.2)
    report = site.releases.evaluate(BETTER, worse, site.held_out)
    with pytest.raises(GateFailed):
        site.releases.promote("api", worse, evidence=report, actor="ada", reason="hope")
    with pytest.raises(Invalid, match="evidence is of eta:2, not of eta:3"):
        site.releases.promote("api", site.train(2.3), evidence=report, actor="ada", reason="hope")
    assert site.registry.aliases("eta") == {"champion": 1}


def test_a_route_that_moved_meanwhile_is_a_conflict_and_nothing_changes(site: Site) -> None:
    site.champion(2.1)
    seen = site.routes.current("api").revision
    canary = [Arm("eta", 1, 9_000), Arm("eta", site.train(2.05).version, 1_000, "challenger")]
    site.routes.set("api", canary, expected_revision=seen, actor="bob", reason="canary")
    with pytest.raises(Conflict, match="revision 2, not 1"):
        site.releases.promote("api", site.train(2.0), evidence=None, actor="ada", reason="go", expected_revision=seen)
    with pytest.raises(Conflict):
        site.releases.rollback("api", actor="ada", reason="go", expected_revision=seen)
    assert site.registry.aliases("eta") == {"champion": 1}
    assert site.routes.current("api").revision == 2
    assert len(site.releases.history("api")) == 1


def test_rollback_goes_back_along_the_promotions_and_never_forward(site: Site) -> None:
    for factor in (2.2, 2.1, 2.0):
        site.releases.promote("api", site.train(factor), evidence=None, actor="ada", reason="go")
    assert site.releases.rollback("api", actor="ada", reason="bad", evidence="alert").version == 2
    assert site.registry.aliases("eta") == {"champion": 2}
    assert site.releases.rollback("api", actor="ada", reason="bad").version == 1
    with pytest.raises(NotFound, match="before what answers now"):
        site.releases.rollback("api", actor="ada", reason="bad")
    site.releases.promote("api", site.registry.get("eta", 3), evidence=None, actor="ada", reason="fixed")
    assert site.releases.rollback("api", actor="ada", reason="bad again").version == 1
    assert [(done.kind, done.version) for done in site.releases.history("api")][:3] == [
        ("rollback", 1),
        ("promote", 3),
        ("rollback", 1),
    ]


def test_a_rollback_that_is_tried_again_after_a_crash_is_one_rollback(site: Site) -> None:
    for factor in (2.2, 2.1, 2.0):
        site.releases.promote("api", site.train(factor), evidence=None, actor="ada", reason="go")
    one, two = (site.releases.rollback("api", actor="ada", reason="bad", expected_revision=3) for _ in range(2))
    assert one == two and one.version == 2


def test_a_release_is_all_there_or_not_at_all(site: Site, database: Database) -> None:
    site.champion(2.1)
    better = site.train(2.0)
    with pytest.raises(RuntimeError), database.write():
        site.releases.promote("api", better, evidence=None, actor="ada", reason="go")
        raise RuntimeError("killed before the commit")
    assert site.registry.aliases("eta") == {"champion": 1}
    assert site.routes.current("api").arms == (Arm("eta", 1),)
    assert len(site.releases.history("api")) == 1
    site.releases.promote("api", better, evidence=None, actor="ada", reason="go")
    assert site.routes.current("api").arms == (Arm("eta", 2),)
