"""{"name": …, "parameters": …}, behind <|python_tag|> or not, and nothing else in the answer: Llama 3.1 to 3.3."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from llmos.engine.text.tools.formats import Message, openai_tools
from llmos.engine.text.tools.parser import CallSyntax


class Llama3:
    syntax: ClassVar = CallSyntax(tag="<|python_tag|>", separator=";")
    tags: ClassVar[tuple[str, ...]] = ("<|python_tag|>",)
    is_parallel: ClassVar = False
    arguments_key: ClassVar = "parameters"

    def matches(self, template: str) -> bool:
        return "<|start_header_id|>" in template and '"parameters": ' in template

    def render(
        self, messages: Sequence[Message], functions: Sequence[Mapping[str, Any]]
    ) -> tuple[list[Message], dict[str, Any]]:
        told: list[Message] = []
        for message in messages:
            calls = message.get("tool_calls") or []
            if len(calls) > 1:
                told += _one_by_one(message, messages)
            elif message["role"] != "tool" or not _is_told(message, told):
                told.append(message)
        # Llama's own template writes the tools into the first user message unless it is told otherwise.
        return told, {"tools": openai_tools(functions) or None}


def _one_by_one(message: Message, messages: Sequence[Message]) -> list[Message]:
    """Llama takes one call in a message: each with its own result behind it says the same."""
    results = {each["tool_call_id"]: each for each in _results_of(message, messages)}
    told: list[Message] = []
    for i, call in enumerate(message["tool_calls"]):
        told.append({**message, "content": message["content"] if i == 0 else "", "tool_calls": [call]})
        if call["id"] in results:
            told.append(results[call["id"]])
    return told


def _results_of(message: Message, messages: Sequence[Message]) -> list[Message]:
    place = next(i for i, each in enumerate(messages) if each is message)
    results: list[Message] = []
    for each in messages[place + 1 :]:
        if each["role"] != "tool":
            break
        results.append(each)
    return results


def _is_told(result: Message, told: Sequence[Message]) -> bool:
    return any(each is result for each in told)


LLAMA3 = Llama3()
