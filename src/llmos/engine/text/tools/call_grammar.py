"""The grammar of an answer that may or must call tools, in llguidance's dialect of lark.

Text is unconstrained until a call begins; from there on every token follows the schema. Calls are written as the chat
templates render the calls of earlier turns.
"""

import json
import re
from collections.abc import Callable, Sequence

from llmos.core.errors import BadRequest
from llmos.engine.messages import Grammar, Tools
from llmos.engine.text.reasoning import ReasoningTags
from llmos.engine.text.schemas import SchemaError, prepare_schema
from llmos.engine.text.tools.arguments import CallableFunction, callable_functions
from llmos.engine.text.tools.formats import ToolFormat
from llmos.engine.text.tools.json_calls import json_rule

MAX_CALLS = 32
"""Most calls in one answer: a small model that must call may never stop."""

ControlLookup = Callable[[str], int | None]
"""Returns the id of the control token with this text, None if there is none."""


def tools_grammar(
    tool_format: ToolFormat,
    tools: Tools,
    control: ControlLookup,
    functions: Sequence[CallableFunction] | None = None,
    *,
    reasoning: ReasoningTags | None = None,
    is_reasoning_open: bool = False,
    content: Grammar | None = None,
) -> Grammar:
    """Return the grammar of an answer that may or must call these tools.

    `functions`: those of the tools that may be called, with the schemas to enforce; None for callable_functions().
    `content`: the constraint on an answer without calls. Raises BadRequest if it can't be combined with tools.
    """
    functions = callable_functions(tools) if functions is None else functions
    num_calls = MAX_CALLS if tool_format.is_parallel and tools.is_parallel and tools.choice != "named" else 1
    must_call = tools.choice in ("required", "named")
    rules = [
        "%llguidance {}",
        *tool_format.call_rules(functions, lambda text: _tag(text, control)),
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


def _required_rules(tool_format: ToolFormat, num_calls: int, control: ControlLookup) -> list[str]:
    """Rules for `calls`: one or more calls and nothing else."""
    syntax = tool_format.syntax
    opening, more = _tag(syntax.opening, control), num_calls - 1
    if syntax.repeats:
        space = _text(syntax.space)
        block = f"block: {opening} {space} call {space} {_tag(syntax.closing, control)}"
        return [block, f"calls: block ({space} block){{0,{more}}}" if more else "calls: block"]
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
    ending = "TEXT"
    if control(syntax.opening) is None:
        opening, rules = "opening", [f"opening[lazy]: TEXT {_text(syntax.opening)}"]
        if num_calls == 1 or not syntax.repeats:
            # No further call would be understood, so none may begin.
            ending = "ENDING"
            rules += [rf"ENDING: /(.|\n)*/ & ~/(.|\n)*{re.escape(syntax.opening)}(.|\n)*/"]
    else:
        opening, rules = f"TEXT {_tag(syntax.opening, control)}", []
    if syntax.repeats:
        space = _text(syntax.space)
        rules += [f"calls: {opening} {space} call {space} {_tag(syntax.closing, control)}"]
    else:
        rules += [f"calls: {opening} {_body(tool_format, num_calls - 1)}"]
    if num_calls == 1 or not syntax.repeats:
        return [*rules, f"answer: TEXT | calls {ending}"]
    return [*rules, f"answer: calls{{0,{num_calls}}} TEXT"]


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
    label = f" {_text(tags.label)}" if tags.label else ""
    reasoning_first = "reasoning" if is_open else f"({_tag(tags.opening, control)}{label} reasoning)?"
    return [*rules, f"start: {reasoning_first} answer"]


def _tag(text: str, control: ControlLookup) -> str:
    token = control(text)
    return _text(text) if token is None else f"<[{token}]>"


def _text(text: str) -> str:
    return json.dumps(text) if text else ""


def _content(content: Grammar) -> str:
    match content.kind:
        case "json_object":
            return json_rule({"type": "object"})
        case "json_schema":
            try:
                return json_rule(prepare_schema(json.loads(content.text), is_strict=True).schema)
            except SchemaError as error:
                message = f"{content.field} can't be followed: in the JSON schema, {error}."
                raise BadRequest(message, param=content.field) from None
        case "choice":
            return " | ".join(json.dumps(choice) for choice in json.loads(content.text) if choice)
        case _:
            raise BadRequest(
                f"{content.field} with a {content.kind} can't be combined with tools. "
                "Leave one of them out, or send the format as a JSON schema.",
                param=content.field,
            )
