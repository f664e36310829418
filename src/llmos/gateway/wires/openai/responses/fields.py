"""What POST /v1/responses reads, and the call that it comes to."""

import re
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

from msgspec import Meta, field

from llmos.core.errors import BadRequest
from llmos.engine.messages import Grammar, Tools
from llmos.gateway.calls.call import Call, Prompt
from llmos.gateway.calls.conversation import check_conversation, check_functions
from llmos.gateway.calls.grammars import json_object, json_schema
from llmos.gateway.http.fields import SamplingFields
from llmos.gateway.http.requests import Int64, RequestObject, Unsupported, Variants
from llmos.gateway.wires.openai.fields import HARMLESS, UNSUPPORTED
from llmos.gateway.wires.openai.responses.items import INPUT_ITEMS, InputItem, Item, check_calls
from llmos.gateway.wires.openai.responses.messages import Conversation
from llmos.gateway.wires.openai.tools import FunctionDefinition, ToolChoice, make_tools, to_function
from llmos.security.callers import Caller

LOGPROBS = "message.output_text.logprobs"
"""The one thing that `include` can ask for."""

_NO_EFFORT = "no model here takes an effort. Leave it out."
_IN_THE_BACKGROUND = "an answer is made while its caller waits. Leave it out, and stream where it takes long."
_ONLY_FUNCTIONS = "functions are the only tools, and your own program runs them. Nothing is searched or run here."
_LIMIT = "the limit is called `max_output_tokens` here."


class ResponseStreamOptions(RequestObject, kw_only=True):
    unsupported: ClassVar = {
        "include_obfuscation": Unsupported("events are not padded. Leave it out, or send false.", (False,)),
    }


class ReasoningOptions(RequestObject, kw_only=True):
    unsupported: ClassVar = {
        "effort": Unsupported(_NO_EFFORT, ("none",)),
        "summary": Unsupported("what a model thinks is told in full, where it says so. Leave it out."),
        "generate_summary": Unsupported("what a model thinks is told in full, where it says so. Leave it out."),
    }


class TextFormat(RequestObject, kw_only=True, omit_defaults=True):
    type: Literal["text", "json_object", "json_schema"]
    schema: dict[str, Any] | None = None
    """JSON Schema, draft 2020-12. A keyword that can't be enforced is refused, never ignored."""
    name: str = ""
    strict: bool = True
    """The schema is enforced either way."""

    harmless = frozenset({"description"})

    def grammar(self) -> Grammar | None:
        if (self.schema is not None) != (self.type == "json_schema"):
            advice = "is missing" if self.schema is None else f"goes with the type json_schema; this one is {self.type}"
            raise BadRequest(f"`text.format.schema` {advice}.", param="text.format.schema")
        if self.schema is not None:
            return json_schema(self.schema, "text.format")
        return json_object("text.format") if self.type == "json_object" else None


class TextOptions(RequestObject, kw_only=True):
    format: TextFormat = field(default_factory=lambda: TextFormat(type="text"))

    objects: ClassVar = {"format": TextFormat}
    unsupported: ClassVar = {
        "verbosity": Unsupported("ask for a shorter or longer answer in a message.", ("medium",)),
    }


class FunctionTool(FunctionDefinition, kw_only=True, tag_field="type", tag="function"):
    unsupported: ClassVar = {
        "async": Unsupported("a call is answered before the model goes on.", (False,)),
        "defer_loading": Unsupported("the model is told of all tools at once. Leave it out.", (False,)),
        "allowed_callers": Unsupported("calls come from the model only.", (["direct"],)),
        "output_schema": Unsupported("say in the description what comes back."),
    }


class NamedTool(RequestObject, kw_only=True, tag_field="type", tag="function"):
    name: str


