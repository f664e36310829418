"""The requests of /v1/messages."""

from typing import Annotated, Any, ClassVar, Literal

import msgspec
from msgspec import Meta

from llmos.core.errors import BadRequest
from llmos.engine.checkpoint.recommended import RECOMMENDABLE
from llmos.engine.messages import Grammar, SamplingParams, Tools
from llmos.gateway.calls.call import Call, Prompt, Sampling
from llmos.gateway.calls.conversation import check_conversation, check_numbers
from llmos.gateway.calls.grammars import json_schema
from llmos.gateway.http.fields import CallerFields
from llmos.gateway.http.requests import Int64, RequestObject, Unsupported, Variants
from llmos.gateway.wires.anthropic.messages import AnthropicMessage, TextBlock, to_template
from llmos.gateway.wires.anthropic.tools import (
    _OWN_TOOLS,
    AnthropicTool,
    AnyChoice,
    AutoChoice,
    NamedChoice,
    NoChoice,
    ToolChoice,
)
from llmos.security.callers import Caller

_NO_BUDGET = 'nothing limits the thinking alone here. Send {"type": "adaptive"}, and a max_tokens that limits all.'


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
            is_parallel=not (isinstance(choice, ToolChoice) and choice.disable_parallel_tool_use),
        )

    def grammar(self) -> Grammar | None:
        if self.output_config is None or self.output_config.format is None:
            return None
        return json_schema(self.output_config.format.schema, "output_config.format")

    def template_options(self) -> dict[str, Any]:
        """Anthropic's clients expect no thinking unless they asked for it."""
        return {"enable_thinking": isinstance(self.thinking, AdaptiveThinking)}


class Metadata(RequestObject, kw_only=True):
    user_id: Annotated[str, Meta(max_length=512)] = ""
    """Which of your own users asks: under load they take turns."""


class MessagesRequest(ConversationFields, kw_only=True):
    max_tokens: Annotated[int, Int64]
    """More than the context window has room for is no error: the answer then ends with the window, and says so."""
    temperature: Annotated[float, Meta(ge=0, le=1)] | None = None
    top_p: float | None = None
    top_k: Annotated[int, Int64] | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    seed: Annotated[int, Int64] | None = None
    stop_sequences: list[str] = msgspec.field(default_factory=list)
    stream: bool = False
    metadata: Metadata | None = None

    objects: ClassVar = {**ConversationFields.objects, "metadata": Metadata}
    unsupported: ClassVar = {
        **ConversationFields.unsupported,
        "service_tier": Unsupported("there is one tier. Leave it out.", ("auto", "standard_only")),
        "stop": Unsupported("it is called `stop_sequences` here."),
    }

    def call(self, caller: Caller) -> Call:
        """Raises BadRequest for what the types alone can't tell."""
        given = {name: value for name in RECOMMENDABLE if (value := getattr(self, name)) is not None}
        params = SamplingParams(
            max_tokens=self.max_tokens, may_exceed_context=True, stop=self.stop_sequences, seed=self.seed, **given
        )
        return Call(
            model=self.model,
            prompts=[self.prompt()],
            sampling=Sampling(params, frozenset(given)),
            grammar=self.grammar(),
            tools=self.offered_tools(),
            template_options=self.template_options(),
            caller=self.on_behalf_of(caller),
            cache_salt=self.cache_salt,
            id_prefix="msg",
        )

    def on_behalf_of(self, caller: Caller) -> Caller:
        user = self.metadata.user_id if self.metadata else ""
        if user and self.user:
            raise BadRequest("`user` and `metadata.user_id` both say who asks: send one of them.", param="user")
        return caller.on_behalf_of(user or self.user, self.priority)


class CountTokensRequest(ConversationFields, kw_only=True):
    def call(self, caller: Caller) -> Call:
        """Raises BadRequest for what the types alone can't tell."""
        return Call(
            model=self.model,
            prompts=[self.prompt()],
            sampling=Sampling(SamplingParams()),
            tools=self.offered_tools(),
            template_options=self.template_options(),
            caller=self.on_behalf_of(caller),
            cache_salt=self.cache_salt,
            id_prefix="count",
        )
