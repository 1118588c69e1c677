"""Executor on Ray: the port's contract on two raylets, and what reaches nodes that do not see the driver's folder."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import ray
from tests.backends.ray.cluster import OBJECT_STORE_BYTES, RayCluster, network_of_its_own, ray_cluster
from tests.pipelines.memory import held_bytes, peak_bytes, reset_peak
from tests.pipelines.workspace import COMMAND, Workspace, workspace

from tidewheel.artifacts.store import ArtifactStore
from tidewheel.backends.ray.executor import RayExecutor, open_executor
from tidewheel.errors import Invalid, StepFailed
from tidewheel.ledger.definition import node_id
from tidewheel.pipelines.definition import map as tw_map
from tidewheel.ports.executor import Cargo, JobSpec, JobState
from tidewheel.testing.executor import ExecutorContract, job, wait, wait_for, wait_gone

pytestmark = pytest.mark.slow

PROBE = [sys.executable, str(Path(__file__).parents[1] / "local" / "probe_worker.py")]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayCluster]:
    """Two raylets, and this process connected to them."""
    with ExitStack() as stack:
        try:
            stack.enter_context(network_of_its_own())
        except OSError as error:
            pytest.skip(f"Ray would listen on every interface: no network of its own ({error})")
        started = stack.enter_context(ray_cluster(tmp_path_factory.mktemp("ray")))
        ray.init(address=started.address, log_to_driver=False)
        yield started
        ray.shutdown()


@pytest.fixture
def executor(cluster: RayCluster) -> Iterator[RayExecutor]:
    opened = open_executor(command=PROBE, url=f"ray://{cluster.address}")
    yield opened
    opened.close()


class TestRayExecutor(ExecutorContract):
    """All of the contract, and what Ray's own processes add to it."""

    def test_a_killed_process_of_ray_fails_its_job_and_leaves_none_behind(self, executor: RayExecutor, tmp_path: Path) -> None:
        made = executor.submit(job("sleep", seconds=600, file=str(tmp_path / "pid")))
        pid = int(wait_for(tmp_path / "pid"))
        os.kill(_parent(pid), signal.SIGKILL)
        status = wait(executor, [made])[made]
        assert status.state is JobState.FAILED
        assert "died" in status.error
        wait_gone(pid)

    def test_what_can_never_start_is_refused_and_what_waits_says_why(self, executor: RayExecutor, tmp_path: Path) -> None:
        with pytest.raises(Invalid, match="it asks for 64 processors; the nodes of the cluster have 1 processors"):
            executor.submit(JobSpec(b"", cpus=64))
        with pytest.raises(Invalid, match="it asks for 1 processors with 1024 GiB"):
            executor.submit(JobSpec(b"", memory_bytes=1 << 40))
        jobs = [executor.submit(job("sleep", seconds=600, file=str(tmp_path / str(n)))) for n in range(3)]
        notes: list[str] = []
        while "waits for room on the cluster" not in notes:
            notes = [status.note for status in executor.poll(jobs, timeout_seconds=0.5).values()]


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


DRIVER = """
import time
from tidewheel.backends.ray.executor import open_executor
from tidewheel.testing.executor import job
executor = open_executor(command={command!r}, url="ray://{address}")
executor.submit(job("child", file={child!r}))
time.sleep(600)
"""


def test_jobs_and_their_children_end_with_a_killed_driver(cluster: RayCluster, tmp_path: Path) -> None:
    script = tmp_path / "driver.py"
    told = DRIVER.format(command=PROBE, address=cluster.address, child=str(tmp_path / "child"))
    connect = f"import ray; ray.init(address={cluster.address!r}, log_to_driver=False)\n"
    script.write_text(connect + textwrap.dedent(told))
    driver = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    pid = int(wait_for(tmp_path / "child"))
    driver.kill()
    driver.wait()
    wait_gone(pid)


