"""<|tool_call>call:name{key:<|"|>text<|"|>,other:1}<tool_call|>: Gemma 4."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from llmos.engine.text.tools.arguments import CallableFunction
from llmos.engine.text.tools.formats import Message, openai_tools
from llmos.engine.text.tools.gemma4_grammar import ArgumentRules
from llmos.engine.text.tools.gemma4_scanner import QUOTE, Gemma4Scanner
from llmos.engine.text.tools.parser import CallSyntax


class Gemma4:
    syntax: ClassVar = CallSyntax(
        opening="<|tool_call>", closing="<tool_call|>", repeats=True, space="", scanner=Gemma4Scanner
    )
    tags: ClassVar[tuple[str, ...]] = ("<|tool_call>", "<tool_call|>", QUOTE)
    is_parallel: ClassVar = True

    def matches(self, template: str) -> bool:
        return "<|tool_call>" in template and QUOTE in template

    def render(
        self, messages: Sequence[Message], functions: Sequence[Mapping[str, Any]]
    ) -> tuple[list[Message], dict[str, Any]]:
        return [*messages], {"tools": [_declared(tool) for tool in openai_tools(functions)] or None}

    def call_rules(self, functions: Sequence[CallableFunction], tag: Callable[[str], str]) -> list[str]:
        names = " | ".join(f"call_{i}" for i in range(len(functions)))
        rules = [f"call: {names}"]
        for i, function in enumerate(functions):
            arguments = ArgumentRules(f"arguments_{i}", function.arguments.schema, tag)
            function.drop(arguments.dropped)
            rules += [f'call_{i}: "call:{function.name}" arguments_{i}', *arguments.rules]
        return rules


def _declared(tool: dict[str, Any]) -> dict[str, Any]:
    """Return a tool that the template can declare: it expects a description, and an object for each property."""
    function = {"description": "", **tool["function"]}
    if isinstance(function.get("parameters"), Mapping):
        function["parameters"] = _with_objects(function["parameters"])
    return {**tool, "function": function}


def _with_objects(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema with an object for each property, whose single type and "nullable" the template shows."""
    schema = dict(schema)
    if isinstance(types := schema.get("type"), list):
        named = [each for each in types if each != "null"]
        schema["type"] = named[0] if len(named) == 1 else "/".join(map(str, named))
        schema |= {"nullable": True} if len(named) < len(types) else {}
    if isinstance(properties := schema.get("properties"), Mapping):
        schema["properties"] = {
            name: _with_objects(each if isinstance(each, Mapping) else {}) for name, each in properties.items()
        }
    if isinstance(items := schema.get("items"), Mapping):
        schema["items"] = _with_objects(items)
    return schema


GEMMA4 = Gemma4()
