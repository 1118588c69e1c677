"""A worker in a process of its own: ``python -m tests.triggers.one_worker URL NAME FOLDER``.

Its clock is the number in FOLDER/clock. It notes each task that it begins in FOLDER/begun, and stays at the first one for ever
when FOLDER/stay exists.
"""

from __future__ import annotations

import sys
import threading
from pathlib import Path

from tidewheel.clock import Micros
from tidewheel.database.open import Database
from tidewheel.triggers.record import Tasks
from tidewheel.triggers.task import Outcome, Task
from tidewheel.triggers.work import Worker


def main(url: str, name: str, place: str) -> None:
    """Run what is due."""
    folder = Path(place)
    tasks = Tasks(Database.open(url), lambda: Micros(int((folder / "clock").read_text())))

    def execute(task: Task) -> Outcome:
        with (folder / "begun").open("a") as file:
            file.write(f"{name} {task.key}\n")
        print("begun", flush=True)
        if (folder / "stay").exists():
            threading.Event().wait()
        return Outcome(f"by {name}")

    Worker(tasks, execute, name=name, environment="dev").run_due()


if __name__ == "__main__":
    main(*sys.argv[1:])
