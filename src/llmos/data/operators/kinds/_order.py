"""A random order of rows that depends on a seed and on the rows alone: the same rows have the same order anywhere."""

import hashlib
from collections import Counter


class RandomOrder:
    """Gives each row a number in [0, 1): rows with the same content different ones, by how often they stood before."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._seen: Counter[str] = Counter()

    def number(self, row_id: str) -> float:
        """Return the number of the next row with this id."""
        self._seen[row_id] += 1
        digest = hashlib.sha256(f"{self._seed} {row_id} {self._seen[row_id]}".encode()).digest()
        return int.from_bytes(digest[:8], "big") / 2**64
