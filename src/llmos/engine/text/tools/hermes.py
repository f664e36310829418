"""<tool_call>{"name": …, "arguments": …}</tool_call>: Hermes, Qwen 2.5 and 3, SmolLM 3 and many others."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from llmos.engine.text.tools.formats import Message, openai_tools
from llmos.engine.text.tools.json_calls import JsonCalls
from llmos.engine.text.tools.parser import CallSyntax


class Hermes(JsonCalls):
    syntax: ClassVar = CallSyntax(opening="<tool_call>", closing="</tool_call>", repeats=True)
    tags: ClassVar[tuple[str, ...]] = ("<tool_call>", "</tool_call>")
    is_parallel: ClassVar = True

    def matches(self, template: str) -> bool:
        # Other formats write XML between the same tags: <function=…> (Qwen 3 Coder), <arg_key> (GLM).
        is_xml = "<function=" in template or "<arg_key>" in template
        return "<tool_call>" in template and not is_xml

    def render(
        self, messages: Sequence[Message], functions: Sequence[Mapping[str, Any]]
    ) -> tuple[list[Message], dict[str, Any]]:
        tools = openai_tools(functions) or None
        # SmolLM 3's template distinguishes two kinds of tools, and calls these xml_tools.
        return [*messages], {"tools": tools, "xml_tools": tools}


HERMES = Hermes()
