"""Rules for calls that are JSON objects: {"name": …, "arguments": …}."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from llmos.engine.text.schemas import JSON_OPTIONS
from llmos.engine.text.tools.arguments import CallableFunction


class JsonCalls:
    """The part of a tool format that says how a call is written."""

    arguments_key: ClassVar = "arguments"
    """The key of the arguments in a call: {"name": ..., arguments_key: {...}}."""

    def call_rules(self, functions: Sequence[CallableFunction], tag: Callable[[str], str]) -> list[str]:
        names = " | ".join(f"call_{i}" for i in range(len(functions)))
        opening = json.dumps('{"name": ')
        rules = [f'call: {opening} ({names}) "}}"']
        for i, function in enumerate(functions):
            head = json.dumps(f'{json.dumps(function.name)}, "{self.arguments_key}": ')
            rules += [f"call_{i}: {head} arguments_{i}", f"arguments_{i}: {json_rule(function.arguments.schema)}"]
        return rules


def json_rule(schema: Mapping[str, Any] | bool) -> str:
    """Return the rule for JSON that follows a prepared schema."""
    schema = schema if isinstance(schema, Mapping) else {"allOf": [schema]}
    return "%json " + json.dumps({**schema, "x-guidance": JSON_OPTIONS}, ensure_ascii=False)
