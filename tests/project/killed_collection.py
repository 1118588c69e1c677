"""A collection that kills itself at its N-th call into the package: ``python killed_collection.py ROOT NOW N``."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from types import FrameType

from tidewheel.clock import Micros
from tidewheel.project.collect import collect_garbage
from tidewheel.project.open import open_workspace


def main(root: Path, now: Micros, point: int) -> None:
    """Collect, and die at the N-th call into the store, the ledger or the collection itself."""
    left = point

    def count(frame: FrameType, event: str, argument: object) -> None:
        nonlocal left
        if event in ("call", "c_call") and frame.f_code.co_filename.endswith(("artifacts/store.py", "project/collect.py")):
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    with open_workspace(root, clock=lambda: now) as workspace:
        _ = workspace.database, workspace.artifacts, workspace.runs
        sys.setprofile(count)
        collect_garbage(workspace)
        sys.setprofile(None)
    print("complete", point - left)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Micros(int(sys.argv[2])), int(sys.argv[3]))
