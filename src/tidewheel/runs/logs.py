"""What steps have printed, by run, call and try: a file under the workspace's folder for each try that printed something."""

from __future__ import annotations

import builtins
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote

from tidewheel.errors import NotFound, near_miss
from tidewheel.ports.printed import printed_text

_NAME_CHARACTERS = 120


@dataclass(frozen=True, slots=True)
class StepLog:
    """What one try of one call of a step has printed.

    Parameters
    ----------
    call
        Number of the call in its run, from 0; of a trial of a sweep, the trial's.
    attempt
        From 1.
    """

    step: str
    call: int
    attempt: int
    path: Path

    def text(self, tail: int | None = None) -> str:
        """All that is kept, or the last lines of it; a line says where something was cut.

        Examples
        --------
        >>> StepLog("fit", 0, 1, Path("no-such-file.log")).text()
        ''
        """
        text = printed_text(self.path)
        if tail is None:
            return text
        return "".join(text.splitlines(keepends=True)[-tail:]) if tail > 0 else ""


class RunLogs:
    """The files of one workspace.

    Parameters
    ----------
    folder
        Where they are.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     logs = RunLogs(Path(folder))
    ...     path = logs.path("a1b2", "fit", 3, attempt=1)
    ...     path.parent.mkdir()
    ...     _ = path.write_text("one\\ntwo\\n")
    ...     [(each.step, each.call, each.attempt, each.text(tail=1)) for each in logs.list("a1b2")]
    [('fit', 3, 1, 'two\\n')]
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, run: str, step: str, call: int, *, attempt: int) -> Path:
        """The file of one try, which is there once something was printed."""
        return self.folder / quote(run, safe="") / f"{call:06d}.{attempt:03d}.{quote(step, safe='')[:_NAME_CHARACTERS]}.log"

    def list_folders(self) -> builtins.list[tuple[str, Path]]:
        """Runs that have printed something, each with its folder, in the order of their names."""
        if not self.folder.is_dir():
            return []
        return [(unquote(path.name), path) for path in sorted(self.folder.iterdir()) if path.is_dir()]

    def list(
        self, run: str, step: str | None = None, *, attempt: int | None = None, call: int | None = None
    ) -> builtins.list[StepLog]:
        """Those that were printed to, by call and try.

        Raises
        ------
        NotFound
            When something was printed, and nothing by a step of that name.
        """
        folder = self.folder / quote(run, safe="")
        if not folder.is_dir():
            return []
        found = []
        for path in sorted(folder.glob("*.log")):
            number, tried, name = path.name.removesuffix(".log").split(".", 2)
            found.append(StepLog(unquote(name), int(number), int(tried), path))
        if call is not None:
            found = [each for each in found if each.call == call]
        if step is not None and found and all(each.step != step for each in found):
            names = {each.step for each in found}
            raise NotFound(f"no step {step!r} has printed anything in run {run}", where=step, fix=near_miss(step, names))
        return [each for each in found if step in (None, each.step) and attempt in (None, each.attempt)]
