"""A source is where raw rows come from: files, tables, queries or a table in memory, together with the rows pushed since.

It says which column is a row's time, in which zone, and when the row became known. A snapshot says exactly what was read,
and a scan gives rows with their times resolved to microseconds UTC.
"""

from tidewheel.sources.definition import ArrowStream, Source, source
from tidewheel.sources.location import Location, Query
from tidewheel.sources.snapshot import FileSnapshot, PushSnapshot, Snapshot

__all__ = [
    "ArrowStream",
    "FileSnapshot",
    "Location",
    "PushSnapshot",
    "Query",
    "Snapshot",
    "Source",
    "source",
]
