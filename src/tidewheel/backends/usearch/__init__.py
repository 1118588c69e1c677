"""Search among many vectors by a graph (HNSW), kept by USearch."""

from tidewheel.backends.usearch.vector_index import UsearchIndex, open_vector_index

__all__ = ["UsearchIndex", "open_vector_index"]
