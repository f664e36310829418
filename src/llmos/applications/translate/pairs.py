"""Pairs: translations that a person approved, and how they are found again."""

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

from llmos.applications.translate.languages import is_same_language


class Pair(msgspec.Struct, frozen=True, kw_only=True):
    """A text, or a sentence, and its approved translation."""

    source: str
    target: str
    source_language: str = ""
    target_language: str = ""
    approved_by: str = ""
    approved_at: str = ""
    """ISO 8601, UTC."""


class Similar(NamedTuple):
    """A pair whose source is like a text."""

    pair: Pair
    score: float
    """The share of common trigrams of characters (Dice): 1 is the same text."""


def merged(pairs: Iterable[Pair]) -> list[Pair]:
    """Return the pairs without those that later ones replace."""
    latest: dict[tuple[str, str, str], Pair] = {}
    for pair in pairs:
        key = (pair.source_language, pair.target_language, _normal(pair.source))
        latest.pop(key, None)
        latest[key] = pair
    return list(latest.values())


class PairIndex:
    """The pairs of two languages."""

    def __init__(self, pairs: Iterable[Pair], source: str, target: str) -> None:
        self._pairs = [
            pair
            for pair in pairs
            if is_same_language(pair.source_language, source) and is_same_language(pair.target_language, target)
        ]
        self._exact = {_normal(pair.source): pair for pair in self._pairs}
        self._sizes: list[int] = []
        self._having: dict[str, list[int]] = defaultdict(list)
        for index, pair in enumerate(self._pairs):
            trigrams = _trigrams(pair.source)
            self._sizes.append(len(trigrams))
            for trigram in trigrams:
                self._having[trigram].append(index)

    def exact(self, text: str) -> Pair | None:
        """Return the pair of a text. Spaces count as one, and letters are compared in composed form."""
        return self._exact.get(_normal(text))

    def similar(self, text: str, limit: int, at_least: float) -> Sequence[Similar]:
        """Return the pairs that are most like a text, best first, without the pair of the text itself."""
        trigrams, common = _trigrams(text), Counter[int]()
        for trigram in trigrams:
            common.update(self._having.get(trigram, ()))
        scored = [
            Similar(self._pairs[index], 2 * number / (len(trigrams) + self._sizes[index]))
            for index, number in common.items()
        ]
        near = [each for each in scored if each.score >= at_least and _normal(each.pair.source) != _normal(text)]
        return sorted(near, key=lambda each: -each.score)[:limit]


def _normal(text: str) -> str:
    return " ".join(unicodedata.normalize("NFC", text).split())


def _trigrams(text: str) -> set[str]:
    padded = f"  {_normal(text).casefold()} "
    return {padded[index : index + 3] for index in range(len(padded) - 2)}
