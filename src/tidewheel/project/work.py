"""Run a job of a pipeline in this process: what ``tidewheel exec`` does on a worker."""

from __future__ import annotations

import sys
from pathlib import Path

from tidewheel.pipelines.worker import run_spec, serve_specs


def work(spec: Path | None, *, stay: bool, root: Path | None = None, artifacts: str | None = None) -> int:
    """Run one job from a file, or jobs from stdin until it closes; answer the exit code.

    Parameters
    ----------
    spec
        File with the job's JSON; ``None`` reads stdin.
    stay
        Serve many jobs, one after the other.
    root, artifacts
        Where this worker finds the project and the artifacts, when it is not where the driver finds them.
    """
    if stay:
        return serve_specs(sys.stdin.buffer, sys.stdout.buffer, root=root, artifacts=artifacts)
    data = spec.read_bytes() if spec is not None else sys.stdin.buffer.read()
    sys.stdout.buffer.write(run_spec(data, root=root, artifacts=artifacts))
    sys.stdout.buffer.flush()
    return 0
