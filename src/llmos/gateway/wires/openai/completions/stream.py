"""Rendering of an answer as a text completion, complete or streamed."""

from collections.abc import AsyncGenerator

from llmos.gateway.calls.answer import Answer
from llmos.gateway.http import sse
from llmos.gateway.http.answers import usage
from llmos.gateway.http.sse import AnswerRenderer
from llmos.gateway.wires.openai.completions.answers import Completion, CompletionChoice
from llmos.gateway.wires.openai.completions.logprobs import ChoiceLogprobs
from llmos.gateway.wires.openai.stream import EventFrame


class CompletionRenderer(AnswerRenderer):
    """Renders an answer as text_completion, complete or as events."""

    def __init__(self, *, wants_logprobs: bool, wants_usage_event: bool) -> None:
        self._wants_logprobs = wants_logprobs
        self._wants_usage_event = wants_usage_event

    async def complete(self, answer: Answer) -> bytes:
        choices = [
            CompletionChoice(
                i,
                choice.text,
                ChoiceLogprobs().render(choice.logprobs) if self._wants_logprobs else None,
                choice.finish_reason,
            )
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
        choices = [ChoiceLogprobs() for _ in range(answer.call.num_choices)]
        async for delta in answer.deltas:
            if not (delta.text or delta.logprobs or delta.finish_reason):
                continue  # A token that completes no character adds nothing.
            logprobs = b"null"
            if self._wants_logprobs and delta.logprobs:
                logprobs = sse.encode(choices[delta.index].render(delta.logprobs))
            reason = b'"%b"' % delta.finish_reason.encode() if delta.finish_reason else b"null"
            yield b'%b{"index":%d,"text":%b,"logprobs":%b,"finish_reason":%b}%b' % (
                opening, delta.index, sse.encode(delta.text), logprobs, reason, closing,
            )  # fmt: skip
        if self._wants_usage_event:
            yield frame.usage_event(answer)
