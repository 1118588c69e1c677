"""Delta Lake tables, read by delta-rs."""

from tidewheel.backends.delta.table_format import DeltaFormat, open_table_format

__all__ = ["DeltaFormat", "open_table_format"]
