"""The log probabilities of completions: four lists with one entry per token, and positions in the text."""

import codecs
from collections.abc import Sequence

from llmos.engine.messages import TokenLogprob
from llmos.gateway.http.answers import finite
from llmos.gateway.wires.openai.completions.answers import CompletionLogprobs


class ChoiceLogprobs:
    """Renders the tokens of one choice, which may come in pieces."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._num_characters = 0
        """Complete characters so far."""

    def render(self, tokens: Sequence[TokenLogprob]) -> CompletionLogprobs:
        """Return the next tokens. A token inside a character has the position of that character."""
        return CompletionLogprobs(
            tokens=[_name(token.text, token.bytes) for token in tokens],
            token_logprobs=[finite(token.logprob) for token in tokens],
            top_logprobs=[_top_logprobs(token) for token in tokens],
            text_offset=[self._offset(token) for token in tokens],
        )

    def _offset(self, token: TokenLogprob) -> int:
        offset = self._num_characters
        self._num_characters += len(self._decoder.decode(token.bytes))
        return offset


def _name(text: str, data: bytes) -> str:
    """Return the token as OpenAI names it: its text, or bytes:\\xf0\\x9f for a part of a character.

    So tokens that look alike as text stay apart.
    """
    if text.encode("utf-8", "surrogatepass") == data:
        return text
    return "bytes:" + "".join(f"\\x{byte:02x}" for byte in data)


def _top_logprobs(token: TokenLogprob) -> dict[str, float]:
    """Return the most likely tokens and the sampled one. Of tokens with equal names, the most likely one stays."""
    most_likely: dict[str, float] = {}
    for _, text, data, logprob in token.top:
        most_likely.setdefault(_name(text, data), finite(logprob))
    most_likely.setdefault(_name(token.text, token.bytes), finite(token.logprob))
    return most_likely
