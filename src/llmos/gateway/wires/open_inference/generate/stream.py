"""Rendering of an answer of generate, complete or streamed."""

from collections.abc import AsyncGenerator

from llmos.core.errors import LLMOSError
from llmos.engine.messages import FinishReason
from llmos.gateway.calls.answer import Answer
from llmos.gateway.http import sse
from llmos.gateway.http.sse import AnswerRenderer
from llmos.gateway.wires.open_inference.errors import error_body
from llmos.gateway.wires.open_inference.generate.answers import TextAnswer
from llmos.gateway.wires.open_inference.versions import version_number


class TextRenderer(AnswerRenderer):
    """Renders an answer as a TextAnswer, complete or as events."""

    def __init__(self, id: str) -> None:
        self._id = id

    async def complete(self, answer: Answer) -> bytes:
        (choice,) = await answer.read_choices()
        return sse.encode(self._render(answer, choice.text, choice.finish_reason))

    async def events(self, answer: Answer) -> AsyncGenerator[bytes, None]:
        async for delta in answer.deltas:
            if delta.text or delta.finish_reason is not None:
                yield sse.event(self._render(answer, delta.text, delta.finish_reason))

    def end(self) -> bytes:
        return b""

    def failure(self, error: LLMOSError) -> bytes:
        return sse.event(error_body(error))

    def _render(self, answer: Answer, text: str, reason: FinishReason | None) -> TextAnswer:
        return TextAnswer(
            id=self._id,
            model_name=answer.served.model,
            model_version=version_number(answer.served),
            text_output=text,
            finish_reason=reason,
            num_input_tokens=None if reason is None else answer.num_prompt_tokens,
            num_output_tokens=None if reason is None else answer.num_completion_tokens,
            warnings=[] if reason is None else answer.warnings,
        )
