"""For chat templates without tools: the tools and calls are rendered as plain text, in Hermes's syntax."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from llmos.engine.text.tools.call_arguments import write_arguments
from llmos.engine.text.tools.formats import Message, openai_tools
from llmos.engine.text.tools.hermes import Hermes


class Generic(Hermes):
    def matches(self, template: str) -> bool:
        return True

    def render(
        self, messages: Sequence[Message], functions: Sequence[Mapping[str, Any]]
    ) -> tuple[list[Message], dict[str, Any]]:
        rendered: list[Message] = []
        for i, message in enumerate(messages):
            if message["role"] == "tool":
                _add_result(rendered, message["content"], is_next=i > 0 and messages[i - 1]["role"] == "tool")
            elif message.get("tool_calls"):
                rendered.append({"role": "assistant", "content": _with_calls(message)})
            else:
                rendered.append(dict(message))
        if functions:
            _add_system_text(rendered, _instructions(functions))
        return rendered, {}


def _instructions(functions: Sequence[Mapping[str, Any]]) -> str:
    lines = "\n".join(json.dumps(tool, ensure_ascii=False) for tool in openai_tools(functions))
    return (
        "You may call one or more functions to help with the user's query. "
        f"These are the functions, as JSON:\n<tools>\n{lines}\n</tools>\n\n"
        "For each call, write a JSON object with the function's name and its arguments between tags:\n"
        '<tool_call>\n{"name": "the function", "arguments": {"an argument": "its value"}}\n</tool_call>'
    )


def _with_calls(message: Message) -> str:
    """Return the content of an assistant message with its calls, as the model wrote them."""
    texts = [f"<tool_call>\n{_call(call['function'])}\n</tool_call>" for call in message["tool_calls"]]
    return "\n".join([message["content"], *texts] if message.get("content") else texts)


def _call(function: Mapping[str, Any]) -> str:
    name = json.dumps(function["name"], ensure_ascii=False)
    return f'{{"name": {name}, "arguments": {write_arguments(function["arguments"])}}}'


def _add_result(rendered: list[Message], content: str, *, is_next: bool) -> None:
    """Add a result. Consecutive results become one message, because many templates require alternating roles."""
    text = f"<tool_response>\n{content}\n</tool_response>"
    if is_next:
        rendered[-1]["content"] += f"\n{text}"
    else:
        rendered.append({"role": "user", "content": text})


def _add_system_text(rendered: list[Message], text: str) -> None:
    if rendered and rendered[0]["role"] == "system":
        rendered[0]["content"] = f"{rendered[0]['content']}\n\n{text}"
    else:
        rendered.insert(0, {"role": "system", "content": text})


GENERIC = Generic()
