"""[TOOL_CALLS] [{"name": …, "arguments": …}, …]: Mistral 7B v0.3, Nemo, Mixtral."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from llmos.engine.text.tools.formats import Message, openai_tools
from llmos.engine.text.tools.json_calls import JsonCalls
from llmos.engine.text.tools.parser import CallSyntax

_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


class Mistral(JsonCalls):
    syntax: ClassVar = CallSyntax(opening="[TOOL_CALLS]", is_list=True, separator=",", closing="]")
    tags: ClassVar[tuple[str, ...]] = ("[TOOL_CALLS]",)
    is_parallel: ClassVar = True

    def matches(self, template: str) -> bool:
        # Newer models write [TOOL_CALLS]name[ARGS]{…}, which is another format.
        return "[TOOL_CALLS]" in template and "[ARGS]" not in template

    def render(
        self, messages: Sequence[Message], functions: Sequence[Mapping[str, Any]]
    ) -> tuple[list[Message], dict[str, Any]]:
        return [_with_short_ids(message) for message in messages], {"tools": openai_tools(functions) or None}


def _with_short_ids(message: Message) -> Message:
    """Replace the ids of calls: Mistral's templates accept only ids of nine letters and digits."""
    if message.get("tool_calls"):
        return {**message, "tool_calls": [{**call, "id": _short_id(call["id"])} for call in message["tool_calls"]]}
    if "tool_call_id" in message:
        return {**message, "tool_call_id": _short_id(message["tool_call_id"])}
    return message


def _short_id(id: str) -> str:
    if len(id) == 9 and id.isascii() and id.isalnum():
        return id
    digest = int.from_bytes(hashlib.sha256(id.encode(errors="surrogatepass")).digest()[:8], "big")
    return "".join(_DIGITS[digest // 62**i % 62] for i in range(9))


MISTRAL = Mistral()
