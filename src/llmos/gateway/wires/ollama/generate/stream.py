"""Rendering of an answer of POST /api/generate, complete or streamed."""

from collections.abc import AsyncGenerator
from typing import Any

from llmos.gateway.calls.answer import Answer
from llmos.gateway.wires.ollama.answers import answer_fields, final_fields
from llmos.gateway.wires.ollama.generate.answers import OllamaText
from llmos.gateway.wires.ollama.stream import LineRenderer, encode_line


class OllamaTextRenderer(LineRenderer):
    """Renders an answer as one OllamaText, or as one line per piece."""

    async def complete(self, answer: Answer) -> bytes:
        (choice,) = await answer.read_choices()
        fields: dict[str, Any] = answer_fields(answer, choice.logprobs) | final_fields(answer, choice.finish_reason)
        return encode_line(OllamaText(**fields, response=choice.text, thinking=choice.reasoning))

    async def events(self, answer: Answer) -> AsyncGenerator[bytes, None]:
        async for delta in answer.deltas:
            if delta.text or delta.reasoning or delta.logprobs:
                fields = answer_fields(answer, delta.logprobs)
                yield encode_line(OllamaText(**fields, response=delta.text, thinking=delta.reasoning))
            if delta.finish_reason is not None:
                fields = answer_fields(answer, []) | final_fields(answer, delta.finish_reason)
                yield encode_line(OllamaText(**fields, response=""))
