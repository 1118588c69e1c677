"""Executor on Ray: the port's contract on two raylets, and what reaches nodes that do not see the driver's folder."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import ray
from tests.backends.ray.cluster import RayCluster, ray_cluster
from tests.pipelines.workspace import COMMAND, Workspace, workspace

from tidewheel.artifacts.store import ArtifactStore
from tidewheel.backends.ray.executor import RayExecutor, open_executor
from tidewheel.errors import StepFailed
from tidewheel.pipelines.definition import map as tw_map
from tidewheel.ports.executor import Cargo
from tidewheel.testing.executor import ExecutorContract

pytestmark = pytest.mark.slow

PROBE = [sys.executable, str(Path(__file__).parents[1] / "local" / "probe_worker.py")]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayCluster]:
    """Two raylets, and this process connected to them."""
    with ray_cluster(tmp_path_factory.mktemp("ray")) as started:
        ray.init(address=started.address, log_to_driver=False)
        yield started
        ray.shutdown()


@pytest.fixture
def executor(cluster: RayCluster) -> Iterator[RayExecutor]:
    opened = open_executor(command=PROBE, url=f"ray://{cluster.address}")
    yield opened
    opened.close()


class TestRayExecutor(ExecutorContract):
    """All of the contract."""


@contextmanager
def far(cluster: RayCluster, name: str, steps: str) -> Iterator[Workspace]:
    """A workspace in the hidden folder, on the cluster."""
    root = cluster.hidden / name
    root.mkdir()
    blobs = ArtifactStore.open(f"file://{root / '.tidewheel' / 'artifacts'}")
    executor = open_executor(command=COMMAND, url=f"ray://{cluster.address}", cargo=Cargo(root, blobs))
    try:
        with workspace(root, steps, executor=executor) as made:
            yield made
    finally:
        executor.close()


def test_code_arguments_and_results_travel(cluster: RayCluster) -> None:
    text = """
    import numpy as np
    import helper_of_steps

    @tw.step
    def scale(values, factor):
        return helper_of_steps.times(values, factor), str(ROOT), (ROOT / "d.txt").read_text()
    """
    with far(cluster, "travel", text) as ws:
        (ws.root / "helper_of_steps.py").write_text("def times(a, b):\n    return a * b\n")
        for content in ("one", "two", "two", "one"):
            (ws.root / "d.txt").write_text(content)
            values = np.arange(100_000.0)
            with ws.session.active():
                found = tw_map(ws.steps().scale, values=values, factor=[1.0, 2.0, 3.0, 4.0])
            for factor, (scaled, folder, read) in zip([1.0, 2.0, 3.0, 4.0], found, strict=True):
                assert np.array_equal(scaled, values * factor)
                assert folder != str(ws.root)
                assert read == content
        assert [what for what, _, _ in ws.told].count("scale: known") == 8
        sys.modules.pop("helper_of_steps")


def test_an_edit_reaches_nodes_that_are_warm(cluster: RayCluster) -> None:
    with far(cluster, "edit", "@tw.step\ndef one(x): return x + 1") as ws:
        with ws.session.active():
            assert ws.steps().one(1) == 2
        ws.write("@tw.step\ndef one(x): return x + 10")
        with ws.session.active():
            assert ws.steps().one(1) == 11


def test_large_tables_travel_in_pieces(cluster: RayCluster) -> None:
    text = """
    @tw.step
    def turn(table):
        return table.sort_by([("x", "descending")])
    """
    table = pa.table({"x": np.arange(1_500_000)})
    with far(cluster, "large", text) as ws, ws.session.active():
        assert ws.steps().turn(table).column("x")[:2].to_pylist() == [1_499_999, 1_499_998]


def test_what_a_step_reads_on_a_node_and_is_not_there_is_an_error(cluster: RayCluster) -> None:
    """A hidden file does not travel; a step that sees it absent must not answer as if it were."""
    text = "@tw.step\ndef look():\n    return (ROOT / '.secret').exists()"
    with far(cluster, "absent", text) as ws:
        (ws.root / ".secret").write_text("here")
        with ws.session.active(), pytest.raises(StepFailed, match=r"\.secret"):
            ws.steps().look()


def test_nodes_do_not_see_the_driver_s_folder(cluster: RayCluster) -> None:
    """The proof that the tests above prove something, where this machine allows it."""
    if not cluster.is_hidden:
        pytest.skip("this machine allows no mount namespaces")
    text = (
        f"@tw.step(fresh='1s')\ndef look():\n    import subprocess\n    return subprocess.getoutput('ls -A {cluster.hidden}')"
    )
    with far(cluster, "look", text) as ws, ws.session.active():
        assert [each.name for each in cluster.hidden.iterdir()]
        assert ws.steps().look() == ""
