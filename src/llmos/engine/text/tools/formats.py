"""What a tool format is: how tools and calls are told to a model, and how the model tells its calls."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Protocol

from llmos.engine.messages import Tools
from llmos.engine.text.tools.parser import CallParser, CallSyntax

Message = dict[str, Any]


class ToolFormat(Protocol):
    """One for each way in which models were taught to call."""

    syntax: ClassVar[CallSyntax]
    tags: ClassVar[tuple[str, ...]]
    """The strings around calls. Where they are control tokens, they must be seen all the same."""
    is_parallel: ClassVar[bool]
    """An answer may have several calls."""
    arguments_key: ClassVar[str]

    def matches(self, template: str) -> bool:
        """Is it this format that the chat template teaches?"""
        ...

    def render(
        self, messages: Sequence[Message], functions: Sequence[Mapping[str, Any]]
    ) -> tuple[list[Message], dict[str, Any]]:
        """Return the messages and the further variables that the chat template is given."""
        ...


def call_parser(tool_format: ToolFormat, tools: Tools) -> CallParser:
    """Return what reads an answer of these tools."""
    names = [function["name"] for function in tools.functions]
    return CallParser(tool_format.syntax, names, max_calls=None if tool_format.is_parallel and tools.is_parallel else 1)


def openai_tools(functions: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the functions as chat templates know them."""
    kept = ("name", "description", "parameters")
    return [
        {"type": "function", "function": {key: function[key] for key in kept if key in function}}
        for function in functions
    ]
