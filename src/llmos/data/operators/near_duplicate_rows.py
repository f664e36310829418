"""Finds near duplicates: texts that have most of their sequences of words in common.

MinHash (Broder 1997) with bands (Leskovec et al., Mining of Massive Datasets, ch. 3) proposes pairs, and the true
Jaccard similarity of their sequences decides.

    texts → sequences of words, hashed → signatures → bands ──► texts that agree in a band are candidates
                                                       └─► each is compared with the candidates before it that are kept
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import Any

import numpy as np

from llmos.core.errors import BadRequest
from llmos.data.operators.word_hashes import Hashes, sequence_hashes_of_texts

_SEED = 42

_BATCH = 100
"""Texts whose hashes are computed together: with the usual lengths, they fit into the cache of a core."""

_BATCH_CHARACTERS = 1 << 20

_MAX_COMPARED = 64
"""Kept candidates of one band that a text is compared with: the latest ones."""


@dataclass(frozen=True, slots=True)
class Match:
    """A text that is a near duplicate of an earlier one, which isn't one itself."""

    index: int
    similarity: float
    """The Jaccard similarity: the sequences in common, divided by all sequences of the two."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NearDuplicates:
    """The parameters of a search. Two texts of a similarity s agree in a band with the probability
    1 - (1 - s ** rows) ** bands: 0.9997 at 0.8, 0.47 at 0.5."""

    threshold: float = 0.8
    """The least Jaccard similarity of near duplicates."""
    sequence_length: int = 5
    """Words of a sequence."""
    bands: int = 20
    rows: int = 5
    """Numbers of a signature in each band."""

    def find(self, texts: Iterable[str]) -> dict[int, Match]:
        """Return the match of each text that has one: {index: match}. Reads `texts`, which is long, twice."""
        bands_NB = self._bands(texts)
        candidates = _candidates(bands_NB)
        if not len(candidates):
            return {}
        return self._compare(texts, bands_NB, {int(index) for index in candidates})

    def _bands(self, texts: Iterable[str]) -> Any:
        """Return the hash of each band of each text: [N, bands] uint64."""
        parts = [self._bands_of([text for _, text in batch]) for batch in _batches(enumerate(texts))]
        return np.concatenate(parts) if parts else np.zeros((0, self.bands), np.uint64)

    def _bands_of(self, texts: Sequence[str]) -> Any:
        try:
            import rensa
        except ImportError:
            raise BadRequest("Near duplicates need another package: pip install 'llmos[data]'") from None
        sequences, offsets = sequence_hashes_of_texts(texts, self.sequence_length)
        num_values = self.bands * self.rows
        matrix = rensa.RMinHash.digest_matrix_from_flat_token_hashes(sequences, offsets, num_values, _SEED)
        values = np.fromiter(chain.from_iterable(matrix.to_rows()), np.uint64, len(texts) * num_values)
        signatures_NBR = values.reshape(len(texts), self.bands, self.rows)
        bands_NB = np.zeros((len(texts), self.bands), np.uint64)
        for row in range(self.rows):
            bands_NB = bands_NB * np.uint64(0x9E3779B97F4A7C15) + signatures_NBR[:, :, row]
        return bands_NB

    def _compare(self, texts: Iterable[str], bands_NB: Any, candidates: set[int]) -> dict[int, Match]:
        """Compare each candidate with those before it that are kept."""
        kept_of_band: dict[tuple[int, int], list[int]] = defaultdict(list)
        sets: dict[int, Hashes] = {}
        found: dict[int, Match] = {}
        for index, mine in self._sets((index, text) for index, text in enumerate(texts) if index in candidates):
            if not len(mine):
                continue
            keys = list(enumerate(bands_NB[index].tolist()))
            others = dict.fromkeys(each for key in keys for each in kept_of_band[key][-_MAX_COMPARED:])
            matches = [Match(each, _jaccard(mine, sets[each])) for each in others]
            best = max(matches, key=lambda match: (match.similarity, -match.index), default=None)
            if best is not None and best.similarity >= self.threshold:
                found[index] = best
                continue
            sets[index] = mine
            for key in keys:
                kept_of_band[key].append(index)
        return found

    def _sets(self, texts: Iterable[tuple[int, str]]) -> Iterator[tuple[int, Hashes]]:
        """Yield the different sequences of each text, sorted."""
        for batch in _batches(texts):
            sequences, offsets = sequence_hashes_of_texts([text for _, text in batch], self.sequence_length)
            for (index, _), (begin, end) in zip(batch, pairwise(offsets.tolist()), strict=True):
                yield index, np.unique(sequences[begin:end])


def _candidates(bands_NB: Any) -> Any:
    """Return the indices of the texts that agree with another one in a band."""
    is_candidate = np.zeros(len(bands_NB), bool)
    for band_N in bands_NB.T:
        order = np.argsort(band_N, kind="stable")
        equals_next = band_N[order[1:]] == band_N[order[:-1]]
        is_candidate[order[1:][equals_next]] = True
        is_candidate[order[:-1][equals_next]] = True
    return np.flatnonzero(is_candidate)


def _jaccard(first: Hashes, second: Hashes) -> float:
    """Return the Jaccard similarity of two sets, each sorted and without repetitions."""
    if len(first) > len(second):
        first, second = second, first
    places = np.searchsorted(second, first)
    num_common = int(np.count_nonzero(second[np.minimum(places, len(second) - 1)] == first))
    return num_common / (len(first) + len(second) - num_common)


def _batches(texts: Iterable[tuple[int, str]]) -> Iterator[list[tuple[int, str]]]:
    batch: list[tuple[int, str]] = []
    num_characters = 0
    for each in texts:
        batch.append(each)
        num_characters += len(each[1])
        if len(batch) == _BATCH or num_characters >= _BATCH_CHARACTERS:
            yield batch
            batch, num_characters = [], 0
    if batch:
        yield batch
