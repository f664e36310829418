"""N-grams of words and characters as features of a linear model (linear_model.py).

They have no table: a hash is the index of their weight, and those that share one share the weight. Hashing is done for
the whole text at once, because a loop in Python would take most of the time that a guardrail has.
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray

BITS = 16
NUM_BUCKETS = 1 << BITS
_CHARACTERS = 5
"""The length of the n-grams of characters. They cross words, and stand a few typing errors."""

Indices = NDArray[np.int64]
_Hashes = NDArray[np.uint64]

_PRIME = 0x9E3779B97F4A7C15  # odd, so that it has an inverse modulo 2^64
_MIX = np.uint64(0xBF58476D1CE4E5B9)
_SALTS = [np.uint64(salt) for salt in (0x94D049BB133111EB, 0xD6E8FEB86659FD93, 0xA5A3564E8F0F5D0D, 0xC2B2AE3D27D4EB4F)]


def ngrams(text: str) -> tuple[Indices, Indices]:
    """Return the indices of the n-grams of words, and of characters, in any order."""
    codes = np.frombuffer(f" {text} ".encode("utf-32-le", errors="surrogatepass"), dtype=np.uint32)
    is_word, starts = _words(codes)
    # Everything between two words is one space to the n-grams of characters.
    squeezed = np.where(is_word, codes, np.uint32(32))
    squeezed = squeezed[is_word | np.concatenate(([True], is_word[:-1]))].astype(np.uint64)
    return _buckets(_word_ngrams(codes, is_word, starts)), _buckets(_character_ngrams(squeezed))


def _words(codes: NDArray[np.uint32]) -> tuple[NDArray[np.bool_], Indices]:
    """Return which characters are of words, and where words begin. A Chinese or Japanese character is a word."""
    is_ascii = codes < 128
    is_word = np.where(is_ascii, _ASCII_WORD[codes * is_ascii], ~_is_sign(codes))
    is_ideograph = (codes >= 0x2E80) & (codes < 0xA000)
    begins = is_word.copy()
    begins[1:] &= ~is_word[:-1] | is_ideograph[1:] | is_ideograph[:-1]
    return is_word, np.flatnonzero(begins)


def _is_sign(codes: NDArray[np.uint32]) -> NDArray[np.bool_]:
    """Return which characters beyond ASCII are spaces and punctuation."""
    is_general = (codes >= 0x2000) & (codes < 0x2070)
    is_cjk = (codes >= 0x3000) & (codes < 0x3030)
    is_wide = (codes >= 0xFF00) & (codes < 0xFF10)
    is_other: NDArray[np.bool_] = (codes == 0xA0) | (codes == 0xBF) | (codes == 0xA1)
    return is_general | is_cjk | is_wide | is_other


def _word_ngrams(codes: NDArray[np.uint32], is_word: NDArray[np.bool_], starts: Indices) -> _Hashes:
    """Return the hashes of one, two and three words in a row, and of two with one between."""
    if not len(starts):
        return np.empty(0, np.uint64)
    powers, inverses = _powers(len(codes))
    # Σ code · p^position, divided by p^start: the same for a word wherever it stands.
    terms = (codes * is_word).astype(np.uint64) * powers
    words = np.add.reduceat(terms, starts) * inverses[starts]
    words = (words ^ (words >> np.uint64(29))) * _MIX
    one, two, three, around = _SALTS
    return np.concatenate(
        [
            words * one,
            (words[:-1] * two) ^ (words[1:] * three),
            (words[:-2] * two) ^ (words[1:-1] * three) ^ (words[2:] * around),
            (words[:-2] * around) ^ (words[2:] * one),
        ]
    )


def _character_ngrams(codes: _Hashes) -> _Hashes:
    num = max(0, len(codes) - _CHARACTERS + 1)
    hashes = np.full(num, _CHARACTERS, np.uint64)
    for i in range(_CHARACTERS):
        hashes = hashes * np.uint64(_PRIME) + codes[i : i + num]
    return hashes


def _buckets(hashes: _Hashes) -> Indices:
    mixed = (hashes ^ (hashes >> np.uint64(31))) * _MIX
    return (mixed >> np.uint64(64 - BITS)).astype(np.int64)


_ASCII_WORD = np.array([chr(code).isalnum() or chr(code) in "_'" for code in range(128)])


def _powers(length: int) -> tuple[_Hashes, _Hashes]:
    """Return p^0 … p^(length - 1), and their inverses."""
    powers, inverses = _table(1 << max(10, (length - 1).bit_length()))
    return powers[:length], inverses


@cache
def _table(length: int) -> tuple[_Hashes, _Hashes]:
    inverse = pow(_PRIME, -1, 1 << 64)
    powers, inverses = np.ones(length, np.uint64), np.ones(length, np.uint64)
    np.multiply.accumulate(np.full(length - 1, _PRIME, np.uint64), out=powers[1:])
    np.multiply.accumulate(np.full(length - 1, inverse, np.uint64), out=inverses[1:])
    return powers, inverses
