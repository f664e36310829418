"""The tokens of texts behind a prompt: those that the texts really have there. Knows no model.

A tokenizer doesn't cut a text where a prompt happens to end: "Par" and "is" together are one token, "Paris". So the end
of the prompt is encoded together with each text, and must come out as before; otherwise the error shows both readings.
A conversation ends with the template's own text, and token ids are what the caller made them: behind these, a text
begins anew.
"""

from collections.abc import Sequence
from itertools import takewhile
from typing import TYPE_CHECKING

from llmos.core.errors import BadRequest
from llmos.engine.messages import Generate
from llmos.engine.prompt import Prompt

if TYPE_CHECKING:
    from llmos.engine.text.tokenizer import Tokenizer

NUM_END_TOKENS = 64
"""Tokens at the end of the prompt that are encoded together with each text. No merge reaches so far."""
_NUM_SHOWN = 4
"""Tokens of a reading that an error shows."""


def encode_continuations(
    texts: Sequence[str], names: Sequence[str], request: Generate, prompt: Prompt, tokenizer: "Tokenizer"
) -> list[list[int]]:
    """Return the tokens of each text behind the prompt of the request.

    `names`: of each text, for errors. Raises BadRequest for a text that merges with the end of the prompt.
    """
    is_cut_by_caller = request.continue_final_message or (prompt.text is not None and request.suffix is None)
    if not is_cut_by_caller:
        return tokenizer.encode_inside(texts)
    find_control = prompt.text is not None and request.parse_special
    end = _end(prompt.tokens, tokenizer)
    end_text = b"".join(map(tokenizer.token_bytes, end)).decode(errors="replace")
    if tokenizer.encode_inside([end_text]) == [end]:
        together = tokenizer.encode_inside([end_text + text for text in texts], find_control=find_control)
    elif prompt.text is not None:
        end = prompt.tokens
        together = [tokenizer.encode(prompt.text + text, find_control=find_control) for text in texts]
    else:
        return tokenizer.encode_inside(texts)
    for text, tokens, name in zip(texts, together, names, strict=True):
        if tokens[: len(end)] != end:
            raise _merged(text, end, tokens, name, tokenizer)
    return [tokens[len(end) :] for tokens in together]


def _end(tokens: Sequence[int], tokenizer: "Tokenizer") -> list[int]:
    """Return the last tokens of the prompt, as far back as its last control token at most."""
    is_text = takewhile(lambda token: token not in tokenizer.control_ids, reversed(tokens[-NUM_END_TOKENS:]))
    return list(is_text)[::-1]


def _merged(text: str, end: list[int], together: list[int], name: str, tokenizer: "Tokenizer") -> BadRequest:
    start = next(i for i, token in enumerate(end) if together[i : i + 1] != [token])
    apart = end[start:] + tokenizer.encode_inside([text])[0]
    return BadRequest(
        f"`{name}` ({text!r:.40}) merges with the end of the prompt: together they read "
        f"{_reading(together[start:], tokenizer)}, apart {_reading(apart, tokenizer)}. Move the end of the prompt into "
        "every continuation, or send token ids.",
        param=name,
    )


def _reading(tokens: list[int], tokenizer: "Tokenizer") -> str:
    shown = [repr(tokenizer.token_text(token)) for token in tokens[:_NUM_SHOWN]]
    return f"[…{', '.join(shown)}{', …' if len(tokens) > _NUM_SHOWN else ''}]"
