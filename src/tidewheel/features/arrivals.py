"""What a source has that it had not before, as a value."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from tidewheel.sources.snapshot import Snapshot


def find_arrivals(old: Snapshot, new: Snapshot) -> Snapshot | None:
    """What a newer snapshot has that an older one had not; ``None`` when something of the older one is gone.

    Examples
    --------
    >>> from tidewheel.digest import Digest
    >>> from tidewheel.sources.snapshot import PushSnapshot
    >>> old = Snapshot("s", pushes=(PushSnapshot("a", 10, Digest("x")),))
    >>> new = Snapshot("s", pushes=(PushSnapshot("a", 15, Digest("y")), PushSnapshot("b", 5, Digest("z"))))
    >>> [(one.segment, one.start, one.size_bytes) for one in find_arrivals(old, new).pushes]
    [('a', 10, 15), ('b', 0, 5)]
    """
    if old.table != new.table:
        return None
    held = Counter(file.digest for file in old.files)  # two files of one content are twice the rows
    fresh = []
    for file in new.files:
        if held[file.digest]:
            held[file.digest] -= 1
        else:
            fresh.append(file)
    if held.total():
        return None
    sizes = {push.segment: push.size_bytes for push in old.pushes}
    grown = []
    for push in new.pushes:
        size = sizes.pop(push.segment, 0)
        if push.size_bytes < size:
            return None
        if push.size_bytes > size:
            grown.append(replace(push, start=size))
    if sizes:
        return None
    return Snapshot(new.source, files=tuple(fresh), pushes=tuple(grown), version=new.version)
