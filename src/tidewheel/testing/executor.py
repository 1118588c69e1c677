"""Contract of the executor port: every backend's tests inherit from :class:`ExecutorContract`.

A backend gives fixtures ``executor`` (open, with room for at least two jobs at once where it can) and, where jobs run in
processes of their own, leaves ``separate`` at ``True``. Jobs are tiny programs in JSON, run by :func:`run_probe`.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest

from tidewheel.errors import NotFound
from tidewheel.ports.executor import Executor, JobId, JobSpec, JobState, JobStatus
from tidewheel.ports.printed import printed_text

FINAL = frozenset({JobState.DONE, JobState.FAILED, JobState.CANCELLED})


def run_probe(spec: bytes) -> bytes:
    """Run a job of this suite.

    Examples
    --------
    >>> run_probe(b'{"do": "double", "value": 21}')
    b'42'
    """
    told = json.loads(spec)
    return _PROBES[told["do"]](told)


def _double(told: dict[str, object]) -> bytes:
    return json.dumps(2 * int(str(told["value"]))).encode()


def _fail(told: dict[str, object]) -> bytes:
    raise ValueError(told["value"])


def _print(told: dict[str, object]) -> bytes:
    print(told["value"], flush=True)
    print("to stderr", file=sys.stderr, flush=True)
    return b"printed"


def _flood(told: dict[str, object]) -> bytes:
    print("begin" + "x" * int(str(told["bytes"])) + "end", flush=True)
    return b""


def _print_and_sleep(told: dict[str, object]) -> bytes:
    print(told["value"], end="", flush=True)
    time.sleep(600)
    return b""


def _sleep(told: dict[str, object]) -> bytes:
    Path(str(told["file"])).write_text(str(os.getpid()))
    time.sleep(float(str(told["seconds"])))
    return b"slept"


def _child(told: dict[str, object]) -> bytes:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    Path(str(told["file"])).write_text(str(child.pid))
    time.sleep(600)
    return b""


def _environment(told: dict[str, object]) -> bytes:
    return os.environ.get(str(told["name"]), "absent").encode()


def _spin(told: dict[str, object]) -> bytes:
    Path(str(told["file"])).write_text(str(os.getpid()))
    until = time.monotonic() + float(str(told["seconds"]))
    while time.monotonic() < until:
        continue
    return b"spun"


def _pid(told: dict[str, object]) -> bytes:
    del told
    return str(os.getpid()).encode()


def _large(told: dict[str, object]) -> bytes:
    if "file" in told:
        Path(str(told["file"])).touch()
    return b"x" * int(str(told["bytes"]))


def _exit(told: dict[str, object]) -> bytes:
    os._exit(int(str(told["code"])))


def _hold(told: dict[str, object]) -> bytes:
    held = bytearray(int(str(told["bytes"])))
    for place in range(0, len(held), 4096):
        held[place] = 1
    time.sleep(600)
    return b""


_PROBES: dict[str, Callable[[dict[str, object]], bytes]] = {
    "child": _child,
    "double": _double,
    "environment": _environment,
    "exit": _exit,
    "fail": _fail,
    "flood": _flood,
    "hold": _hold,
    "large": _large,
    "pid": _pid,
    "print": _print,
    "print_and_sleep": _print_and_sleep,
    "sleep": _sleep,
    "spin": _spin,
}


def job(
    do: str,
    *,
    timeout_seconds: float | None = None,
    memory_bytes: int | None = None,
    environment: dict[str, str] | None = None,
    **told: object,
) -> JobSpec:
    """A job of this suite."""
    spec = json.dumps({"do": do, **told}).encode()
    return JobSpec(spec, timeout_seconds=timeout_seconds, memory_bytes=memory_bytes, environment=environment or {})


def wait(executor: Executor, jobs: list[JobId], *, seconds: float = 60.0) -> dict[JobId, JobStatus]:
    """Poll until all jobs are final."""
    deadline = time.monotonic() + seconds
    found: dict[JobId, JobStatus] = {}
    while len(found) < len(jobs):
        assert time.monotonic() < deadline, f"jobs are not final after {seconds} s"
        waiting = [each for each in jobs if each not in found]
        states = executor.poll(waiting, timeout_seconds=1.0)
        found.update({each: status for each, status in states.items() if status.state in FINAL})
    return found


def _wait_seen(executor: Executor, made: JobId, seen: Callable[[JobStatus], bool]) -> JobStatus:
    deadline = time.monotonic() + 60.0
    while not seen(status := executor.poll([made], timeout_seconds=0.1)[made]):
        assert time.monotonic() < deadline, f"{status} after a minute"
    return status


def wait_for(file: Path, *, seconds: float = 60.0) -> str:
    """Text of a file, once there is some."""
    deadline = time.monotonic() + seconds
    while not file.exists() or not file.read_text():
        assert time.monotonic() < deadline, f"{file} did not come"
        time.sleep(0.01)
    return file.read_text()


def is_running(pid: int) -> bool:
    """Whether a process runs; one that is dead and not yet collected does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def wait_gone(pid: int, *, seconds: float = 60.0) -> None:
    """Wait until a process is gone."""
    deadline = time.monotonic() + seconds
    while is_running(pid):
        assert time.monotonic() < deadline, f"process {pid} was left behind"
        time.sleep(0.01)


