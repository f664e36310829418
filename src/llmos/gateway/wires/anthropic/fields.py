"""What requests in Anthropic's format have in common: the conversation, the tools, what the answer must be."""

from typing import Annotated, Any, ClassVar, Literal

import msgspec
from msgspec import Meta

from llmos.core.errors import BadRequest
from llmos.engine.messages import Grammar, Tools
from llmos.gateway.calls.call import Prompt
from llmos.gateway.calls.conversation import check_conversation, check_numbers
from llmos.gateway.http.requests import RequestObject, Unsupported, Variants
from llmos.gateway.wires.anthropic.blocks import AnthropicMessage, TextBlock, to_template
from llmos.gateway.wires.openai.fields import CallerFields
from llmos.gateway.wires.openai.response_format import json_schema

_OWN_TOOLS = "tools that Anthropic defines are not available. Describe your own: name, description and input_schema."
_NO_BUDGET = 'nothing limits the thinking alone here. Send {"type": "adaptive"}, and a max_tokens that limits all.'


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


class ChoiceOfTools(RequestObject, tag_field="type", kw_only=True):
    disable_parallel_tool_use: bool = False
    """One call an answer at most."""


class AutoChoice(ChoiceOfTools, tag="auto", kw_only=True):
    """The model decides."""


class AnyChoice(ChoiceOfTools, tag="any", kw_only=True):
    """The model must call one of the tools."""


class NamedChoice(ChoiceOfTools, tag="tool", kw_only=True):
    """The model must call this one."""

    name: str


class NoChoice(RequestObject, tag_field="type", tag="none", kw_only=True):
    """The model must call none."""


class AdaptiveThinking(RequestObject, tag_field="type", tag="adaptive", kw_only=True):
    """The model thinks before it answers, where it has learned to."""

    unsupported: ClassVar = {"display": Unsupported("thinking is always shown whole.", ("summarized",))}


class EnabledThinking(AdaptiveThinking, tag="enabled", kw_only=True):
    unsupported: ClassVar = {**AdaptiveThinking.unsupported, "budget_tokens": Unsupported(_NO_BUDGET)}


class DisabledThinking(RequestObject, tag_field="type", tag="disabled", kw_only=True):
    """The model answers at once, where its template leaves the choice."""


class JSONFormat(RequestObject, tag_field="type", tag="json_schema", kw_only=True):
    schema: dict[str, Any]


class OutputConfig(RequestObject, kw_only=True):
    format: JSONFormat | None = None
    """The answer is JSON of this schema."""

    variants: ClassVar = {"format": Variants({"json_schema": JSONFormat})}
    unsupported: ClassVar = {"effort": Unsupported("no model here takes an effort. Leave it out.")}


class ConversationFields(CallerFields, kw_only=True):
    """What makes the prompt."""

    model: str
    """A Route or a model: GET /v1/models lists them."""
    messages: list[AnthropicMessage]
    """The last one may be the assistant's: the answer then goes on in it."""
    system: str | list[TextBlock] = ""
    tools: list[AnthropicTool] = msgspec.field(default_factory=list)
    tool_choice: AutoChoice | AnyChoice | NamedChoice | NoChoice | None = None
    thinking: AdaptiveThinking | EnabledThinking | DisabledThinking | None = None
    output_config: OutputConfig | None = None

    harmless = frozenset({"cache_control"})
    lists: ClassVar = {"messages": AnthropicMessage}
    objects: ClassVar = {"output_config": OutputConfig}
    variants: ClassVar = {
        "system": Variants({"text": TextBlock}),
        "tools": Variants({"custom": AnthropicTool}, {"": _OWN_TOOLS}, default="custom"),
        "tool_choice": Variants({"auto": AutoChoice, "any": AnyChoice, "tool": NamedChoice, "none": NoChoice}),
        "thinking": Variants(
            {"adaptive": AdaptiveThinking, "enabled": EnabledThinking, "disabled": DisabledThinking},
            {"between_tools": "thinking is either on or off: send adaptive or disabled."},
        ),
    }
    unsupported: ClassVar = {
        "speed": Unsupported("there is one speed. Leave it out.", ("standard",)),
        "container": Unsupported("this server runs no code. Leave it out."),
        "mcp_servers": Unsupported("this server calls no others. Call the tools yourself.", ([],)),
        "context_management": Unsupported("a history is never cut. Leave it out."),
        "diagnostics": Unsupported("`usage` says what was cached. Leave it out."),
        "inference_geo": Unsupported("the model runs where this server does. Leave it out."),
        "user_profile_id": Unsupported("send `metadata.user_id`."),
        "workspace_id": Unsupported("there are no workspaces. Leave it out."),
    }

    def prompt(self) -> Prompt:
        """Raises BadRequest for a conversation that can't be."""
        if not self.messages:
            raise BadRequest("`messages` is empty: send at least one message.", param="messages")
        messages = to_template(self.system, self.messages)
        check_conversation(messages)
        return Prompt(messages=messages, continues=messages[-1]["role"] == "assistant")

    def offered_tools(self) -> Tools | None:
        """Raises BadRequest for a choice that nothing answers to."""
        choice = self.tool_choice
        if not self.tools:
            if isinstance(choice, AnyChoice | NamedChoice):
                raise BadRequest("`tool_choice` asks for a call, but there are no `tools`.", param="tool_choice")
            return None
        for i, tool in enumerate(self.tools):
            check_numbers(tool.input_schema, f"tools[{i}].input_schema")
        names = [tool.name for tool in self.tools]
        for i, name in enumerate(names):
            if name in names[:i]:
                raise BadRequest(f"`tools[{i}].name` is {name!r} once more; each tool needs its own.", param="tools")
        if isinstance(choice, NamedChoice) and choice.name not in names:
            raise BadRequest(
                f"`tool_choice.name` is {choice.name!r}, which is none of the tools: {', '.join(names)}.",
                param="tool_choice.name",
            )
        spelled: dict[type, Literal["auto", "required", "named", "none"]] = {
            AnyChoice: "required", NamedChoice: "named", NoChoice: "none",
        }  # fmt: skip
        return Tools(
            functions=[tool.function() for tool in self.tools],
            choice=spelled.get(type(choice), "auto"),
            name=choice.name if isinstance(choice, NamedChoice) else None,
            is_parallel=not (isinstance(choice, ChoiceOfTools) and choice.disable_parallel_tool_use),
        )

    def grammar(self) -> Grammar | None:
        if self.output_config is None or self.output_config.format is None:
            return None
        return json_schema(self.output_config.format.schema, "output_config.format")

    def template_options(self) -> dict[str, Any]:
        """Anthropic's clients expect no thinking unless they asked for it."""
        return {"enable_thinking": isinstance(self.thinking, AdaptiveThinking)}
