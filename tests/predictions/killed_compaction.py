"""A real process that compacts a log and is killed with SIGKILL at its n-th file operation. Run by test_kill.py."""

import os
import signal
import sys
from pathlib import Path

from tidewheel.predictions.log import PredictionLog

folder, survive = Path(sys.argv[1]), int(sys.argv[2])
PREFIX = str(folder)
seen = 0


def watch(event: str, arguments: tuple[object, ...]) -> None:
    """Every opening, renaming, cutting and deleting of a file of the log is a point at which power to run can end."""
    global seen
    if event in ("open", "os.rename", "os.remove", "os.truncate", "os.listdir", "os.scandir", "fcntl.flock") and (
        event == "fcntl.flock" or any(PREFIX in str(argument) for argument in arguments)
    ):
        seen += 1
        if seen > survive:
            os.kill(os.getpid(), signal.SIGKILL)


log = PredictionLog(folder)
sys.addaudithook(watch)
log.compact()
print("complete", flush=True)
os._exit(0)