class PrintingContract:
    """What every executor does with what jobs print."""

    def test_what_a_job_prints_is_in_its_logs_only(self, executor: Executor) -> None:
        """Two jobs' logs are apart, stdout and stderr are both in."""
        jobs = [executor.submit(job("print", value=f"hello {n}")) for n in range(4)]
        wait(executor, jobs)
        for number, each in enumerate(jobs):
            assert f"hello {number}" in executor.logs(each)
            assert "to stderr" in executor.logs(each)
            assert f"hello {(number + 1) % 4}" not in executor.logs(each)

    def test_what_a_job_prints_is_kept_in_the_file_that_it_names(self, executor: Executor, tmp_path: Path) -> None:
        """As it comes, and bounded: a flood has its beginning and its end."""
        kept = tmp_path / "kept" / "job.log"
        spec = replace(job("flood", bytes=1_000_000), log=kept, log_bytes=100_000)
        made = executor.submit(spec)
        assert wait(executor, [made])[made].state is JobState.DONE
        text = printed_text(kept)
        assert text == executor.logs(made)
        assert text.startswith("begin")
        assert text.endswith("end\n")
        assert len(text) < 110_000

    @pytest.mark.usefixtures("processes")
    def test_what_a_job_prints_is_kept_while_it_runs(self, executor: Executor, tmp_path: Path) -> None:
        """Before its end, and also when it has none."""
        kept = tmp_path / "job.log"
        made = executor.submit(replace(job("print_and_sleep", value="so far"), log=kept))
        assert wait_for(kept) == "so far"
        executor.cancel(made)
        assert printed_text(kept) == "so far"


