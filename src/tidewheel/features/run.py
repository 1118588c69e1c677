"""One run of materialisation, as a value: what it closes, up to when, and what it reads for that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa

from tidewheel.clock import Micros
from tidewheel.features.closing import first_needed
from tidewheel.features.online import OnlineLayout
from tidewheel.features.plan import plan_windows
from tidewheel.sources.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Run:
    """One run: what it reads, and up to when it closes.

    Parameters
    ----------
    until
        The instant at which it closes.
    full
        Every key is computed again, from all rows.
    """

    layout: OnlineLayout
    revision: int
    until: Micros
    snapshot: Snapshot
    full: bool

    @property
    def watermark(self) -> int:
        """Tiles before it are closed."""
        return self.layout.watermark(self.until)

    @property
    def start(self) -> Micros | None:
        """Rows before it cannot matter to any key; ``None``: all may."""
        return first_needed(self.layout, plan_windows(self.layout.view, self.layout.schema), self.until)


@dataclass(frozen=True, slots=True)
class Reading:
    """What a run reads of the source, and what it takes over from the store instead.

    Parameters
    ----------
    start
        Rows before it are not read.
    cuts
        Keys to compute, and from which instant on each one's rows are read; ``None``: every key, every row.
    carries
        What is closed before a key's cut is taken over.
    opened
        So are open rows: of views whose source is not read again, but for what arrived.
    moved
        Rows that corrections moved to before ``start``.
    """

    snapshot: Snapshot
    start: Micros | None
    cuts: Mapping[bytes, int] | None = None
    carries: bool = False
    opened: bool = False
    moved: pa.Table | None = None
