"""Encode text that stands in the middle of an answer, for whoever must not wait: a grammar asks how the model would
spell what must come next, while a step is computed."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from itertools import pairwise

import tokenizers

_MAX_REMEMBERED = 4096
_LONGEST_REMEMBERED = 256


class FragmentEncoder:
    """Text to tokens whose bytes are exactly the text's: no space before it, no control token, nothing normalized.

    It works on a copy of the tokenizer, so that no long prompt that is being encoded holds it up.
    """

    def __init__(self, backend: tokenizers.Tokenizer, tokens: Sequence[bytes], control_ids: frozenset[int]) -> None:
        self._backend: tokenizers.Tokenizer = tokenizers.Tokenizer.from_str(backend.to_str())
        self._backend.encode_special_tokens = True
        self._tokens = tokens
        self._control_ids = control_ids
        self._ids: Mapping[bytes, int] = {
            data: token for token, data in enumerate(tokens) if data and token not in control_ids
        }
        self._longest = max(map(len, self._ids), default=0)
        # What a grammar forces are few texts, again and again: the names of properties.
        self._remembered = lru_cache(_MAX_REMEMBERED)(self._encode)

    def __call__(self, text: bytes) -> list[int]:
        """Return the model's own tokens of the text, or the longest that fit where those spell another one."""
        return self._encode(text) if len(text) > _LONGEST_REMEMBERED else self._remembered(text)

    def _encode(self, text: bytes) -> list[int]:
        with suppress(Exception):  # half a character, or a text that the tokenizer fails on
            token_ids: list[int] = self._backend.encode(text.decode(), add_special_tokens=False).ids
            is_control = not self._control_ids.isdisjoint(token_ids)
            if not is_control and b"".join([self._tokens[token] for token in token_ids]) == text:
                return token_ids
        return self._encode_greedily(text)

    def _encode_greedily(self, text: bytes) -> list[int]:
        cuts, token_ids = [0], []
        while cuts[-1] < len(text):
            begin = cuts[-1]
            ends = range(min(len(text), begin + self._longest), begin, -1)
            end = next((end for end in ends if text[begin:end] in self._ids), None)
            if end is None:
                break  # the vocabulary lacks a byte
            cuts.append(end)
        for begin, end in pairwise(cuts):
            token_ids.append(self._ids[text[begin:end]])
        return token_ids
