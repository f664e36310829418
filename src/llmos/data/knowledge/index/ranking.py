"""The best of many scores."""

import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.bool_]
"""True for the rows that may be found."""

Ranked = list[tuple[int, float]]
"""Rows and their scores, best first; equal ones in the order of rows."""


def best_rows(scores: npt.NDArray[np.float32], limit: int) -> Ranked:
    """Return the rows with the largest scores. `limit`: at most as many as there are rows."""
    if limit == 0:
        return []
    place = len(scores) - limit
    rows = np.flatnonzero(scores >= np.partition(scores, place)[place])
    rows = rows[np.lexsort((rows, -scores[rows]))][:limit]
    return list(zip(rows.tolist(), scores[rows].tolist(), strict=True))
