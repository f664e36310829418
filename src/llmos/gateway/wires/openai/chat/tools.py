"""The tools of a chat request."""

from collections.abc import Sequence
from typing import Annotated, ClassVar

from llmos.core.errors import BadRequest
from llmos.engine.messages import Tools
from llmos.gateway.calls.conversation import check_functions
from llmos.gateway.http.requests import RequestObject, Unsupported, Variants, described
from llmos.gateway.wires.openai.tools import ONLY_FUNCTIONS, FunctionDefinition, ToolChoice, make_tools, to_function


class Tool(RequestObject, tag_field="type", tag="function", kw_only=True):
    function: FunctionDefinition

    harmless = frozenset({"cache_control"})  # The beginning of every prompt is cached anyway.
    objects: ClassVar = {"function": FunctionDefinition}


TOOLS = Variants({"function": Tool}, leaves_out=True)
"""Tools of other kinds are left out: the model doesn't see them."""


class NamedFunction(RequestObject, kw_only=True):
    name: str


class NamedToolChoice(RequestObject, kw_only=True):
    type: Annotated[str, described(enum=["function"])]
    function: NamedFunction | None = None

    objects: ClassVar = {"function": NamedFunction}
    unsupported: ClassVar = {
        "allowed_tools": Unsupported("send only those tools in `tools`."),
        "custom": Unsupported(ONLY_FUNCTIONS),
    }


def parse_tools(tools: Sequence[Tool], choice: str | NamedToolChoice | None, *, is_parallel: bool) -> Tools | None:
    """Return the tools that the model may call. Raises BadRequest naming the field."""
    functions = [to_function(tool.function) for tool in tools]
    check_functions(functions)
    kind, name = _choice(choice)
    return make_tools(functions, kind, name, is_parallel=is_parallel, name_field="tool_choice.function.name")


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
