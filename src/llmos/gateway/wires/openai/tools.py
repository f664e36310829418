"""Tools in OpenAI's chat format: their fields in a request, and the calls in an answer."""

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import msgspec

from llmos.core.errors import BadRequest
from llmos.core.suggest import nearest
from llmos.engine.messages import ToolCallDelta, Tools
from llmos.gateway.calls.answer import ToolCall
from llmos.gateway.calls.conversation import check_functions
from llmos.gateway.http.requests import RequestObject, Unsupported

ToolChoice = Literal["auto", "required", "none", "named"]

_ONLY_FUNCTIONS = "only function tools are supported. Define a function with one string parameter."


class FunctionDefinition(RequestObject, kw_only=True):
    name: str
    """1 to 64 letters, digits, _ and -."""
    description: str | None = None
    parameters: dict[str, Any] | None = None
    """A JSON schema that the arguments of every call follow. Without it, the function has no parameters."""
    strict: bool = False
    """Reject a schema with a keyword that can't be enforced, instead of ignoring the keyword."""


class Tool(RequestObject, kw_only=True):
    type: str
    function: FunctionDefinition | None = None

    objects: ClassVar = {"function": FunctionDefinition}
    unsupported: ClassVar = {"custom": Unsupported(_ONLY_FUNCTIONS)}


class NamedFunction(RequestObject, kw_only=True):
    name: str


class NamedToolChoice(RequestObject, kw_only=True):
    type: str
    function: NamedFunction | None = None

    objects: ClassVar = {"function": NamedFunction}
    unsupported: ClassVar = {
        "allowed_tools": Unsupported("send only those tools in `tools`."),
        "custom": Unsupported(_ONLY_FUNCTIONS),
    }


def parse_tools(tools: Sequence[Tool], choice: str | NamedToolChoice | None, *, is_parallel: bool) -> Tools | None:
    """Return the tools that the model may call. Raises BadRequest naming the field."""
    functions = [_function(tool, f"tools[{i}]") for i, tool in enumerate(tools)]
    check_functions(functions)
    kind, name = _choice(choice)
    return make_tools(functions, kind, name, is_parallel=is_parallel, name_field="tool_choice.function.name")


def make_tools(
    functions: list[dict[str, Any]], kind: ToolChoice, name: str | None, *, is_parallel: bool, name_field: str
) -> Tools | None:
    """Return validated functions as tools. Raises BadRequest for a choice that names none of them.

    `name_field`: the field that holds the name, for the error message.
    """
    if not functions:
        if kind in ("required", "named"):
            raise BadRequest("`tool_choice` requires a call, but there are no `tools`.", param="tool_choice")
        return None
    names = [function["name"] for function in functions]
    if name is not None and name not in names:
        advice = f"Did you mean {near[0]!r}?" if (near := nearest(name, names, limit=1)) else "Name one of `tools`."
        raise BadRequest(f"`tool_choice` names {name!r}, which is not one of the `tools`. {advice}", param=name_field)
    return Tools(functions=functions, choice=kind, name=name, is_parallel=is_parallel)


def _function(tool: Tool, path: str) -> dict[str, Any]:
    if tool.type != "function":
        raise BadRequest(f"`{path}.type` is {tool.type!r}: {_ONLY_FUNCTIONS}", param=f"{path}.type")
    if tool.function is None:
        raise BadRequest(f"`{path}.function` is missing.", param=f"{path}.function")
    return to_function(tool.function)


def to_function(definition: FunctionDefinition) -> dict[str, Any]:
    """Return the function in the form that engine.messages.Tools takes."""
    function: dict[str, Any] = {"name": definition.name}
    if definition.description is not None:
        function["description"] = definition.description
    no_parameters = {"type": "object", "properties": {}}
    return {
        **function,
        "parameters": no_parameters if definition.parameters is None else definition.parameters,
        "strict": definition.strict,
    }


def _choice(choice: str | NamedToolChoice | None) -> tuple[ToolChoice, str | None]:
    if choice is None:
        return "auto", None
    if isinstance(choice, str):
        if choice not in ("auto", "required", "none"):
            raise BadRequest(
                f"`tool_choice` is {choice!r}; it accepts auto, required, none, or an object that names a function.",
                param="tool_choice",
            )
        return choice, None  # type: ignore[return-value]
    if choice.type != "function":
        raise BadRequest(
            f"`tool_choice.type` is {choice.type!r}; only function tools are supported.", param="tool_choice.type"
        )
    if choice.function is None:
        raise BadRequest("`tool_choice.function` is missing. It holds the `name`.", param="tool_choice.function")
    return "named", choice.function.name


class AnswerFunction(msgspec.Struct):
    name: str
    arguments: str
    """A JSON object, complete unless finish_reason is `length`."""


class AnswerToolCall(msgspec.Struct):
    id: str
    function: AnswerFunction
    type: Literal["function"] = "function"


def render_calls(calls: Sequence[ToolCall]) -> list[AnswerToolCall]:
    """Return the calls of a complete answer."""
    return [AnswerToolCall(call.id, AnswerFunction(call.name, call.arguments)) for call in calls]


class ChunkFunction(msgspec.Struct):
    arguments: str
    name: str | msgspec.UnsetType = msgspec.UNSET


class ChunkToolCall(msgspec.Struct):
    """A piece of a call. The first piece has the id, type and name; later pieces extend the arguments."""

    index: int
    function: ChunkFunction
    id: str | msgspec.UnsetType = msgspec.UNSET
    type: Literal["function"] | msgspec.UnsetType = msgspec.UNSET


def render_call_deltas(calls: Sequence[ToolCallDelta]) -> list[ChunkToolCall]:
    """Return what one step added to the calls, as an event sends it."""
    return [
        ChunkToolCall(call.index, ChunkFunction(call.arguments, call.name), call.id, "function")
        if call.id
        else ChunkToolCall(call.index, ChunkFunction(call.arguments))
        for call in calls
    ]
