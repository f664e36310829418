"""For models whose template knows no tools: the engine itself tells them, in Hermes's words as plain text."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from llmos.engine.text.tools.formats import Message, openai_tools
from llmos.engine.text.tools.parser import CallSyntax


class Generic:
    syntax: ClassVar = CallSyntax(opening="<tool_call>", closing="</tool_call>", repeats=True)
    tags: ClassVar[tuple[str, ...]] = ("<tool_call>", "</tool_call>")
    is_parallel: ClassVar = True
    arguments_key: ClassVar = "arguments"

    def matches(self, template: str) -> bool:
        return True

    def render(
        self, messages: Sequence[Message], functions: Sequence[Mapping[str, Any]]
    ) -> tuple[list[Message], dict[str, Any]]:
        told: list[Message] = []
        for i, message in enumerate(messages):
            if message["role"] == "tool":
                _add_result(told, message["content"], is_next=i > 0 and messages[i - 1]["role"] == "tool")
            elif message.get("tool_calls"):
                told.append({"role": "assistant", "content": _with_calls(message)})
            else:
                told.append(dict(message))
        if functions:
            _add_system(told, _instructions(functions))
        return told, {}


def without_system(messages: Sequence[Message]) -> list[Message]:
    """Return the messages with what the first says as the system put before what the user says first."""
    if len(messages) < 2 or messages[0]["role"] != "system" or messages[1]["role"] != "user":
        return [*messages]
    first, second, *rest = messages
    return [{**second, "content": f"{first['content']}\n\n{second['content']}"}, *rest]


def _instructions(functions: Sequence[Mapping[str, Any]]) -> str:
    lines = "\n".join(json.dumps(tool, ensure_ascii=False) for tool in openai_tools(functions))
    return (
        "You may call one or more functions to help with the user's query. "
        f"These are the functions, as JSON:\n<tools>\n{lines}\n</tools>\n\n"
        "For each call, write a JSON object with the function's name and its arguments between tags:\n"
        '<tool_call>\n{"name": "the function", "arguments": {"an argument": "its value"}}\n</tool_call>'
    )


def _with_calls(message: Message) -> str:
    """The message as the model wrote it."""
    calls = [
        json.dumps({"name": call["function"]["name"], "arguments": call["function"]["arguments"]}, ensure_ascii=False)
        for call in message["tool_calls"]
    ]
    texts = [f"<tool_call>\n{call}\n</tool_call>" for call in calls]
    return "\n".join([message["content"], *texts] if message.get("content") else texts)


def _add_result(told: list[Message], content: str, *, is_next: bool) -> None:
    """Results that follow each other are one message: many templates want the roles to take turns."""
    text = f"<tool_response>\n{content}\n</tool_response>"
    if is_next:
        told[-1]["content"] += f"\n{text}"
    else:
        told.append({"role": "user", "content": text})


def _add_system(told: list[Message], text: str) -> None:
    if told and told[0]["role"] == "system":
        told[0]["content"] = f"{told[0]['content']}\n\n{text}"
    else:
        told.insert(0, {"role": "system", "content": text})


GENERIC = Generic()
