"""Tools in OpenAI's chat format: what a request says of them, and how an answer spells its calls."""

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

_ONLY_FUNCTIONS = "functions are the only tools: give it as a function with one string parameter."


class FunctionDefinition(RequestObject, kw_only=True):
    name: str
    """1 to 64 letters, digits, _ and -."""
    description: str | None = None
    parameters: dict[str, Any] | None = None
    """A JSON schema, which the arguments of every call follow. Without it there are none."""
    strict: bool = False
    """Refuse a schema with a word in it that can't be held to, rather than not hold to it."""


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
        "allowed_tools": Unsupported("send those tools alone."),
        "custom": Unsupported(_ONLY_FUNCTIONS),
    }


def tools_of(tools: Sequence[Tool], choice: str | NamedToolChoice | None, *, is_parallel: bool) -> Tools | None:
    """Return what the model may call. Raises BadRequest naming the field."""
    functions = [_function(tool, f"tools[{i}]") for i, tool in enumerate(tools)]
    check_functions(functions)
    kind, name = _choice(choice)
    return offered(functions, kind, name, is_parallel=is_parallel, named_at="tool_choice.function.name")


def offered(
    functions: list[dict[str, Any]], kind: ToolChoice, name: str | None, *, is_parallel: bool, named_at: str
) -> Tools | None:
    """Return functions that were checked as what the model may call. Raises BadRequest for a choice of none of them;
    `named_at` is the field that has the name."""
    if not functions:
        if kind in ("required", "named"):
            raise BadRequest("`tool_choice` asks for a call, and there are no `tools`.", param="tool_choice")
        return None
    names = [function["name"] for function in functions]
    if name is not None and name not in names:
        advice = f"Did you mean {near[0]!r}?" if (near := nearest(name, names, limit=1)) else "Name one of `tools`."
        raise BadRequest(f"`tool_choice` names {name!r}, which is not among the tools. {advice}", param=named_at)
    return Tools(functions=functions, choice=kind, name=name, is_parallel=is_parallel)


def _function(tool: Tool, path: str) -> dict[str, Any]:
    if tool.type != "function":
        raise BadRequest(f"`{path}.type` is {tool.type!r}: {_ONLY_FUNCTIONS}", param=f"{path}.type")
    if tool.function is None:
        raise BadRequest(f"`{path}.function` is missing.", param=f"{path}.function")
    return function_of(tool.function)


def function_of(given: FunctionDefinition) -> dict[str, Any]:
    """Return it as engine.messages.Tools has it."""
    function: dict[str, Any] = {"name": given.name}
    if given.description is not None:
        function["description"] = given.description
    no_parameters = {"type": "object", "properties": {}}
    return {
        **function,
        "parameters": no_parameters if given.parameters is None else given.parameters,
        "strict": given.strict,
    }


def _choice(choice: str | NamedToolChoice | None) -> tuple[ToolChoice, str | None]:
    if choice is None:
        return "auto", None
    if isinstance(choice, str):
        if choice not in ("auto", "required", "none"):
            raise BadRequest(
                f"`tool_choice` is {choice!r}; it takes auto, required, none, or an object that names a function.",
                param="tool_choice",
            )
        return choice, None  # type: ignore[return-value]
    if choice.type != "function":
        raise BadRequest(
            f"`tool_choice.type` is {choice.type!r}; functions are the only tools.", param="tool_choice.type"
        )
    if choice.function is None:
        raise BadRequest("`tool_choice.function` is missing: it has the `name`.", param="tool_choice.function")
    return "named", choice.function.name


class AnswerFunction(msgspec.Struct):
    name: str
    arguments: str
    """A JSON object, whole unless finish_reason is `length`."""


class AnswerToolCall(msgspec.Struct):
    id: str
    function: AnswerFunction
    type: Literal["function"] = "function"


def answered(calls: Sequence[ToolCall]) -> list[AnswerToolCall]:
    return [AnswerToolCall(call.id, AnswerFunction(call.name, call.arguments)) for call in calls]


class ChunkFunction(msgspec.Struct):
    arguments: str
    name: str | msgspec.UnsetType = msgspec.UNSET


class ChunkToolCall(msgspec.Struct):
    """The first of a call has its id, type and name; the others add to its arguments."""

    index: int
    function: ChunkFunction
    id: str | msgspec.UnsetType = msgspec.UNSET
    type: Literal["function"] | msgspec.UnsetType = msgspec.UNSET


def streamed(calls: Sequence[ToolCallDelta]) -> list[ChunkToolCall]:
    """Return what a step added to the calls, as an event spells it."""
    return [
        ChunkToolCall(call.index, ChunkFunction(call.arguments, call.name), call.id, "function")
        if call.id
        else ChunkToolCall(call.index, ChunkFunction(call.arguments))
        for call in calls
    ]