class ExecutorContract(PrintingContract):
    """What every executor does."""

    separate: ClassVar[bool] = True
    """Whether jobs run in processes of their own, which can be stopped and may crash."""

    @pytest.fixture
    def processes(self) -> None:
        """Skips a test that needs jobs in processes of their own."""
        if not self.separate:
            pytest.skip("jobs of this executor run in the caller's process")

    def test_a_job_answers(self, executor: Executor) -> None:
        """The result is what the job answered."""
        made = executor.submit(job("double", value=21))
        assert wait(executor, [made])[made] == JobStatus(JobState.DONE, b"42")

    def test_many_jobs_all_answer(self, executor: Executor) -> None:
        """More jobs than there is room for at once all come to an end, each with its own answer."""
        jobs = [executor.submit(job("double", value=value)) for value in range(200)]
        found = wait(executor, jobs)
        assert [found[each].result for each in jobs] == [str(2 * value).encode() for value in range(200)]

    def test_a_job_that_raises_is_failed_with_its_reason(self, executor: Executor) -> None:
        """The error names the exception, and the next job runs."""
        made = executor.submit(job("fail", value="no such zone"))
        status = wait(executor, [made])[made]
        assert status.state is JobState.FAILED
        assert "ValueError: no such zone" in status.error
        after = executor.submit(job("double", value=1))
        assert wait(executor, [after])[after].result == b"2"

    def test_an_unknown_job_is_not_found(self, executor: Executor) -> None:
        """Asking for a job that was never accepted is an error."""
        with pytest.raises(NotFound):
            executor.poll([JobId("nobody")])

    def test_cancelling_a_finished_job_changes_nothing(self, executor: Executor) -> None:
        """Cancel is idempotent, and late is harmless."""
        made = executor.submit(job("double", value=1))
        wait(executor, [made])
        executor.cancel(made)
        executor.cancel(made)
        assert executor.poll([made])[made].state is JobState.DONE

    def test_closing_twice_is_closing(self, executor: Executor) -> None:
        """Close is idempotent."""
        executor.close()
        executor.close()

    def test_a_large_answer_arrives_whole(self, executor: Executor) -> None:
        """An answer larger than any pipe's buffer."""
        made = executor.submit(job("large", bytes=20_000_000))
        assert len(wait(executor, [made])[made].result) == 20_000_000

    @pytest.mark.usefixtures("processes")
    def test_environment_variables_are_the_jobs_own(self, executor: Executor) -> None:
        """A job sees its variables, the next one does not."""
        first = executor.submit(job("environment", environment={"TW_JOB": "one"}, name="TW_JOB"))
        assert wait(executor, [first])[first].result == b"one"
        second = executor.submit(job("environment", name="TW_JOB"))
        assert wait(executor, [second])[second].result == b"absent"

    @pytest.mark.usefixtures("processes")
    def test_a_job_over_its_time_is_failed_and_gone(self, executor: Executor, tmp_path: Path) -> None:
        """The time limit ends the job and says so."""
        made = executor.submit(job("sleep", timeout_seconds=1.5, seconds=600, file=str(tmp_path / "pid")))
        pid = int(wait_for(tmp_path / "pid"))
        status = wait(executor, [made])[made]
        assert status.state is JobState.FAILED
        assert "limit" in status.error
        wait_gone(pid)

    @pytest.mark.usefixtures("processes")
    def test_a_worker_that_hangs_is_ended_by_the_time_limit(self, executor: Executor, tmp_path: Path) -> None:
        """A stopped process answers nothing and handles no signal; the limit holds, and the next job runs."""
        made = executor.submit(job("sleep", timeout_seconds=2.0, seconds=600, file=str(tmp_path / "pid")))
        pid = int(wait_for(tmp_path / "pid"))
        os.kill(pid, signal.SIGSTOP)
        status = wait(executor, [made])[made]
        assert status.state is JobState.FAILED
        assert "limit" in status.error
        wait_gone(pid)
        after = executor.submit(job("double", value=1))
        assert wait(executor, [after])[after].result == b"2"

    @pytest.mark.slow
    @pytest.mark.usefixtures("processes")
    def test_a_job_that_hangs_is_seen_and_can_be_cancelled(self, executor: Executor, tmp_path: Path) -> None:
        """Without a limit of time, a job that does nothing is told from one that works, and one that is stopped from both."""
        made = executor.submit(job("sleep", seconds=600, file=str(tmp_path / "pid")))
        busy = executor.submit(job("spin", seconds=600, file=str(tmp_path / "busy")))
        pid = int(wait_for(tmp_path / "pid"))
        wait_for(tmp_path / "busy")
        seen = _wait_seen(executor, made, lambda status: status.silent_seconds > 0)
        assert (seen.state, seen.note) == (JobState.RUNNING, "")
        os.kill(pid, signal.SIGSTOP)
        assert "SIGSTOP" in _wait_seen(executor, made, lambda status: bool(status.note)).note
        executor.cancel(made)
        assert executor.poll([made])[made].state is JobState.CANCELLED
        wait_gone(pid)
        assert executor.poll([busy])[busy].silent_seconds == 0
        executor.cancel(busy)

    def test_a_job_that_is_forgotten_is_unknown(self, executor: Executor) -> None:
        """Its answer is kept no longer; forgetting twice, or a job that is not final, changes nothing."""
        made = executor.submit(job("double", value=4))
        wait(executor, [made])
        executor.forget(made)
        executor.forget(made)
        with pytest.raises(NotFound):
            executor.poll([made])

    @pytest.mark.usefixtures("processes")
    def test_a_job_over_its_memory_is_failed(self, executor: Executor) -> None:
        """The bound ends the job and says so, and only that job; one within its bound is left alone."""
        over = executor.submit(job("hold", memory_bytes=200 << 20, bytes=400 << 20))
        status = wait(executor, [over])[over]
        assert status.state is JobState.FAILED
        assert "out of memory" in status.error
        within = executor.submit(job("large", memory_bytes=1 << 30, bytes=1_000))
        assert len(wait(executor, [within])[within].result) == 1_000

    @pytest.mark.usefixtures("processes")
    def test_a_cancelled_job_and_its_children_are_gone(self, executor: Executor, tmp_path: Path) -> None:
        """Cancel stops the whole tree of processes."""
        made = executor.submit(job("child", file=str(tmp_path / "pid")))
        pid = int(wait_for(tmp_path / "pid"))
        executor.cancel(made)
        assert executor.poll([made])[made].state is JobState.CANCELLED
        wait_gone(pid)

    @pytest.mark.usefixtures("processes")
    def test_a_job_cancelled_in_the_queue_never_runs(self, executor: Executor, tmp_path: Path) -> None:
        """A job that waits behind others is cancelled at once."""
        jobs = [executor.submit(job("sleep", seconds=1, file=str(tmp_path / f"{n}"))) for n in range(64)]
        for each in reversed(jobs):
            executor.cancel(each)
        found = wait(executor, jobs)
        assert all(status.state in (JobState.CANCELLED, JobState.DONE) for status in found.values())
        assert not (tmp_path / "63").exists()

    @pytest.mark.usefixtures("processes")
    def test_a_killed_worker_fails_its_job_and_the_next_job_runs(self, executor: Executor, tmp_path: Path) -> None:
        """kill -9 of a worker is seen at once; a fresh worker takes its place."""
        made = executor.submit(job("sleep", seconds=600, file=str(tmp_path / "pid")))
        os.kill(int(wait_for(tmp_path / "pid")), signal.SIGKILL)
        status = wait(executor, [made])[made]
        assert status.state is JobState.FAILED
        assert "SIGKILL" in status.error
        after = executor.submit(job("double", value=1))
        assert wait(executor, [after])[after].result == b"2"

    @pytest.mark.usefixtures("processes")
    def test_a_job_that_ends_its_process_is_failed(self, executor: Executor) -> None:
        """os._exit is not an answer."""
        made = executor.submit(job("exit", code=3))
        status = wait(executor, [made])[made]
        assert status.state is JobState.FAILED
        assert "3" in status.error

    @pytest.mark.usefixtures("processes")
    def test_close_leaves_no_process_behind(self, executor: Executor, tmp_path: Path) -> None:
        """Neither the job nor its children outlive the executor."""
        executor.submit(job("child", file=str(tmp_path / "child")))
        executor.submit(job("sleep", seconds=600, file=str(tmp_path / "worker")))
        pids = [int(wait_for(tmp_path / name)) for name in ("child", "worker")]
        executor.close()
        for pid in pids:
            wait_gone(pid)
