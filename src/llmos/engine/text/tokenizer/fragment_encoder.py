"""Encodes text inside an answer: a grammar asks, during a step, which tokens the model would use for forced text."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from itertools import pairwise

import tokenizers

_MAX_CACHED_TEXTS = 4096
_MAX_CACHED_LENGTH = 256


class FragmentEncoder:
    """Encodes text to tokens with exactly the same bytes: no space before it, no control token, no normalization.

    Works on a copy of the tokenizer, so that it never waits for a long prompt that is being encoded.
    """

    def __init__(self, backend: tokenizers.Tokenizer, tokens: Sequence[bytes], control_ids: frozenset[int]) -> None:
        """`tokens`: the bytes of each token id."""
        self._backend: tokenizers.Tokenizer = tokenizers.Tokenizer.from_str(backend.to_str())
        self._backend.encode_special_tokens = True
        self._tokens = tokens
        self._control_ids = control_ids
        self._ids: Mapping[bytes, int] = {
            data: token for token, data in enumerate(tokens) if data and token not in control_ids
        }
        self._longest = max(map(len, self._ids), default=0)
        # A grammar forces few texts, again and again: the names of properties.
        self._cached_encode = lru_cache(_MAX_CACHED_TEXTS)(self._encode)

    def __call__(self, text: bytes) -> list[int]:
        """Return the tokenizer's own tokens, or the longest matching ones if its own have other bytes."""
        return self._encode(text) if len(text) > _MAX_CACHED_LENGTH else self._cached_encode(text)

    def _encode(self, text: bytes) -> list[int]:
        with suppress(Exception):  # a part of a character, or a text that the tokenizer fails on
            token_ids: list[int] = self._backend.encode(text.decode(), add_special_tokens=False).ids
            has_control = not self._control_ids.isdisjoint(token_ids)
            if not has_control and b"".join([self._tokens[token] for token in token_ids]) == text:
                return token_ids
        return self._encode_greedily(text)

    def _encode_greedily(self, text: bytes) -> list[int]:
        """Return the longest token that matches at each position, up to a byte that the vocabulary lacks."""
        cuts, token_ids = [0], []
        while cuts[-1] < len(text):
            begin = cuts[-1]
            ends = range(min(len(text), begin + self._longest), begin, -1)
            end = next((end for end in ends if text[begin:end] in self._ids), None)
            if end is None:
                break
            cuts.append(end)
        for begin, end in pairwise(cuts):
            token_ids.append(self._ids[text[begin:end]])
        return token_ids
