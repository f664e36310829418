"""Tools in Anthropic's format, and the choice among them."""

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from llmos.core.errors import BadRequest
from llmos.engine.messages import Tools
from llmos.gateway.calls.conversation import check_functions
from llmos.gateway.http.requests import Hint, RequestObject, Unsupported, Variants

MAX_NAME_LENGTH = 128


class AnthropicTool(RequestObject, tag_field="type", tag="custom", kw_only=True):
    name: str
    """1 to 128 letters, digits, _ and -."""
    description: str = ""
    input_schema: dict[str, Any]
    strict: bool = False

    harmless = frozenset({"eager_input_streaming"})  # The input is always streamed.
    unsupported: ClassVar = {
        "cache_control": Hint(),  # The beginning of every prompt is cached anyway.
        "input_examples": Hint(([],)),
        "defer_loading": Hint((False,)),  # The model sees all tools at once.
        "allowed_callers": Unsupported("only the model makes calls.", (["direct"],)),
    }

    def function(self) -> dict[str, Any]:
        """Return the tool in the form that engine.messages.Tools takes."""
        described = {"description": self.description} if self.description else {}
        return {"name": self.name, **described, "parameters": self.input_schema, "strict": self.strict}


TOOLS = Variants({"custom": AnthropicTool}, default="custom", leaves_out=True)
"""Tools that Anthropic defines are left out: the model doesn't see them."""


class ToolChoice(RequestObject, tag_field="type", kw_only=True):
    disable_parallel_tool_use: bool = False
    """Allow at most one call in an answer."""


class AutoChoice(ToolChoice, tag="auto", kw_only=True):
    """The model decides."""


class AnyChoice(ToolChoice, tag="any", kw_only=True):
    """The model must call one of the tools."""


class NamedChoice(ToolChoice, tag="tool", kw_only=True):
    """The model must call this one."""

    name: str


class NoChoice(RequestObject, tag_field="type", tag="none", kw_only=True):
    """The model must not call a tool."""


ToolChoices = AutoChoice | AnyChoice | NamedChoice | NoChoice

_CHOICES: dict[type, Literal["required", "named", "none"]] = {
    AnyChoice: "required", NamedChoice: "named", NoChoice: "none",
}  # fmt: skip


def make_tools(tools: Sequence[AnthropicTool], choice: ToolChoices | None) -> Tools | None:
    """Return what the model may call. Raises BadRequest naming the field."""
    if not tools:
        if isinstance(choice, AnyChoice | NamedChoice):
            raise BadRequest("`tool_choice` requires a call, but there are no `tools`.", param="tool_choice")
        return None
    names = [tool.name for tool in tools]
    functions = [tool.function() for tool in tools]
    check_functions(functions, "tools[{}]", "input_schema", MAX_NAME_LENGTH)
    if isinstance(choice, NamedChoice) and choice.name not in names:
        raise BadRequest(
            f"`tool_choice.name` is {choice.name!r}, which is not one of the tools: {', '.join(names)}.",
            param="tool_choice.name",
        )
    return Tools(
        functions=functions,
        choice=_CHOICES.get(type(choice), "auto"),
        name=choice.name if isinstance(choice, NamedChoice) else None,
        is_parallel=not (isinstance(choice, ToolChoice) and choice.disable_parallel_tool_use),
    )
