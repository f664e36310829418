"""The tools of a chat request."""

from collections.abc import Sequence
from typing import Any, ClassVar

from llmos.core.errors import BadRequest
from llmos.engine.messages import Tools
from llmos.gateway.calls.conversation import check_functions
from llmos.gateway.http.requests import RequestObject, Unsupported
from llmos.gateway.wires.openai.tools import ONLY_FUNCTIONS, FunctionDefinition, ToolChoice, make_tools, to_function


class Tool(RequestObject, kw_only=True):
    type: str
    function: FunctionDefinition | None = None

    objects: ClassVar = {"function": FunctionDefinition}
    unsupported: ClassVar = {"custom": Unsupported(ONLY_FUNCTIONS)}


class NamedFunction(RequestObject, kw_only=True):
    name: str


class NamedToolChoice(RequestObject, kw_only=True):
    type: str
    function: NamedFunction | None = None

    objects: ClassVar = {"function": NamedFunction}
    unsupported: ClassVar = {
        "allowed_tools": Unsupported("send only those tools in `tools`."),
        "custom": Unsupported(ONLY_FUNCTIONS),
    }


def parse_tools(tools: Sequence[Tool], choice: str | NamedToolChoice | None, *, is_parallel: bool) -> Tools | None:
    """Return the tools that the model may call. Raises BadRequest naming the field."""
    functions = [_function(tool, f"tools[{i}]") for i, tool in enumerate(tools)]
    check_functions(functions)
    kind, name = _choice(choice)
    return make_tools(functions, kind, name, is_parallel=is_parallel, name_field="tool_choice.function.name")


def _function(tool: Tool, path: str) -> dict[str, Any]:
    if tool.type != "function":
        raise BadRequest(f"`{path}.type` is {tool.type!r}: {ONLY_FUNCTIONS}", param=f"{path}.type")
    if tool.function is None:
        raise BadRequest(f"`{path}.function` is missing.", param=f"{path}.function")
    return to_function(tool.function)


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
