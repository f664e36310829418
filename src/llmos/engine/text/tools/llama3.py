"""{"name": …, "parameters": …} as the whole answer, perhaps after <|python_tag|>: Llama 3.1 to 3.3."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from llmos.engine.text.tools.formats import Message, openai_tools
from llmos.engine.text.tools.json_calls import JsonCalls
from llmos.engine.text.tools.parser import CallSyntax


class Llama3(JsonCalls):
    syntax: ClassVar = CallSyntax(tag="<|python_tag|>", separator=";")
    tags: ClassVar[tuple[str, ...]] = ("<|python_tag|>",)
    is_parallel: ClassVar = False
    arguments_key: ClassVar = "parameters"

    def matches(self, template: str) -> bool:
        return "<|start_header_id|>" in template and '"parameters": ' in template

    def render(
        self, messages: Sequence[Message], functions: Sequence[Mapping[str, Any]]
    ) -> tuple[list[Message], dict[str, Any]]:
        rendered: list[Message] = []
        for message in messages:
            calls = message.get("tool_calls") or []
            if len(calls) > 1:
                rendered += _one_call_each(message, messages)
            elif message["role"] != "tool" or not any(each is message for each in rendered):
                rendered.append(message)
        # Llama's own template puts the tools into the first user message by default.
        return rendered, {"tools": openai_tools(functions) or None}


def _one_call_each(message: Message, messages: Sequence[Message]) -> list[Message]:
    """Split a message with several calls into one message per call, each followed by its result. Llama's template
    accepts one call per message."""
    results = {each["tool_call_id"]: each for each in _results_of(message, messages)}
    rendered: list[Message] = []
    for i, call in enumerate(message["tool_calls"]):
        rendered.append({**message, "content": message["content"] if i == 0 else "", "tool_calls": [call]})
        if call["id"] in results:
            rendered.append(results[call["id"]])
    return rendered


def _results_of(message: Message, messages: Sequence[Message]) -> list[Message]:
    """Return the tool messages that follow directly."""
    index = next(i for i, each in enumerate(messages) if each is message)
    results: list[Message] = []
    for each in messages[index + 1 :]:
        if each["role"] != "tool":
            break
        results.append(each)
    return results


LLAMA3 = Llama3()
