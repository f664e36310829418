"""Rendering of a generated answer, complete or streamed."""

from collections.abc import AsyncGenerator
from typing import Any

import msgspec

from llmos.gateway.calls.answer import Answer
from llmos.gateway.http import sse
from llmos.gateway.http.answers import usage
from llmos.gateway.http.sse import AnswerRenderer
from llmos.gateway.wires.llmos.generate.answers import GeneratedAnswer, GeneratedPiece


class GenerateRenderer(AnswerRenderer):
    """Renders an answer as a GeneratedAnswer, or as GeneratedPiece events."""

    async def complete(self, answer: Answer) -> bytes:
        (choice,) = await answer.read_choices()
        return sse.encode(GeneratedAnswer(text=choice.text, finish_reason=choice.finish_reason, **_fields(answer)))

    async def events(self, answer: Answer) -> AsyncGenerator[bytes, None]:
        opening = b'data: {"id":%b,"text":' % sse.encode(answer.id)
        async for delta in answer.deltas:
            if delta.finish_reason is None:
                if delta.text:
                    yield opening + sse.encode(delta.text) + b"}\n\n"
                continue
            yield sse.event(GeneratedPiece(text=delta.text, finish_reason=delta.finish_reason, **_fields(answer)))


def _fields(answer: Answer) -> dict[str, Any]:
    """Return the fields that a complete answer and the last event of a stream share."""
    return {
        "id": answer.id,
        "model": answer.call.model,
        "version": answer.served.ref,
        "digest": answer.served.digest,
        "usage": usage(answer),
        "warnings": answer.warnings or msgspec.UNSET,
    }
