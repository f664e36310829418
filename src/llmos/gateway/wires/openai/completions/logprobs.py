"""The log probabilities of completions: four lists with one entry per token, and positions in the text."""

import codecs
from collections.abc import Sequence

from llmos.engine.messages import Rated, TokenLogprob
from llmos.gateway.calls.answer import finite
from llmos.gateway.wires.openai.completions.answers import CompletionLogprobs


class ChoiceLogprobs:
    """Renders the tokens of one choice, which may come in pieces."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._num_characters = 0
        """Complete characters so far."""
        self.has_prompt = False
        """The tokens of the prompt have been rendered."""

    def render(self, tokens: Sequence[TokenLogprob]) -> CompletionLogprobs:
        """Return the next tokens. A token inside a character has the position of that character."""
        return CompletionLogprobs(
            tokens=[_name(token.text, token.bytes) for token in tokens],
            token_logprobs=[finite(token.logprob) for token in tokens],
            top_logprobs=[_top_logprobs(token) for token in tokens],
            text_offset=[self._offset(token.bytes) for token in tokens],
        )

    def render_prompt(self, rated: Rated, text: str, num_top: int) -> CompletionLogprobs:
        """Return the tokens of the prompt, which `text` begins with, each with `num_top` of the most likely tokens.

        Comes before render(). The first token has nothing before it, and no log probability.
        """
        assert rated.prompt_start is not None, "the prompt was scored"
        self.has_prompt = True
        _, name, data = rated.prompt_start
        texts = [(name, data), *((token.text, token.bytes) for token in rated.prompt)]
        scored = [
            TokenLogprob(token.token_id, token.text, token.bytes, token.logprob, token.top[:num_top])
            for token in rated.prompt
        ]
        return CompletionLogprobs(
            tokens=[_name(*each) for each in texts],
            token_logprobs=[None, *(finite(token.logprob) for token in scored)],
            top_logprobs=[None, *map(_top_logprobs, scored)],
            text_offset=[self._offset_in(text, data) for _, data in texts],
        )

    def _offset(self, data: bytes) -> int:
        offset = self._num_characters
        self._num_characters += len(self._decoder.decode(data))
        return offset

    def _offset_in(self, text: str, data: bytes) -> int:
        """Return the position of the next token of a prompt in its text.

        What the text doesn't have takes no room in it: a control token, or the space that some tokenizers put first.
        """
        offset = self._num_characters
        decoded = self._decoder.decode(data)
        for found in (decoded, decoded.removeprefix(" ")):
            if text.startswith(found, offset):
                self._num_characters += len(found)
                break
        return offset


def joined(first: CompletionLogprobs, second: CompletionLogprobs) -> CompletionLogprobs:
    """Return the tokens of both, one after the other."""
    return CompletionLogprobs(
        tokens=first.tokens + second.tokens,
        token_logprobs=first.token_logprobs + second.token_logprobs,
        top_logprobs=first.top_logprobs + second.top_logprobs,
        text_offset=first.text_offset + second.text_offset,
    )


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
