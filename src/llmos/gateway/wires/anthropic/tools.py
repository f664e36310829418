"""Tools in Anthropic's format, and the choice among them."""

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

from msgspec import Meta

from llmos.core.errors import BadRequest
from llmos.engine.messages import Tools
from llmos.gateway.calls.conversation import check_numbers
from llmos.gateway.http.requests import RequestObject, Unsupported

OWN_TOOLS = "tools that Anthropic defines are not available. Define your own: name, description and input_schema."


class AnthropicTool(RequestObject, tag_field="type", tag="custom", kw_only=True):
    name: Annotated[str, Meta(pattern="^[a-zA-Z0-9_-]{1,128}$")]
    description: str = ""
    input_schema: dict[str, Any]
    strict: bool = False

    # The input is always streamed, and the beginning of every prompt is cached anyway.
    harmless = frozenset({"cache_control", "eager_input_streaming"})
    unsupported: ClassVar = {
        "input_examples": Unsupported("put the examples into the description.", ([],)),
        "defer_loading": Unsupported("the model sees all tools at once.", (False,)),
        "allowed_callers": Unsupported("only the model makes calls.", (["direct"],)),
    }

    def function(self) -> dict[str, Any]:
        """Return the tool in the form that engine.messages.Tools takes."""
        described = {"description": self.description} if self.description else {}
        return {"name": self.name, **described, "parameters": self.input_schema, "strict": self.strict}


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
    for i, tool in enumerate(tools):
        check_numbers(tool.input_schema, f"tools[{i}].input_schema")
        if tool.name in names[:i]:
            raise BadRequest(
                f"`tools[{i}].name` is {tool.name!r}, like that of another tool. Give every tool its own name.",
                param="tools",
            )
    if isinstance(choice, NamedChoice) and choice.name not in names:
        raise BadRequest(
            f"`tool_choice.name` is {choice.name!r}, which is not one of the tools: {', '.join(names)}.",
            param="tool_choice.name",
        )
    return Tools(
        functions=[tool.function() for tool in tools],
        choice=_CHOICES.get(type(choice), "auto"),
        name=choice.name if isinstance(choice, NamedChoice) else None,
        is_parallel=not (isinstance(choice, ToolChoice) and choice.disable_parallel_tool_use),
    )
