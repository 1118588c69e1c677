"""DuckDB: the query engine inside the process, the default on one machine. It spills to disk rather than run out of memory."""

from tidewheel.backends.duckdb.query_engine import DuckDB, open_query_engine

__all__ = ["DuckDB", "open_query_engine"]
