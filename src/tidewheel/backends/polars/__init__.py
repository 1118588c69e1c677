"""Polars: Arrow tables as Polars frames."""
