"""Builds repeated in a clean environment of the locked versions; real processes, packages from uv's cache or its index."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.journeys.acting import Project

from tidewheel.digest import digest_bytes
from tidewheel.errors import StalePlan, Unavailable
from tidewheel.project.furnish import restore_inputs
from tidewheel.project.open import open_workspace
from tidewheel.project.repeat import repeat
from tidewheel.sources.snapshot import FileSnapshot, Snapshot


def test_inputs_that_are_not_what_they_were_are_all_named(tmp_path: Path) -> None:
    root, clean = tmp_path / "root", tmp_path / "clean"
    root.mkdir()
    files = []
    for name in ("same.csv", "other.csv", "gone.csv"):
        (root / name).write_bytes(name.encode())
        files.append(FileSnapshot(name, len(name), 0, digest_bytes(name.encode())))
    snapshots = {"s": Snapshot("s", files=tuple(files))}
    restore_inputs(snapshots, root=root, home=root / ".tidewheel", clean=clean)
    assert (clean / "gone.csv").read_bytes() == b"gone.csv"
    (root / "other.csv").write_bytes(b"edited")
    (root / "gone.csv").unlink()
    with pytest.raises(StalePlan, match=r"other\.csv has other content; gone\.csv is gone") as told:
        restore_inputs(snapshots, root=root, home=root / ".tidewheel", clean=tmp_path / "again")
    assert "same.csv" not in told.value.what


@pytest.mark.slow
def test_a_model_that_comes_out_otherwise_is_equal_within_the_tolerance_and_the_step_is_named(tmp_path: Path) -> None:
    Project(tmp_path).run("init", "bakery")
    bakery = Project(tmp_path / "bakery")
    noisy = "fit(train.x, train.y * (1 + int.from_bytes(__import__('os').urandom(4)) * 1e-15))"
    bakery.edit("bakery/definitions.py", "fit(train.x, train.y)", noisy)
    bakery.run("apply", "--yes")
    # Neither the code nor the data of today are in the way of what was recorded.
    bakery.edit("bakery/definitions.py", "LinearRegression()", "LinearRegression(fit_intercept=False)")
    header = (bakery.root / "data" / "orders.csv").read_text().splitlines()[0]
    (bakery.root / "data" / "later.csv").write_text(
        f"{header}\no9,2026-03-01T10:00:00+00:00,2026-03-01T10:30:00+00:00,3,2,21.5\n"
    )
    with open_workspace(bakery.root) as workspace:
        try:
            found = repeat(workspace, "amount@champion", tolerance=1e-4)
        except Unavailable as error:
            pytest.skip(f"the locked versions cannot be installed here: {error.what}")
    assert (found.verdict, found.node) == ("equal within the tolerance", "model:amount")
    assert found.largest is not None
    assert 0 < found.largest < 1e-4
    assert found.diverges == "model:amount"  # its training set is the same to the bit
    assert not [note for note in found.notes if "is not what it was" in note]
