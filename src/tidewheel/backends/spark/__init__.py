"""Spark: the query engine of a cluster, or of one machine with ``local[*]``. The kernel runs in its workers, on Arrow."""

from tidewheel.backends.spark.query_engine import Spark, open_query_engine

__all__ = ["Spark", "open_query_engine"]
