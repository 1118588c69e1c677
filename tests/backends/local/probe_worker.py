"""A worker for the contract suite: serves its jobs."""

import sys

from tidewheel.pipelines.serve import serve
from tidewheel.testing.executor import run_probe

if __name__ == "__main__":
    sys.exit(serve(sys.stdin.buffer, sys.stdout.buffer, run_probe))
