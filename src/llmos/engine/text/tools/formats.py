"""The interface of a tool format: how tools and calls are rendered for a model, and how the model writes its calls."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Protocol

from llmos.engine.messages import Tools
from llmos.engine.text.tools.arguments import CallableFunction
from llmos.engine.text.tools.parser import CallParser, CallSyntax

Message = dict[str, Any]
"""A chat message in OpenAI's format."""


class ToolFormat(Protocol):
    """One format that models are trained on."""

    syntax: ClassVar[CallSyntax]
    tags: ClassVar[tuple[str, ...]]
    """The strings around calls. The parser must see them as text even if they are control tokens."""
    is_parallel: ClassVar[bool]
    """An answer may have several calls."""

    def matches(self, template: str) -> bool:
        """Return whether a chat template uses this format."""
        ...

    def call_rules(self, functions: Sequence[CallableFunction], tag: Callable[[str], str]) -> list[str]:
        """Return rules for one call, the first of which is `call`, in llguidance's dialect of lark.

        `tag` returns the term for a tag, which may be a control token.
        """
        ...

    def render(
        self, messages: Sequence[Message], functions: Sequence[Mapping[str, Any]]
    ) -> tuple[list[Message], dict[str, Any]]:
        """Return the messages and the further variables to pass to the chat template."""
        ...


def call_parser(tool_format: ToolFormat, tools: Tools) -> CallParser:
    """Return a parser for an answer that may call these tools."""
    names = [function["name"] for function in tools.functions]
    return CallParser(
        tool_format.syntax,
        names,
        max_calls=None if tool_format.is_parallel and tools.is_parallel else 1,
        must_call=tools.choice in ("required", "named"),
    )


def openai_tools(functions: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the functions in OpenAI's format for tools, which chat templates expect."""
    kept = ("name", "description", "parameters")
    return [
        {"type": "function", "function": {key: function[key] for key in kept if key in function}}
        for function in functions
    ]
