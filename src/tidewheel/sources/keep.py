"""Keep files by their content: what was fetched once is not fetched again, and an earlier snapshot can be read."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tidewheel.digest import Digest

_ABANDONED = ".part"


@dataclass(frozen=True, slots=True)
class Kept:
    """A folder of files, each under the digest of what it holds; any process may delete from it, and it is fetched again.

    Examples
    --------
    >>> kept = Kept(Path(tempfile.mkdtemp()))
    >>> with kept.writing(".csv") as path:
    ...     _ = path.write_text("a")
    ...     _ = kept.adopt(path, Digest("tw1-a"), ".csv")
    >>> kept.find(Digest("tw1-a"), ".csv").read_text()
    'a'
    """

    folder: Path

    def find(self, content: Digest, ending: str) -> Path | None:
        """The file of that content, where it is here."""
        path = self.folder / f"{content}{ending}"
        return path if path.is_file() else None

    @contextmanager
    def writing(self, ending: str) -> Iterator[Path]:
        """A path to write to, removed afterwards unless it was adopted."""
        self.folder.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix="fetching-", suffix=_ABANDONED + ending, dir=self.folder)
        os.close(handle)
        path = Path(name)
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)

    def adopt(self, path: Path, content: Digest, ending: str) -> Path:
        """Give a finished file its name; all at once, so that a reader sees a whole file or none."""
        kept = self.folder / f"{content}{ending}"
        path.replace(kept)
        return kept
