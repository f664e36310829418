"""Hashes of words and of their sequences, equal on every machine, computed for many texts at once.

The hash of a word is a polynomial of its bytes modulo 2^64. Sums of byte * base^position over all bytes so far are
taken at the edges of words; their difference, divided by base^start, is the hash of the word wherever it stands.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from llmos.data.operators.words import spaced_words

Hashes = npt.NDArray[np.uint64]

_MULTIPLIER = 0x9E3779B97F4A7C15
"""An odd number with bits spread evenly: 2^64 divided by the golden ratio."""

_BASE = 0xD1342543DE82EF95
_MODULUS = 1 << 64
_SPACE = 0x20
_BLOCK_BYTES = 1 << 15
"""The bytes whose sums are computed at once: they fit into the cache of a core."""


def hashes_of_words(words: Sequence[str]) -> Hashes:
    """Return the hash of each word."""
    return _hashes(" ".join(words).encode())[0]


def hashes_of_texts(texts: Sequence[str]) -> tuple[Hashes, npt.NDArray[np.int64]]:
    """Return the hashes of the words of all texts, one behind the other, and the number of words of each text."""
    encoded = [spaced_words(text).encode() for text in texts]
    hashes, starts = _hashes(b" ".join(encoded))
    ends_of_texts = np.cumsum(np.fromiter(map(len, encoded), np.int64, len(encoded)) + 1)
    return hashes, np.diff(np.searchsorted(starts, ends_of_texts), prepend=0)


def sequence_hashes(words: Hashes, length: int) -> Hashes:
    """Return a hash of each sequence of `length` neighbouring words; of all words where there are fewer."""
    length = max(1, min(length, len(words)))
    if not len(words):
        return words
    count = len(words) - length + 1
    hashes = np.zeros(count, np.uint64)
    for offset in range(length):
        hashes = hashes * np.uint64(_MULTIPLIER) + words[offset : offset + count]
    return _mixed(hashes)


def sequence_hashes_of_texts(texts: Sequence[str], length: int) -> tuple[Hashes, npt.NDArray[np.uint64]]:
    """Return the sequence_hashes() of all texts, one behind the other, and where those of each text begin and end: text
    i has those from offsets[i] to offsets[i + 1]."""
    words, num_words = _filled(*hashes_of_texts(texts), length)
    sequences = sequence_hashes(words, length)
    is_inside = np.ones(len(sequences), bool)
    ends = np.cumsum(num_words)
    for distance in range(1, length):  # Sequences that begin so shortly before an end continue in the next text.
        starts = ends - distance
        is_inside[starts[(starts >= 0) & (starts < len(sequences))]] = False
    offsets = np.zeros(len(texts) + 1, np.uint64)
    np.cumsum(np.maximum(num_words - length + 1, 0), out=offsets[1:])
    return sequences[is_inside], offsets


def _filled(words: Hashes, num_words: npt.NDArray[np.int64], length: int) -> tuple[Hashes, npt.NDArray[np.int64]]:
    """Put zeros before texts that are too short for a sequence: it has the hash of their words then."""
    num_missing = np.where((num_words > 0) & (num_words < length), length - num_words, 0)
    starts = np.cumsum(num_words) - num_words
    return np.insert(words, np.repeat(starts, num_missing), np.uint64(0)), num_words + num_missing


def _hashes(text: bytes) -> tuple[Hashes, npt.NDArray[np.int64]]:
    """Return the hash of each word of a text in which spaces separate words, and where the words begin."""
    characters = np.frombuffer(text, np.uint8)
    is_word = np.zeros(len(text) + 2, bool)
    np.not_equal(characters, _SPACE, out=is_word[1:-1])
    edges = np.flatnonzero(is_word[1:] != is_word[:-1])
    sums, inverses = np.empty(len(edges), np.uint64), np.empty(len(edges), np.uint64)
    total, scale, inverse_scale = 0, 1, 1
    for start in range(0, len(text) + 1, _BLOCK_BYTES):
        inside = slice(*np.searchsorted(edges, (start, start + _BLOCK_BYTES)))
        places = edges[inside] - start
        block = characters[start : start + _BLOCK_BYTES]
        running = np.zeros(len(block) + 1, np.uint64)
        np.cumsum(block * _POWERS[: len(block)], out=running[1:])
        sums[inside] = running[places] * np.uint64(scale) + np.uint64(total)
        inverses[inside] = _INVERSE_POWERS[places] * np.uint64(inverse_scale)
        total = (total + int(running[-1]) * scale) % _MODULUS
        scale, inverse_scale = scale * _BLOCK_SCALE % _MODULUS, inverse_scale * _INVERSE_BLOCK_SCALE % _MODULUS
    return _mixed((sums[1::2] - sums[0::2]) * inverses[0::2]), edges[0::2]


def _mixed(hashes: Hashes) -> Hashes:
    """Spread the bits: the low ones of a sum of products depend on the low ones of its terms alone."""
    hashes = hashes ^ (hashes >> np.uint64(32))
    return hashes * np.uint64(_MULTIPLIER)


def _powers(base: int) -> Hashes:
    """Return the powers of a number modulo 2^64, one for each byte of a block."""
    factors = np.full(_BLOCK_BYTES, base, np.uint64)
    factors[0] = 1
    return np.cumprod(factors)


_INVERSE_BASE = pow(_BASE, -1, _MODULUS)
_POWERS, _INVERSE_POWERS = _powers(_BASE), _powers(_INVERSE_BASE)
_BLOCK_SCALE, _INVERSE_BLOCK_SCALE = pow(_BASE, _BLOCK_BYTES, _MODULUS), pow(_INVERSE_BASE, _BLOCK_BYTES, _MODULUS)