STEPS = """
import helper_of_steps

@tw.step
def scale(values, factor):
    return helper_of_steps.times(values, factor), str(ROOT), (ROOT / "d.txt").read_text()

@tw.step
def turn(table):
    return table.sort_by([("x", "descending")])

@tw.step
def make(size):
    import numpy as np
    return os.getpid(), np.full(size // 8, 1.5)

@tw.step(reads=[])
def slow(x, folder):
    for name in ("begin", "end"):
        number = os.open(f"{folder}/{name}-{os.getpid()}-{x}", os.O_WRONLY | os.O_CREAT)
        os.close(number)
        time.sleep(0.3 if name == "begin" else 0)
    return x

@tw.step
def hidden():
    return (ROOT / ".secret").exists()

@tw.step(fresh="1s")
def look(folder):
    import subprocess
    return subprocess.getoutput(f"ls -A {folder}")
"""


def open_far(root: Path, address: str) -> RayExecutor:
    """An executor whose nodes see neither the project nor its artifacts."""
    blobs = ArtifactStore.open(f"file://{root / '.tidewheel' / 'artifacts'}")
    return open_executor(command=COMMAND, url=f"ray://{address}", cargo=Cargo(root, blobs))


@pytest.fixture(scope="module")
def far(cluster: RayCluster) -> Iterator[Workspace]:
    """A workspace in the hidden folder, on the cluster."""
    root = cluster.hidden / "project"
    root.mkdir()
    (root / "helper_of_steps.py").write_text("def times(a, b):\n    return a * b\n")
    (root / "d.txt").write_text("one")
    (root / ".secret").write_text("here")
    executor = open_far(root, cluster.address)
    try:
        with workspace(root, STEPS, executor=executor) as made:
            yield made
    finally:
        executor.close()
        sys.modules.pop("helper_of_steps", None)


def test_code_arguments_and_results_travel_and_so_does_an_edit(far: Workspace) -> None:
    values = np.arange(100_000.0)
    for content, sign in (("one", 1), ("two", -1), ("one", 1)):
        (far.root / "d.txt").write_text(content)
        (far.root / "helper_of_steps.py").write_text(f"def times(a, b):\n    return a * b * {sign}\n")
        sys.modules.pop("helper_of_steps", None)
        with far.session.active():
            found = tw_map(far.steps().scale, values=values, factor=[1.0, 2.0, 3.0])
        for factor, (scaled, folder, read) in zip([1.0, 2.0, 3.0], found, strict=True):
            assert np.array_equal(scaled, values * factor * sign)
            assert folder != str(far.root)
            assert read == content
    assert [what for what, _, _ in far.told].count("scale: known") == 3


def test_tables_travel_in_pieces(far: Workspace) -> None:
    table = pa.table({"x": np.arange(1_500_000)})
    with far.session.active():
        assert far.steps().turn(table).column("x")[:2].to_pylist() == [1_499_999, 1_499_998]


