"""The vector part of an index: the exact nearest rows of a matrix, by a product with each row.

Equal to brute force in double precision: the product in single precision finds candidates, which are computed again.
"""

import numpy as np
import numpy.typing as npt

from llmos.core.errors import BadRequest
from llmos.data.knowledge.index.ranking import Mask, Ranked

Rows = npt.NDArray[np.intp]
Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]

_GATHERED_SHARE = 8
"""Fewer allowed rows than one in this many are copied and multiplied; otherwise it is quicker to multiply all."""


def query_vector(vector: npt.ArrayLike, num_dims: int) -> Doubles:
    """Return a question's vector with length 1. Raises BadRequest for one that doesn't fit the index."""
    values = np.asarray(vector, np.float64)
    if values.shape != (num_dims,):
        raise BadRequest(
            f"The vector has the shape {list(values.shape)}; this index takes [{num_dims}]. Use its embedding model.",
            param="vector",
        )
    largest = float(np.max(np.abs(values), initial=0.0))
    if not np.isfinite(largest) or largest == 0:
        raise BadRequest("The vector needs finite numbers, not all of them 0.", param="vector")
    values = values / largest  # Otherwise the squares of very large and very small numbers aren't numbers.
    return np.asarray(values / np.linalg.norm(values))


def nearest_rows(vectors: Floats, query: Doubles, limit: int, allowed: Mask | None = None) -> Ranked:
    """Return the rows with the largest products, largest first; equal ones in the order of rows."""
    if allowed is None:
        return best_of(vectors, query, _candidates(vectors, query, limit), limit)
    rows = np.flatnonzero(allowed)
    if len(rows) * _GATHERED_SHARE < len(vectors):
        return best_of(vectors, query, rows[_candidates(vectors[rows], query, limit)], limit)
    return best_of(vectors, query, _candidates(vectors, query, limit, allowed), limit)


def best_of(vectors: Floats, query: Doubles, rows: Rows, limit: int) -> Ranked:
    """Return the best of some rows, computed in double precision, so that the result depends on no other row."""
    products = products_of(vectors, query, rows)
    order = np.lexsort((rows, -products))[:limit]
    return list(zip(rows[order].tolist(), products[order].tolist(), strict=True))


def products_of(vectors: Floats, query: Doubles, rows: Rows) -> Doubles:
    """Return the product of each of these rows with the query, in double precision."""
    products: Doubles = (vectors[rows].astype(np.float64) * query).sum(axis=1)
    return products


def _candidates(vectors: Floats, query: Doubles, limit: int, allowed: Mask | None = None) -> Rows:
    """Return the rows that may be among the best: those that rounding may have put below the last of them."""
    products = np.vecdot(
        vectors, query.astype(np.float32)
    )  # "@" has threads, which wait for each other when others run.
    if allowed is not None:
        products[~allowed] = -np.inf
    num_allowed = len(products) if allowed is None else int(np.count_nonzero(allowed))
    if num_allowed == 0:
        return np.empty(0, np.intp)
    place = len(products) - min(limit, num_allowed)
    last = np.partition(products, place)[place]
    return np.flatnonzero(products >= last - _rounding(vectors.shape[1]))


def _rounding(num_dims: int) -> float:
    """Return by how much two products of vectors of length 1 may be wrong together, in single precision."""
    return 4 * (num_dims + 2) * 2.0**-24
