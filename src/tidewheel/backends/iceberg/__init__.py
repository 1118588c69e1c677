"""Apache Iceberg tables, read by pyiceberg."""

from tidewheel.backends.iceberg.table_format import IcebergFormat, open_table_format

__all__ = ["IcebergFormat", "open_table_format"]
