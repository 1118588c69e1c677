"""Answer services that only look rows up by one whole number, which most do: one read, one loop, nothing else.

What is not plain is left to :mod:`tidewheel.features.prepare`, which knows all cases, and says what is wrong with a request.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

from tidewheel.clock import Micros
from tidewheel.features import row_kernel
from tidewheel.features.online_view import OnlineView
from tidewheel.ports.online_store import OnlineStore

NEWEST = 16
"""Open rows of a key that are read at first, where these tell the answer: a busy key has thousands."""

Found = tuple[list[list[object]], list[list[bytes | None]]]
"""Values of every request, and of each use the row that was found for every request."""


class PlainLookups:
    """Answers some uses of views at once.

    Parameters
    ----------
    uses
        Views, and the name of the request's value that is the key of each.
    marks
        Keys of the rows that say that the views are materialised.
    """

    __slots__ = ("_marks", "_read", "_uses")

    def __init__(self, store: OnlineStore, uses: Sequence[tuple[OnlineView, str]], marks: Sequence[bytes]) -> None:
        self._read = store.read
        self._marks = list(marks)
        self._uses = [(view.layout.keys.prefix, name, view.reader) for view, name in uses]

    @staticmethod
    def takes(view: OnlineView, names: Sequence[str]) -> bool:
        """Whether a use is plain: every feature is of the latest row, and the key is one int64."""
        return view.one_row and view.reads_newest and view.layout.keys.one_integer and len(names) == 1

    def find(self, requests: Sequence[Mapping[str, object]], at: Sequence[Micros]) -> Found | None:
        """Values of every request, and of each use the row that was found for every request.

        ``None`` when something about a request, or about what is stored, is out of the ordinary.
        """
        if type(requests) is not list:
            return None
        times = at if type(at) is list else list(at)
        found = row_kernel.find_latest(self._read, self._uses, marks=self._marks, requests=requests, times=times, newest=NEWEST)
        return cast("Found | None", found)
