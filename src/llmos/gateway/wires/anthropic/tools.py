"""Tools in Anthropic's format, and the choice among them."""

from typing import Annotated, Any, ClassVar

from msgspec import Meta

from llmos.gateway.http.requests import RequestObject, Unsupported

_OWN_TOOLS = "tools that Anthropic defines are not available. Describe your own: name, description and input_schema."


class AnthropicTool(RequestObject, tag_field="type", tag="custom", kw_only=True):
    name: Annotated[str, Meta(pattern="^[a-zA-Z0-9_-]{1,128}$")]
    description: str = ""
    input_schema: dict[str, Any]
    strict: bool = False

    # The input always streams as it comes, and every prompt's beginning is cached.
    harmless = frozenset({"cache_control", "eager_input_streaming"})
    unsupported: ClassVar = {
        "input_examples": Unsupported("put the examples into the description.", ([],)),
        "defer_loading": Unsupported("every tool is in the prompt.", (False,)),
        "allowed_callers": Unsupported("the model is the only one who calls here.", (["direct"],)),
    }

    def function(self) -> dict[str, Any]:
        described = {"description": self.description} if self.description else {}
        return {"name": self.name, **described, "parameters": self.input_schema, "strict": self.strict}


class ToolChoice(RequestObject, tag_field="type", kw_only=True):
    disable_parallel_tool_use: bool = False
    """One call an answer at most."""


class AutoChoice(ToolChoice, tag="auto", kw_only=True):
    """The model decides."""


class AnyChoice(ToolChoice, tag="any", kw_only=True):
    """The model must call one of the tools."""


class NamedChoice(ToolChoice, tag="tool", kw_only=True):
    """The model must call this one."""

    name: str


class NoChoice(RequestObject, tag_field="type", tag="none", kw_only=True):
    """The model must call none."""
