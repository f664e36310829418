"""The requests of /v1/messages."""

from typing import Annotated, Any, ClassVar

import msgspec
from msgspec import Meta

from llmos.core.errors import BadRequest
from llmos.engine.checkpoint.recommended import RECOMMENDABLE
from llmos.engine.messages import Grammar, SamplingParams
from llmos.gateway.calls.call import Call, Prompt, Sampling
from llmos.gateway.calls.conversation import check_conversation
from llmos.gateway.calls.field_names import FieldNames
from llmos.gateway.calls.grammars import json_schema
from llmos.gateway.http.fields import CallerFields
from llmos.gateway.http.requests import NOT_EMPTY, Hint, Int64, RequestObject, Unsupported, Variants
from llmos.gateway.wires.anthropic.messages import AnthropicMessage, TextBlock, to_template
from llmos.gateway.wires.anthropic.tools import (
    TOOLS,
    AnthropicTool,
    AnyChoice,
    AutoChoice,
    NamedChoice,
    NoChoice,
    make_tools,
)
from llmos.security.callers import Caller

FIELD_NAMES = FieldNames(
    {
        "stop": "stop_sequences",
        "prompt": "messages",
        "tools[{}].function.parameters": "tools[{}].input_schema",
        "tools[{}].function": "tools[{}]",
        "chat_template_kwargs": "thinking",
        "enable_thinking": "thinking",
        "reasoning_effort": "output_config.effort",
    }
)


class AdaptiveThinking(RequestObject, tag_field="type", tag="adaptive", kw_only=True):
    """The model reasons before it answers, if it can."""

    # Thinking is always returned in full, and max_tokens is its only limit.
    unsupported: ClassVar = {"display": Hint(("summarized",)), "budget_tokens": Hint()}


class EnabledThinking(AdaptiveThinking, tag="enabled", kw_only=True):
    """The same as adaptive."""


class DisabledThinking(RequestObject, tag_field="type", tag="disabled", kw_only=True):
    """The model answers without reasoning, if its chat template supports that."""


class JSONFormat(RequestObject, tag_field="type", tag="json_schema", kw_only=True):
    schema: dict[str, Any]


class OutputConfig(RequestObject, kw_only=True):
    format: JSONFormat | None = None
    """The answer is JSON that follows this schema."""
    effort: str | None = None
    """For models whose chat template takes an effort of reasoning, if `thinking` is on."""

    variants: ClassVar = {"format": Variants({"json_schema": JSONFormat})}
    unsupported: ClassVar = {"task_budget": Hint()}


class ConversationFields(CallerFields, kw_only=True):
    """The fields that the prompt is made of."""

    model: str
    """A route or a model. GET /v1/models lists them."""
    messages: list[AnthropicMessage]
    """If the last message is the assistant's, the answer continues it."""
    system: str | list[TextBlock] = ""
    tools: list[AnthropicTool] = msgspec.field(default_factory=list)
    tool_choice: AutoChoice | AnyChoice | NamedChoice | NoChoice | None = None
    thinking: AdaptiveThinking | EnabledThinking | DisabledThinking | None = None
    output_config: OutputConfig | None = None

    lists: ClassVar = {"messages": AnthropicMessage}
    objects: ClassVar = {"output_config": OutputConfig}
    variants: ClassVar = {
        "system": Variants({"text": TextBlock}),
        "tools": TOOLS,
        "tool_choice": Variants({"auto": AutoChoice, "any": AnyChoice, "tool": NamedChoice, "none": NoChoice}),
        "thinking": Variants(
            {"adaptive": AdaptiveThinking, "enabled": EnabledThinking, "disabled": DisabledThinking},
            {"between_tools": "thinking is either on or off: send adaptive or disabled."},
        ),
    }
    unsupported: ClassVar = {
        "cache_control": Hint(),  # The beginning of every prompt is cached anyway.
        "speed": Hint(("standard",)),
        "context_management": Hint(({},)),
        "diagnostics": Hint(),
        "betas": Hint(([],)),
        "container": Unsupported("this server does not run code. Leave it out."),
        "mcp_servers": Unsupported("this server does not call MCP servers. Call the tools yourself.", ([],)),
        "inference_geo": Unsupported("the model runs where this server runs. Leave it out."),
        "user_profile_id": Unsupported("send `metadata.user_id`."),
        "workspace_id": Unsupported("workspaces are not supported. Leave it out."),
    }

    def prompt(self) -> Prompt:
        """Return the prompt. Raises BadRequest for an invalid conversation."""
        if not self.messages:
            raise BadRequest("`messages` is empty: send at least one message.", param="messages")
        messages = to_template(self.system, self.messages)
        check_conversation(messages)
        return Prompt(messages=messages, continues=messages[-1]["role"] == "assistant")

    def grammar(self) -> Grammar | None:
        """Return the grammar of the answer, or None."""
        if self.output_config is None or self.output_config.format is None:
            return None
        return json_schema(self.output_config.format.schema, "output_config.format")

    def template_options(self) -> dict[str, Any]:
        """Return the variables of the chat template. Without `thinking`, reasoning is off, as clients expect."""
        is_thinking = isinstance(self.thinking, AdaptiveThinking)
        effort = self.output_config.effort if self.output_config and is_thinking else None
        return {"enable_thinking": is_thinking, **({"reasoning_effort": effort} if effort else {})}


