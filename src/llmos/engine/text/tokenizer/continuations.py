"""The tokens of texts behind a prompt: those that the texts really have there.

A tokenizer doesn't cut a text where a prompt happens to end: "Par" and "is" together are one token, "Paris". So the end
of the prompt is encoded together with each text, and must come out as before; otherwise the error shows both readings.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from llmos.core.errors import BadRequest

if TYPE_CHECKING:
    from llmos.engine.text.tokenizer.tokenizer import Tokenizer

NUM_END_TOKENS = 64
"""Tokens at the end of a long prompt that are encoded together with each text. No merge reaches further back."""
_NUM_SHOWN = 4
"""Tokens of a reading that an error shows."""


@dataclass(frozen=True, slots=True)
class PromptEnd:
    """The end of a prompt, encoded alone to the same tokens as in the prompt."""

    tokens: list[int]
    text: str
    encode: Callable[[Sequence[str]], list[list[int]]]
    """Encodes texts that begin with this one."""

    @classmethod
    def of_text(cls, text: str, tokens: list[int], tokenizer: "Tokenizer", *, find_control: bool) -> "PromptEnd":
        """Return the end of a plain text, which has these tokens. `find_control`: see Tokenizer.encode()."""

        def encode(texts: Sequence[str], *, add_bos: bool = True) -> list[list[int]]:
            return [tokenizer.encode(each, add_bos=add_bos, find_control=find_control) for each in texts]

        whole = cls(tokens, text, encode)
        last = tokens[-NUM_END_TOKENS:]
        if len(last) == len(tokens):
            return whole
        if not find_control:
            end = cls._of_tokens(last, tokenizer, tokenizer.encode_inside)
        elif (start := _last_control(last, tokenizer)) >= 0:
            end = cls._of_tokens(last[start:], tokenizer, partial(encode, add_bos=False))
        else:
            return whole
        return end if end._is_exact() else whole

    @classmethod
    def of_message(cls, tokens: list[int], tokenizer: "Tokenizer") -> "PromptEnd | None":
        """Return the end of a conversation whose last message goes on. None: its text alone has other tokens."""
        last = tokens[-NUM_END_TOKENS:]
        end = cls._of_tokens(last[_last_control(last, tokenizer) + 1 :], tokenizer, tokenizer.encode_inside)
        return end if end._is_exact() else None

    @classmethod
    def _of_tokens(
        cls, tokens: list[int], tokenizer: "Tokenizer", encode: Callable[[Sequence[str]], list[list[int]]]
    ) -> "PromptEnd":
        return cls(tokens, b"".join(map(tokenizer.token_bytes, tokens)).decode(errors="replace"), encode)

    def _is_exact(self) -> bool:
        return self.encode([self.text]) == [self.tokens]


def encode_behind(
    end: PromptEnd, texts: Sequence[str], names: Sequence[str], tokenizer: "Tokenizer"
) -> list[list[int]]:
    """Return the tokens of each text behind the prompt.

    `names`: of each text, for errors. Raises BadRequest for a text that merges with the end of the prompt.
    """
    found = []
    together = end.encode([end.text + text for text in texts])
    for text, tokens, name in zip(texts, together, names, strict=True):
        if tokens[: len(end.tokens)] != end.tokens:
            raise _merged(end, text, tokens, name, tokenizer)
        found.append(tokens[len(end.tokens) :])
    return found


def _last_control(tokens: Sequence[int], tokenizer: "Tokenizer") -> int:
    """Return the index of the last control token, -1 if there is none."""
    return next((i for i in range(len(tokens) - 1, -1, -1) if tokens[i] in tokenizer.control_ids), -1)


def _merged(end: PromptEnd, text: str, together: list[int], name: str, tokenizer: "Tokenizer") -> BadRequest:
    start = next(i for i, token in enumerate(end.tokens) if together[i : i + 1] != [token])
    apart = end.tokens[start:] + tokenizer.encode_inside([text])[0]
    return BadRequest(
        f"`{name}` ({text!r:.40}) merges with the end of the prompt: together they read "
        f"{_reading(together[start:], tokenizer)}, apart {_reading(apart, tokenizer)}. Move the end of the prompt into "
        "every continuation, or send token ids.",
        param=name,
    )


def _reading(tokens: list[int], tokenizer: "Tokenizer") -> str:
    shown = [repr(tokenizer.token_text(token)) for token in tokens[:_NUM_SHOWN]]
    return f"[…{', '.join(shown)}{', …' if len(tokens) > _NUM_SHOWN else ''}]"