class ResponseRequest(SamplingFields, kw_only=True):
    model: str
    """A Route or a model: GET /v1/models lists them."""
    input: str | list[InputItem] = field(default_factory=list)
    """What a user says, or a list of items: message, function_call, function_call_output, reasoning."""
    instructions: str | None = None
    """A system message before everything else. It is not carried over to the response that goes on from this one."""
    previous_response_id: str | None = None
    """Go on from a response that was kept: its conversation comes before `input`."""
    max_output_tokens: Annotated[int, Int64] | None = None
    """Without it, as many as the context window has room for."""
    text: TextOptions = field(default_factory=TextOptions)
    """What the answer must be: {"format": {"type": "json_schema", "schema": …}}, or json_object."""
    tools: list[FunctionTool] = field(default_factory=list)
    """The functions that the model may call."""
    tool_choice: Literal["auto", "required", "none"] | NamedTool = "auto"
    parallel_tool_calls: bool = True
    include: list[str] = field(default_factory=list)
    """message.output_text.logprobs"""
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    metadata: Annotated[
        dict[Annotated[str, Meta(max_length=64)], Annotated[str, Meta(max_length=512)]], Meta(max_length=16)
    ] = field(default_factory=dict)
    """Yours: given back with the response."""
    prompt_cache_key: str | None = None
    safety_identifier: str | None = None
    store: bool = True
    """StoreResponse the response for 30 days."""
    stream: bool = False
    stream_options: ResponseStreamOptions | None = None
    reasoning: ReasoningOptions | None = None

    harmless = HARMLESS - {"metadata", "safety_identifier", "prompt_cache_key", "prediction"}
    objects: ClassVar = {"text": TextOptions, "stream_options": ResponseStreamOptions, "reasoning": ReasoningOptions}
    variants: ClassVar = {
        "input": INPUT_ITEMS,
        "tools": Variants({"function": FunctionTool}, refused={"": _ONLY_FUNCTIONS}),
        "tool_choice": Variants(
            {"function": NamedTool},
            refused={"allowed_tools": "send those tools alone.", "": "functions are the only tools."},
        ),
    }
    unsupported: ClassVar = {
        "service_tier": UNSUPPORTED["service_tier"],
        "truncation": Unsupported(
            "nothing is cut silently. Leave items out yourself where the conversation doesn't fit.", ("disabled",)
        ),
        "background": Unsupported(_IN_THE_BACKGROUND, (False,)),
        "background_options": Unsupported(_IN_THE_BACKGROUND),
        "conversation": Unsupported("conversations are not kept as such. Send `previous_response_id`."),
        "context_management": Unsupported("nothing is cut or compacted silently. Leave it out.", ([],)),
        "prompt": Unsupported("prompts are not kept. Send `instructions` and `input`."),
        "max_tool_calls": Unsupported("it limits built-in tools, and there are none. Leave it out."),
        "moderation": Unsupported("this server does not moderate yet. Leave it out."),
        "access_programs": Unsupported("there are none. Leave it out."),
        "image": Unsupported("this server reads and writes text only."),
        "n": Unsupported("a response is one answer. /v1/chat/completions gives several.", (1,)),
        "messages": Unsupported("this takes `input`. /v1/chat/completions takes messages."),
        "logprobs": Unsupported(f"ask for them with `include`: [{LOGPROBS!r}].", (False,)),
        "response_format": Unsupported("it is called `text.format` here."),
        "reasoning_effort": Unsupported(_NO_EFFORT, ("none",)),
        "max_tokens": Unsupported(_LIMIT),
        "max_completion_tokens": Unsupported(_LIMIT),
    }

    @property
    def wants_logprobs(self) -> bool:
        return LOGPROBS in self.include

    def check(self) -> None:
        """Raises BadRequest for what the types alone can't tell."""
        if self.stream_options is not None and not self.stream:
            raise BadRequest(
                "`stream_options` is for streams: set `stream` to true, or leave it out.", param="stream_options"
            )
        if not self.input:
            raise BadRequest("`input` is empty: send a text or at least one item.", param="input")
        for each in self.include:
            if each != LOGPROBS:
                raise BadRequest(f"`include` can't ask for {each!r:.100}; it takes {LOGPROBS!r}.", param="include")
        if self.top_logprobs is not None and not self.wants_logprobs:
            raise BadRequest(f"`top_logprobs` needs {LOGPROBS!r} in `include`.", param="top_logprobs")

    def call(self, history: Sequence[Item], items: Sequence[Item], caller: Caller) -> Call:
        """Return the call that answers `items` after `history`. Raises BadRequest for what is no conversation."""
        check_calls([*history, *items], len(history))
        conversation = Conversation(self.instructions, [*history, *items])
        _check(conversation, len(history))
        sampling = self.sampling(
            max_tokens=self.max_output_tokens, logprobs=(self.top_logprobs or 0) if self.wants_logprobs else None
        )
        return Call(
            model=self.model,
            prompts=[Prompt(messages=conversation.messages)],
            sampling=sampling,
            grammar=self.text.format.grammar(),
            tools=self._offered(),
            caller=self.on_behalf_of(caller),
            cache_salt=self.cache_salt,
            id_prefix="resp_",
        )

    def _offered(self) -> Tools | None:
        functions = [to_function(tool) for tool in self.tools]
        check_functions(functions, "tools[{}]")
        choice = self.tool_choice
        name = choice.name if isinstance(choice, NamedTool) else None
        kind: ToolChoice = "named" if isinstance(choice, NamedTool) else choice
        return make_tools(functions, kind, name, is_parallel=self.parallel_tool_calls, name_field="tool_choice.name")


def _check(conversation: Conversation, num_before: int) -> None:
    """Check the conversation; where it is wrong, name the item of `input` rather than the message that it became."""
    try:
        check_conversation(conversation.messages)
    except BadRequest as error:
        found = re.match(r"messages\[(\d+)\]", error.param or "")
        place = conversation.item_indexes[int(found[1])] - num_before if found else 0
        path = f"input[{place}]" if place >= 0 else "previous_response_id"
        raise BadRequest(re.sub(r"`messages[^`]*`", f"`{path}`", error.message), param=path) from None