def test_a_large_result_is_streamed_to_the_driver(far: Workspace) -> None:
    """Neither side holds more of it than the value, and Ray's object store is smaller. By hand with 1 << 30 bytes."""
    size = 192 << 20
    with far.session.active():
        far.steps().make(8)
        reset_peak()
        before = held_bytes()
        pid, made = far.steps().make(size)
    assert (len(made), made[-1]) == (size // 8, 1.5)
    assert peak_bytes() - before < 1.2 * size + OBJECT_STORE_BYTES  # whose pages count as the driver's, once touched
    assert peak_bytes(pid) < 1.6 * size + (256 << 20)  # Python with NumPy and Arrow


FAR_DRIVER = """
import sys
sys.path[:0] = [{repository!r}, {root!r}]
from pathlib import Path
import ray
ray.init(address={address!r}, log_to_driver=False)
from tests.backends.ray.test_executor import STEPS, open_far
from tests.pipelines.workspace import Workspace
from tidewheel.pipelines.definition import map as tw_map
root = Path({root!r})
made = Workspace(root, STEPS, executor=open_far(root, {address!r}))
with made.session.active():
    tw_map(made.steps().slow, x=list(range(8)), folder={folder!r})
"""


def test_after_a_kill_of_driver_and_worker_no_process_is_left_and_the_next_run_goes_on(
    cluster: RayCluster, far: Workspace, tmp_path: Path
) -> None:
    script, folder = tmp_path / "driver.py", tmp_path / "marks"
    folder.mkdir()
    repository = str(Path(__file__).parents[3])
    values = {"repository": repository, "root": str(far.root), "address": cluster.address, "folder": str(folder)}
    script.write_text(FAR_DRIVER.format(**values))

    def recorded() -> int:
        return len(far.session.ledger.list_builds(node_id("step", "slow")))

    earlier, told = recorded(), len(far.told)
    with (tmp_path / "log").open("wb") as log:
        driver = subprocess.Popen([sys.executable, str(script)], stdout=log, stderr=log)
    while recorded() == earlier:
        assert driver.poll() is None, (tmp_path / "log").read_text()
        time.sleep(0.02)
    pids = [int(each.name.split("-")[1]) for each in folder.glob("begin-*")]
    for pid in (pids[-1], driver.pid):
        os.kill(pid, signal.SIGKILL)
    driver.wait()
    for pid in pids:
        wait_gone(pid)
    known, ended = recorded() - earlier, len(list(folder.glob("end-*")))
    with far.session.active():
        assert tw_map(far.steps().slow, x=list(range(8)), folder=str(folder)) == list(range(8))
    assert [what for what, _, _ in far.told[told:]].count("slow: known") == known
    assert len(list(folder.glob("end-*"))) == ended + 8 - known


def test_what_a_step_reads_on_a_node_and_is_not_there_is_an_error(far: Workspace) -> None:
    """A hidden file does not travel; a step that sees it absent must not answer as if it were."""
    with far.session.active(), pytest.raises(StepFailed, match=r"it read \.secret"):
        far.steps().hidden()


def test_nodes_do_not_see_the_driver_s_folder(cluster: RayCluster, far: Workspace) -> None:
    """The proof that the tests above prove something, where this machine allows it."""
    if not cluster.is_hidden:
        pytest.skip("this machine allows no mount namespaces")
    with far.session.active():
        assert [each.name for each in cluster.hidden.iterdir()]
        assert far.steps().look(str(cluster.hidden)) == ""


SECRET_STEPS = """
@tw.step(reads=[], secrets={"TOKEN": tw.secret("shop/token")})
def asks(x):
    print("token is", os.environ["TOKEN"])
    return len(os.environ["TOKEN"])
"""


def test_a_secret_reaches_its_step_and_is_in_nothing_that_ray_or_the_project_keeps(cluster: RayCluster, tmp_path: Path) -> None:
    value = f"canary{uuid.uuid4().hex}"
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "token").write_text(value)
    root = cluster.hidden / "secrets"
    root.mkdir()
    (root / "tidewheel.toml").write_text('project = "shop"\n')
    blobs = ArtifactStore.open(f"file://{root / '.tidewheel' / 'artifacts'}")
    command = [sys.executable, "-m", "tidewheel", "exec", "--serve"]
    executor = open_executor(command=command, url=f"ray://{cluster.address}", cargo=Cargo(root, blobs))
    with ExitStack() as stack:
        stack.callback(executor.close)
        far = stack.enter_context(workspace(root, SECRET_STEPS, executor=executor))
        far.session.secrets_url = f"file://{tmp_path}"
        stack.enter_context(far.session.active())
        assert far.steps().asks(1) == len(value)
        inside: Any = ray._private  # the public listing needs the dashboard
        ray_folder = Path(inside.worker.global_worker.node.get_session_dir_path())
        folders = (root, cluster.hidden.parent, ray_folder)
        kept = [file for folder in folders for file in folder.rglob("*") if file.is_file() and not file.is_symlink()]
        assert any(file.suffix == ".db" for file in kept)
        assert any(file.name.startswith("raylet") for file in kept)
        assert not [file for file in kept if value.encode() in file.read_bytes()]
        assert value not in str([inside.state.jobs(), ray.get_runtime_context().runtime_env, far.told])
