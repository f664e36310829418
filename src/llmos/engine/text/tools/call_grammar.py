"""The grammar of an answer that may or must call tools, in llguidance's dialect of lark.

Text is unconstrained until a call begins; from there on every token follows the schema. Calls are written as the chat
templates render the calls of earlier turns.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from llmos.core.errors import BadRequest
from llmos.engine.messages import Grammar, Tools
from llmos.engine.text.reasoning import ReasoningTags
from llmos.engine.text.tools.formats import ToolFormat

MAX_CALLS = 32
"""Most calls in one answer: a small model that must call may never stop."""

_ALLOWS_MORE_PROPERTIES = {"additionalProperties", "patternProperties", "allOf", "anyOf", "oneOf", "$ref"}
_JSON_OPTIONS = {"item_separator": ", ", "key_separator": ": ", "whitespace_flexible": False}

ControlLookup = Callable[[str], int | None]
"""Returns the id of the control token with this text, None if there is none."""


def tools_grammar(
    tool_format: ToolFormat,
    tools: Tools,
    control: ControlLookup,
    *,
    reasoning: ReasoningTags | None = None,
    is_reasoning_open: bool = False,
    content: Grammar | None = None,
) -> Grammar:
    """Return the grammar of an answer that may or must call these tools.

    `content`: the constraint on an answer without calls. Raises BadRequest if it can't be combined with tools.
    """
    functions = [f for f in tools.functions if tools.choice != "named" or f["name"] == tools.name]
    num_calls = MAX_CALLS if tool_format.is_parallel and tools.is_parallel and tools.choice != "named" else 1
    must_call = tools.choice in ("required", "named")
    rules = [
        "%llguidance {}",
        *_call_rules(tool_format, functions),
        "TEXT: /(.|\\n)*/",
        *(_required_rules if must_call or content else _optional_rules)(tool_format, num_calls, control),
    ]
    if content and not must_call:
        rules += [f"answer: calls | {_content(content)}"]
    elif must_call:
        rules += ["answer: calls"]
    if reasoning is None or not (must_call or content or control(reasoning.closing) is not None):
        rules += ["start: answer"]
    else:
        rules += _reasoning_rules(reasoning, control, is_open=is_reasoning_open)
    return Grammar("tools", "\n".join(rules), "tools")


def schema_grammar(function: Mapping[str, Any], field: str) -> Grammar:
    """Return the grammar of one function's arguments alone, to find the function whose schema is invalid."""
    return Grammar("tools", f"%llguidance {{}}\nstart: %json {_arguments(function)}", field)


def _call_rules(tool_format: ToolFormat, functions: Sequence[Mapping[str, Any]]) -> list[str]:
    names = " | ".join(f"call_{i}" for i in range(len(functions)))
    opening = _text('{"name": ')
    rules = [f'call: {opening} ({names}) "}}"']
    for i, function in enumerate(functions):
        head = f'{json.dumps(function["name"])}, "{tool_format.arguments_key}": '
        rules += [f"call_{i}: {_text(head)} arguments_{i}", f"arguments_{i}: %json {_arguments(function)}"]
    return rules


def _required_rules(tool_format: ToolFormat, num_calls: int, control: ControlLookup) -> list[str]:
    """Rules for `calls`: one or more calls and nothing else."""
    syntax = tool_format.syntax
    opening, more = _tag(syntax.opening, control), num_calls - 1
    if syntax.repeats:
        block = f'block: {opening} "\\n" call "\\n" {_tag(syntax.closing, control)}'
        return [block, f'calls: block ("\\n" block){{0,{more}}}' if more else "calls: block"]
    return [f"calls: {opening} {_body(tool_format, more)}"]


def _optional_rules(tool_format: ToolFormat, num_calls: int, control: ControlLookup) -> list[str]:
    """Rules for `answer`: text that may contain calls."""
    syntax = tool_format.syntax
    if not syntax.opening:
        return [
            f"calls: {_body(tool_format, num_calls - 1)}",
            r'PLAIN: /(.|\n)*/ & ~/[ \t\r\n]*\{[ \t\r\n]*"name"(.|\n)*/',
            "answer: calls | PLAIN",
        ]
    if control(syntax.opening) is None:
        opening, rules = "opening", [f"opening[lazy]: TEXT {_text(syntax.opening)}"]
    else:
        opening, rules = f"TEXT {_tag(syntax.opening, control)}", []
    if syntax.repeats:
        rules += [f'calls: {opening} "\\n" call "\\n" {_tag(syntax.closing, control)}']
    else:
        rules += [f"calls: {opening} {_body(tool_format, num_calls - 1)}"]
    many = f"calls{{0,{num_calls}}}" if syntax.repeats else "calls?"
    return [*rules, f"answer: {many} TEXT"]


def _body(tool_format: ToolFormat, num_more: int) -> str:
    """Return the part between the opening and the closing."""
    syntax = tool_format.syntax
    more = f" ({_text(syntax.separator + ' ')} call){{0,{num_more}}}" if num_more else ""
    return f'" "? "[" call{more} {_text(syntax.closing)}' if syntax.is_list else f"call{more}"


def _reasoning_rules(tags: ReasoningTags, control: ControlLookup, *, is_open: bool) -> list[str]:
    """Rules for `start`: reasoning that the prompt has opened, or that may come first, and then the answer."""
    if control(tags.closing) is None:
        rules = [f"reasoned[lazy]: TEXT {_text(tags.closing)}", "reasoning: reasoned /\\n*/"]
    else:
        rules = [f"reasoning: TEXT {_tag(tags.closing, control)} /\\n*/"]
    reasoning_first = "reasoning" if is_open else f"({_tag(tags.opening, control)} reasoning)?"
    return [*rules, f"start: {reasoning_first} answer"]


def _tag(text: str, control: ControlLookup) -> str:
    token = control(text)
    return _text(text) if token is None else f"<[{token}]>"


def _text(text: str) -> str:
    return json.dumps(text) if text else ""


def _arguments(function: Mapping[str, Any]) -> str:
    """Return the schema of a function's arguments. A schema that only lists properties allows no others."""
    schema = {"type": "object", **(function.get("parameters") or {})}
    if schema.get("properties") is not None and _ALLOWS_MORE_PROPERTIES.isdisjoint(schema):
        schema["additionalProperties"] = False
    is_lenient = not function.get("strict")
    return json.dumps({**schema, "x-guidance": {**_JSON_OPTIONS, "lenient": is_lenient, "coerce_one_of": is_lenient}})


def _content(content: Grammar) -> str:
    match content.kind:
        case "json_object":
            return "%json " + json.dumps({"type": "object", "x-guidance": _JSON_OPTIONS})
        case "json_schema":
            schema = json.loads(content.text)
            return "%json " + json.dumps(
                {**schema, "x-guidance": _JSON_OPTIONS} if isinstance(schema, dict) else schema
            )
        case "choice":
            return " | ".join(json.dumps(choice) for choice in json.loads(content.text) if choice)
        case _:
            raise BadRequest(
                f"{content.field} with a {content.kind} can't be combined with tools. "
                "Leave one of them out, or send the format as a JSON schema.",
                param=content.field,
            )
