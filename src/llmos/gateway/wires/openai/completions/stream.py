"""Rendering of an answer as a text completion, complete or streamed."""

from collections.abc import AsyncGenerator, Sequence

from llmos.engine.messages import TokenLogprob
from llmos.gateway.calls.answer import Answer
from llmos.gateway.http import sse
from llmos.gateway.http.answers import finite, usage
from llmos.gateway.http.sse import AnswerRenderer
from llmos.gateway.wires.openai.completions.answers import Completion, CompletionChoice, CompletionLogprobs
from llmos.gateway.wires.openai.stream import EventFrame


class CompletionRenderer(AnswerRenderer):
    """Renders an answer as text_completion, complete or as events."""

    def __init__(self, *, wants_logprobs: bool, wants_usage_event: bool) -> None:
        self._wants_logprobs = wants_logprobs
        self._wants_usage_event = wants_usage_event

    async def complete(self, answer: Answer) -> bytes:
        choices = [
            CompletionChoice(i, choice.text, self._logprobs(choice.logprobs, 0), choice.finish_reason)
            for i, choice in enumerate(await answer.read_choices())
        ]
        return sse.encode(
            Completion(
                id=answer.id,
                created=answer.created,
                model=answer.served.ref,
                system_fingerprint=answer.fingerprint,
                choices=choices,
                usage=usage(answer),
            )
        )

    async def events(self, answer: Answer) -> AsyncGenerator[bytes, None]:
        # Encoded by hand: only the index, the text and the logprobs change from one event to the next.
        frame = EventFrame(answer, "text_completion", wants_usage_event=self._wants_usage_event)
        opening, closing = frame.opening, frame.closing
        offsets = [0] * answer.call.num_choices
        async for delta in answer.deltas:
            if not (delta.text or delta.logprobs or delta.finish_reason):
                continue  # A token that completes no character adds nothing.
            logprobs = b"null"
            if self._wants_logprobs and delta.logprobs:
                logprobs = sse.encode(self._logprobs(delta.logprobs, offsets[delta.index]))
                offsets[delta.index] += sum(len(token.text) for token in delta.logprobs)
            reason = b'"%b"' % delta.finish_reason.encode() if delta.finish_reason else b"null"
            yield b'%b{"index":%d,"text":%b,"logprobs":%b,"finish_reason":%b}%b' % (
                opening, delta.index, sse.encode(delta.text), logprobs, reason, closing,
            )  # fmt: skip
        if self._wants_usage_event:
            yield frame.usage_event(answer)

    def _logprobs(self, tokens: Sequence[TokenLogprob], offset: int) -> CompletionLogprobs | None:
        if not self._wants_logprobs:
            return None
        offsets = []
        for token in tokens:
            offsets.append(offset)
            offset += len(token.text)
        return CompletionLogprobs(
            tokens=[token.text for token in tokens],
            token_logprobs=[finite(token.logprob) for token in tokens],
            top_logprobs=[_top_logprobs(token) for token in tokens],
            text_offset=offsets,
        )


def _top_logprobs(token: TokenLogprob) -> dict[str, float]:
    """Return the most likely tokens and the sampled one. Of tokens with equal text, the most likely one stays."""
    most_likely: dict[str, float] = {}
    for _, text, _, logprob in token.top:
        most_likely.setdefault(text, finite(logprob))
    most_likely.setdefault(token.text, finite(token.logprob))
    return most_likely