class Metadata(RequestObject, kw_only=True):
    user_id: Annotated[str, Meta(max_length=512)] = ""
    """Your end user on whose behalf the call is made. Under load, users take turns."""


class MessagesRequest(ConversationFields, kw_only=True):
    max_tokens: Annotated[int, Int64]
    """May exceed the context window: the answer then ends with the window, with its own stop_reason."""
    temperature: Annotated[float, Meta(ge=0, le=1)] | None = None
    top_p: float | None = None
    top_k: Annotated[int, Int64] | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    seed: Annotated[int, Int64] | None = None
    stop_sequences: list[Annotated[str, NOT_EMPTY]] = msgspec.field(default_factory=list)
    stream: bool = False
    metadata: Metadata | None = None

    objects: ClassVar = {**ConversationFields.objects, "metadata": Metadata}
    unsupported: ClassVar = {
        **ConversationFields.unsupported,
        "service_tier": Hint(("auto", "standard_only")),
        "stop": Unsupported("use `stop_sequences`."),
    }

    def call(self, caller: Caller) -> Call:
        """Return the call that this request makes. Raises BadRequest for fields that contradict each other."""
        given = {name: value for name in RECOMMENDABLE if (value := getattr(self, name)) is not None}
        params = SamplingParams(
            max_tokens=self.max_tokens, may_exceed_context=True, stop=self.stop_sequences, seed=self.seed, **given
        )
        return Call(
            model=self.model,
            prompts=[self.prompt()],
            sampling=Sampling(params, frozenset(given) | {"max_tokens"}),
            grammar=self.grammar(),
            tools=make_tools(self.tools, self.tool_choice),
            template_options=self.template_options(),
            caller=self.on_behalf_of(caller),
            cache_salt=self.cache_salt,
            field_names=FIELD_NAMES,
            id_prefix="msg",
        )

    def on_behalf_of(self, caller: Caller) -> Caller:
        """Return the caller with the user and the priority of this request. Raises BadRequest for two users."""
        user = self.metadata.user_id if self.metadata else ""
        if user and self.user:
            raise BadRequest("`user` and `metadata.user_id` both name the user: send one of them.", param="user")
        return caller.on_behalf_of(user or self.user, self.priority)


class CountTokensRequest(ConversationFields, kw_only=True):
    def call(self, caller: Caller) -> Call:
        """Return the call that this request makes. Raises BadRequest for fields that contradict each other."""
        return Call(
            model=self.model,
            prompts=[self.prompt()],
            sampling=Sampling(SamplingParams()),
            tools=make_tools(self.tools, self.tool_choice),
            template_options=self.template_options(),
            caller=self.on_behalf_of(caller),
            cache_salt=self.cache_salt,
            id_prefix="count",
        )
