"""Rendering of an answer of POST /api/chat, complete or streamed."""

from collections.abc import AsyncGenerator

from llmos.gateway.calls.answer import Answer
from llmos.gateway.calls.tool_calls import ToolCall, add_tool_call
from llmos.gateway.wires.ollama.answers import answer_fields, final_fields
from llmos.gateway.wires.ollama.chat.answers import OllamaChatAnswer, render_message
from llmos.gateway.wires.ollama.stream import LineRenderer, encode_line


class OllamaChatRenderer(LineRenderer):
    """Renders an answer as one OllamaChatAnswer, or as one line per piece."""

    async def complete(self, answer: Answer) -> bytes:
        (choice,) = await answer.read_choices()
        message = render_message(choice.text, choice.reasoning, choice.tool_calls)
        fields = answer_fields(answer, choice.logprobs) | final_fields(answer, choice.finish_reason)
        return encode_line(OllamaChatAnswer(**fields, message=message))

    async def events(self, answer: Answer) -> AsyncGenerator[bytes, None]:
        calls: list[ToolCall] = []
        num_sent = 0
        async for delta in answer.deltas:
            for call in delta.tool_calls:
                add_tool_call(calls, call)
            # A call is sent when it is complete, because its arguments are a JSON object in this format.
            num_complete = len(calls) if delta.finish_reason else max(0, len(calls) - 1)
            complete, num_sent = calls[num_sent:num_complete], num_complete
            if delta.text or delta.reasoning or delta.logprobs or complete:
                message = render_message(delta.text, delta.reasoning, complete)
                yield encode_line(OllamaChatAnswer(**answer_fields(answer, delta.logprobs), message=message))
            if delta.finish_reason is not None:
                fields = answer_fields(answer, []) | final_fields(answer, delta.finish_reason)
                yield encode_line(OllamaChatAnswer(**fields, message=render_message()))
