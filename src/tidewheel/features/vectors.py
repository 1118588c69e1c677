"""Vectors: which of many are nearest to one, exactly. Distances are computed row by row in doubles, in blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tidewheel.errors import Invalid, TypeMismatch
from tidewheel.features.definition import FeatureView
from tidewheel.features.vector import width_of
from tidewheel.ports.vector_index import Metric

if TYPE_CHECKING:
    import numpy.typing as npt

    Integers = npt.NDArray[np.int64]
    Doubles = npt.NDArray[np.float64]

METRICS: tuple[Metric, ...] = ("cosine", "l2", "dot")
_BLOCK = 1 << 14


def find_nearest(column: pa.Array, query: Doubles, *, k: int, metric: Metric, where: str) -> tuple[Integers, Doubles]:
    """The places of the vectors nearest to a query, and their distances; nulls are far from everything.

    Parameters
    ----------
    column
        Lists of floats, of the query's width and without nulls in them.
    metric
        ``l2`` is the Euclidean distance, ``cosine`` one minus the cosine of the angle (1 for a vector of zeros), ``dot`` minus
        the inner product, so that less is nearer with each.

    Returns
    -------
    At most ``k`` of each, the nearest first; of equal distances the one that stands first in the column.

    Raises
    ------
    TypeMismatch
        When a vector has another width than the query, or a null in it.

    Examples
    --------
    >>> column = pa.array([[0.0, 1.0], [3.0, 4.0], None, [1.0, 0.0]], pa.list_(pa.float32()))
    >>> places, distances = find_nearest(column, np.array([0.0, 0.0]), k=2, metric="l2", where="V.v")
    >>> places.tolist(), distances.tolist()
    ([0, 3], [1.0, 1.0])
    """
    check_search(query, k=k, metric=metric)
    there = np.flatnonzero(column.is_valid().to_numpy(zero_copy_only=False))
    vectors = _matrix(column.take(pa.array(there)), len(query), where)
    distances = distances_to(vectors, query, metric)
    if k < len(distances):
        limit = np.partition(distances, k - 1)[k - 1]
        near = np.flatnonzero(distances <= limit)
    else:
        near = np.arange(len(distances))
    order = near[np.argsort(distances[near], kind="stable")][:k]
    return there[order], distances[order]


def check_search(query: Doubles, *, k: int, metric: Metric) -> None:
    """Refuse what cannot be searched for.

    Raises
    ------
    Invalid
        For an unknown metric, no result asked for, and numbers that are not finite.

    Examples
    --------
    >>> check_search(np.array([0.5]), k=1, metric="l2")
    """
    if metric not in METRICS:
        raise Invalid(f"{metric!r} is no metric", where="metric", fix=f"one of {', '.join(METRICS)}")
    if k <= 0 or not len(query) or not np.isfinite(query).all():
        raise Invalid("a search needs k > 0 and a query of finite numbers", where="query", fix="give both")


def check_widths(view: FeatureView, rows: pa.Table) -> None:
    """Refuse rows with a vector of another width than declared.

    Raises
    ------
    TypeMismatch
        Naming the feature, the first width found, and how many rows have another one.
    """
    for one in view.lookups:
        width = width_of(one)
        if width is None or one.column is None:
            continue
        where, column = f"{view.name}.{one.name}", rows[one.column].combine_chunks().drop_null()
        if not pa.types.is_list(column.type) or not pa.types.is_floating(column.type.value_type):
            raise TypeMismatch(f"{where} is {column.type}, not a list of floats", where=where, fix="cast it in the select")
        widths = pc.list_value_length(column).to_numpy(zero_copy_only=False)
        wrong = np.flatnonzero(widths != width)
        if len(wrong):
            told = f"{len(wrong)} rows have a vector of another width, the first of {int(widths[wrong[0]])} numbers"
            raise TypeMismatch(f"{where} has {width} numbers; {told}", where=where, fix="mend the source, or declare its width")
        if column.flatten().null_count:
            raise TypeMismatch(f"a vector of {where} has a null in it", where=where, fix="make such vectors null as a whole")


def _matrix(column: pa.Array, width: int, where: str) -> npt.NDArray[np.generic]:
    widths = pc.list_value_length(column).to_numpy(zero_copy_only=False)
    if len(widths) and (widths != width).any():
        wrong = int(np.count_nonzero(widths != width))
        raise TypeMismatch(
            f"{wrong} of {len(widths)} vectors of {where} have not the {width} numbers of the query",
            where=where,
            fix="search with a vector of their width, or mend the source",
        )
    values = column.flatten()
    if values.null_count:
        raise TypeMismatch(f"a vector of {where} has a null in it", where=where, fix="make such vectors null as a whole")
    made: npt.NDArray[np.generic] = values.to_numpy().reshape(-1, width)
    return made


def distances_to(vectors: npt.NDArray[np.generic], query: Doubles, metric: Metric) -> Doubles:
    """Distances of vectors, one per row, to a query: each row by itself, so that neither block nor neighbours move a bit.

    Examples
    --------
    >>> distances_to(np.array([[3.0, 4.0], [0.0, 0.0]]), np.array([0.0, 0.0]), "l2").tolist()
    [5.0, 0.0]
    """
    blocks = (vectors[low : low + _BLOCK] for low in range(0, len(vectors), _BLOCK))
    return np.concatenate([np.empty(0), *(_distances(block, query, metric) for block in blocks)])


def _distances(block: npt.NDArray[np.generic], query: Doubles, metric: Metric) -> Doubles:
    rows = block.astype(np.float64)
    if metric == "l2":
        rows -= query
        lengths: Doubles = np.sqrt(np.einsum("ij,ij->i", rows, rows))
        return lengths
    inner: Doubles = np.einsum("ij,j->i", rows, query)
    if metric == "dot":
        return -inner
    norms = np.sqrt(np.einsum("ij,ij->i", rows, rows)) * np.sqrt(np.einsum("j,j->", query, query))
    cosines: Doubles = np.divide(inner, norms, out=np.zeros(len(rows)), where=norms > 0)
    return 1.0 - cosines
