"""Words of texts, and hashes of their sequences, equal on every machine.

A word is a run of letters and digits in lower case; a Chinese, Japanese or Korean character is a word of its own.
"""

import hashlib
import re

import numpy as np
import numpy.typing as npt

Hashes = npt.NDArray[np.uint64]

_CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff"
_WORDS = re.compile(rf"[{_CJK}]|[^\W_{_CJK}]+")
_MAX_KNOWN = 500_000
_MULTIPLIER = 0x9E3779B97F4A7C15
"""An odd number with bits spread evenly: 2^64 divided by the golden ratio."""


def words_of(text: str) -> list[str]:
    """Return the words of a text, in order."""
    return _WORDS.findall(text.casefold())


class WordHashes:
    """Hashes words to 64 bits, and remembers the frequent ones."""

    def __init__(self) -> None:
        self._known: dict[str, int] = {}

    def of(self, words: list[str]) -> Hashes:
        """Return the hash of each word."""
        known = self._known
        if len(known) > _MAX_KNOWN:
            known.clear()
        for word in words:
            if word not in known:
                known[word] = int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest(), "little")
        return np.fromiter(map(known.__getitem__, words), np.uint64, len(words))


def sequence_hashes(words: Hashes, length: int) -> Hashes:
    """Return a hash of each sequence of `length` neighbouring words; of all words where there are fewer."""
    length = max(1, min(length, len(words)))
    if not len(words):
        return words
    count = len(words) - length + 1
    hashes = np.zeros(count, np.uint64)
    for offset in range(length):
        hashes = hashes * np.uint64(_MULTIPLIER) + words[offset : offset + count]
    hashes ^= hashes >> np.uint64(32)
    return hashes * np.uint64(_MULTIPLIER)
