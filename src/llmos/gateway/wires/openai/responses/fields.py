"""The requests of /v1/responses."""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal

import msgspec
from msgspec import Meta, field

from llmos.core.errors import BadRequest
from llmos.engine.messages import Grammar, Tools
from llmos.gateway.calls.applications import AppOptions
from llmos.gateway.calls.call import Call, Prompt
from llmos.gateway.calls.conversation import check_conversation, check_functions
from llmos.gateway.calls.field_names import FieldNames
from llmos.gateway.calls.grammars import json_object, json_schema
from llmos.gateway.http.fields import SamplingFields
from llmos.gateway.http.requests import Hint, Int64, RequestObject, Unsupported, Variants, described
from llmos.gateway.wires.openai.fields import HINTS
from llmos.gateway.wires.openai.pages import PageQuery
from llmos.gateway.wires.openai.responses import file_search
from llmos.gateway.wires.openai.responses.compaction import INSTRUCTION, MAX_SUMMARY_TOKENS
from llmos.gateway.wires.openai.responses.file_search import FileSearchChoice, FileSearchTool
from llmos.gateway.wires.openai.responses.items import INPUT_ITEMS, InputItem, Item, check_calls
from llmos.gateway.wires.openai.responses.messages import Conversation
from llmos.gateway.wires.openai.tools import FunctionDefinition, ToolChoice, make_tools, to_function
from llmos.security.callers import Caller

LOGPROBS = "message.output_text.logprobs"
"""The value of `include` that asks for the log probability of each token."""

EFFECTIVE = frozenset({LOGPROBS, file_search.RESULTS})
"""The values of `include` that have an effect."""

INCLUDABLE = frozenset(
    {
        LOGPROBS, "reasoning.encrypted_content", "message.input_image.image_url", "file_search_call.results",
        "web_search_call.results", "web_search_call.action.sources", "code_interpreter_call.outputs",
        "computer_call_output.output.image_url",
    }
)  # fmt: skip
"""The values of `include` that are accepted. What the others ask for is never in an answer of this server."""

_INCLUDABLE = described(enum=sorted(INCLUDABLE))

_ECHOED = ("metadata", "safety_identifier", "prompt_cache_key", "prediction", "store")
"""OpenAI's hints that are fields here, or no fields."""

_NO_BACKGROUND = "background responses are not supported. Leave it out, and stream long answers."
_ONLY_FUNCTIONS = "only function tools, which your own program runs, and file_search are supported."
_LIMIT = "use `max_output_tokens`."


FIELD_NAMES = FieldNames(
    {
        "max_tokens": "max_output_tokens",
        "messages": "input",
        "prompt": "input",
        "tools[{}].function": "tools[{}]",
        "chat_template_kwargs": "reasoning",
        "reasoning_effort": "reasoning.effort",
        "logprobs": "top_logprobs",
    }
)


class ResponseStreamOptions(RequestObject, kw_only=True):
    unsupported: ClassVar = {"include_obfuscation": Hint((False,))}


class ReasoningOptions(RequestObject, kw_only=True):
    effort: str | None = None
    """none, minimal, low, medium, high or xhigh: for models whose chat template takes an effort, or can turn reasoning
    off."""

    # Reasoning is always returned in full.
    unsupported: ClassVar = {"summary": Hint(), "generate_summary": Hint(), "context": Hint(("auto",))}


class TextFormat(RequestObject, kw_only=True, omit_defaults=True):
    type: Literal["text", "json_object", "json_schema"]
    schema: dict[str, Any] | None = None
    """JSON Schema, draft 2020-12. A keyword that can't be enforced is rejected, never ignored."""
    name: str = ""
    strict: bool = True
    """Ignored: the schema is always enforced."""

    unsupported: ClassVar = {"description": Hint()}

    def grammar(self) -> Grammar | None:
        """Return the grammar of the text, or None. Raises BadRequest for a missing or superfluous schema."""
        if (self.schema is not None) != (self.type == "json_schema"):
            advice = "is missing" if self.schema is None else f"requires the type json_schema; this one is {self.type}"
            raise BadRequest(f"`text.format.schema` {advice}.", param="text.format.schema")
        if self.schema is not None:
            return json_schema(self.schema, "text.format")
        return json_object("text.format") if self.type == "json_object" else None


class TextOptions(RequestObject, kw_only=True):
    format: TextFormat = field(default_factory=lambda: TextFormat(type="text"))

    objects: ClassVar = {"format": TextFormat}
    unsupported: ClassVar = {"verbosity": Hint(("medium",))}


class FunctionTool(FunctionDefinition, kw_only=True, tag_field="type", tag="function"):
    unsupported: ClassVar = {
        "async": Unsupported("the model continues only after the call's result.", (False,)),
        "defer_loading": Hint((False,)),  # The model sees all tools at once.
        "allowed_callers": Unsupported("only the model makes calls.", (["direct"],)),
        "output_schema": Hint(),
    }


class NamedTool(RequestObject, kw_only=True, tag_field="type", tag="function"):
    name: str


class ResponseRequest(SamplingFields, kw_only=True):
    model: str
    """A route or a model. GET /v1/models lists them."""
    input: str | list[InputItem] = field(default_factory=list)
    """A user's message, or a list of items: message, function_call, function_call_output, reasoning."""
    instructions: str | None = None
    """A system message at the beginning. It does not apply to responses that continue this one."""
    previous_response_id: str | None = None
    """Continue the conversation of a stored response, which is put before `input`."""
    max_output_tokens: Annotated[int, Int64] | None = None
    """Without it, the limit is the context window."""
    text: TextOptions = field(default_factory=TextOptions)
    """The form of the answer: {"format": {"type": "json_schema", "schema": …}}, or json_object."""
    tools: list[FunctionTool | FileSearchTool] = field(default_factory=list)
    """The functions that the model may call, and file_search, which the server runs."""
    tool_choice: Literal["auto", "required", "none"] | NamedTool | FileSearchChoice = "auto"
    parallel_tool_calls: bool = True
    max_tool_calls: Annotated[int, Meta(ge=1)] | None = None
    """Limits the searches of file_search; without it they are four."""
    include: list[Annotated[str, _INCLUDABLE]] = field(default_factory=list)
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    metadata: Annotated[
        dict[Annotated[str, Meta(max_length=64)], Annotated[str, Meta(max_length=512)]], Meta(max_length=16)
    ] = field(default_factory=dict)
    """Up to 16 strings of your own, returned with the response."""
    prompt_cache_key: str | None = None
    safety_identifier: str | None = None
    store: bool = True
    """Store the response for 30 days."""
    stream: bool = False
    stream_options: ResponseStreamOptions | None = None
    reasoning: ReasoningOptions | None = None

    objects: ClassVar = {"text": TextOptions, "stream_options": ResponseStreamOptions, "reasoning": ReasoningOptions}
    variants: ClassVar = {
        "input": INPUT_ITEMS,
        # Tools that can't run on this server are left out, so that the model doesn't see them.
        "tools": Variants({"function": FunctionTool, "file_search": FileSearchTool}, leaves_out=True),
        "tool_choice": Variants(
            {"function": NamedTool, "file_search": FileSearchChoice},
            refused={"allowed_tools": "send only those tools in `tools`.", "": _ONLY_FUNCTIONS},
        ),
    }
    unsupported: ClassVar = {
        **{name: hint for name, hint in HINTS.items() if name not in _ECHOED},
        "client_metadata": Hint(({},)),
        "context_management": Hint(([],)),
        "truncation": Unsupported(
            "no input is cut silently. Leave out items of a conversation that is too long.", ("disabled",)
        ),
        "background": Unsupported(_NO_BACKGROUND, (False,)),
        "background_options": Unsupported(_NO_BACKGROUND),
        "conversation": Unsupported("conversation objects are not supported. Send `previous_response_id`."),
        "prompt": Unsupported("stored prompts are not supported. Send `instructions` and `input`."),
        "moderation": Unsupported("this server does not support moderation. Leave it out."),
        "access_programs": Unsupported("access programs are not supported. Leave it out."),
        "image": Unsupported("this server supports text only."),
        "n": Unsupported("a response is one answer. /v1/chat/completions returns several.", (1,)),
        "messages": Unsupported("send `input`. /v1/chat/completions accepts messages."),
        "logprobs": Unsupported(f"request them with `include`: [{LOGPROBS!r}].", (False,)),
        "response_format": Unsupported("use `text.format`."),
        "reasoning_effort": Unsupported('send `reasoning`: {"effort": …}.'),
        "max_tokens": Unsupported(_LIMIT),
        "max_completion_tokens": Unsupported(_LIMIT),
    }

    @property
    def wants_logprobs(self) -> bool:
        return LOGPROBS in self.include

    def check(self) -> None:
        """Raise BadRequest for fields that contradict each other."""
        if self.stream_options is not None and not self.stream:
            raise BadRequest(
                "`stream_options` requires `stream` to be true. Set it, or leave `stream_options` out.",
                param="stream_options",
            )
        if not self.input:
            raise BadRequest("`input` is empty: send a text or at least one item.", param="input")
        for each in self.include:
            if each not in INCLUDABLE:
                raise not_includable(each)
        if sum(isinstance(tool, FileSearchTool) for tool in self.tools) > 1:
            raise BadRequest("`tools` has file_search twice. Send it once, with all `vector_store_ids`.", param="tools")
        if self.top_logprobs is not None and not self.wants_logprobs:
            raise BadRequest(f"`top_logprobs` requires {LOGPROBS!r} in `include`.", param="top_logprobs")

    @property
    def wants_results(self) -> bool:
        return file_search.RESULTS in self.include

    @property
    def file_search(self) -> FileSearchTool | None:
        """The tool that the server runs. check() has refused a second one."""
        return next((tool for tool in self.tools if isinstance(tool, FileSearchTool)), None)

    def users(self) -> set[str]:
        """Return what the request calls the person on whose behalf it was made."""
        return {self.user, self.safety_identifier or "", self.metadata.get("user_id", "")} - {""}

    def call(self, history: Sequence[Item], items: Sequence[Item], caller: Caller) -> Call:
        """Return the call that answers `items` after `history`. Raises BadRequest for an invalid conversation."""
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
            tools=self._tools(),
            template_options=self._template_options(),
            caller=self.on_behalf_of(caller),
            app=AppOptions(metadata=self.metadata),
            cache_salt=self.cache_salt,
            field_names=FIELD_NAMES,
            id_prefix="resp_",
        )

    def next_call(self, call: Call, items: Sequence[Item], *, num_used_tokens: int, may_search: bool) -> Call:
        """Return the call that goes on after a search. `items`: the conversation with what was found.

        The first call was forced to search, perhaps; this one may answer, and must where the searches are used up.
        """
        assert call.tools is not None
        choice: Literal["auto", "none"] = "auto" if may_search and self.tool_choice != "none" else "none"
        limit = None if self.max_output_tokens is None else max(1, self.max_output_tokens - num_used_tokens)
        return replace(
            call,
            prompts=[Prompt(messages=Conversation(self.instructions, items).messages)],
            tools=msgspec.structs.replace(call.tools, choice=choice, name=None),
            sampling=replace(call.sampling, params=msgspec.structs.replace(call.sampling.params, max_tokens=limit)),
        )

    def compaction_call(self, history: Sequence[Item], items: Sequence[Item], caller: Caller) -> Call:
        """Return the call that summarises the conversation. Raises BadRequest for an invalid one."""
        call = self.call(history, items, caller)
        (prompt,) = call.prompts
        asked = {"role": "user", "content": INSTRUCTION}
        params = msgspec.structs.replace(
            call.sampling.params, max_tokens=self.max_output_tokens or MAX_SUMMARY_TOKENS, logprobs=None
        )
        return replace(
            call,
            prompts=[replace(prompt, messages=[*(prompt.messages or ()), asked])],
            sampling=replace(call.sampling, params=params),
            grammar=None,
            tools=None,
            id_prefix="cmpct_",
        )

    def _template_options(self) -> dict[str, Any]:
        effort = self.reasoning.effort if self.reasoning else None
        return {} if effort is None else {"reasoning_effort": effort}

    def _tools(self) -> Tools | None:
        functions = [
            file_search.FUNCTION if isinstance(tool, FileSearchTool) else to_function(tool) for tool in self.tools
        ]
        check_functions(functions, "tools[{}]")
        choice = self.tool_choice
        if isinstance(choice, FileSearchChoice):
            choice = NamedTool(name=file_search.NAME)
            if self.file_search is None:
                raise BadRequest("`tool_choice` is file_search, which is not among `tools`.", param="tool_choice")
        name = choice.name if isinstance(choice, NamedTool) else None
        kind: ToolChoice = "named" if isinstance(choice, NamedTool) else choice
        return make_tools(functions, kind, name, is_parallel=self.parallel_tool_calls, name_field="tool_choice.name")


def not_includable(value: str) -> BadRequest:
    known = " and ".join(map(repr, sorted(EFFECTIVE)))
    return BadRequest(f"`include` contains {value!r:.100}; it accepts {known}.", param="include")


class ResponseQuery(RequestObject, kw_only=True):
    include: Annotated[str, _INCLUDABLE] = ""
    stream: bool = False
    """Return the events of the stream instead."""
    starting_after: Annotated[int, Meta(ge=0)] | None = None
    """Return only events with a greater sequence_number."""

    harmless = frozenset({"include_obfuscation"})


class ItemQuery(PageQuery, kw_only=True):
    limit: Annotated[int, Meta(ge=1, le=100)] = 20
    order: Literal["asc", "desc"] = "desc"
    include: Annotated[str, _INCLUDABLE] = ""


def _check(conversation: Conversation, num_before: int) -> None:
    """Check the conversation. An error names the item of `input` instead of the message that it was converted to."""
    try:
        check_conversation(conversation.messages)
    except BadRequest as error:
        found = re.match(r"messages\[(\d+)\]", error.param or "")
        index = conversation.item_indexes[int(found[1])] - num_before if found else 0
        path = f"input[{index}]" if index >= 0 else "previous_response_id"
        raise BadRequest(re.sub(r"`messages[^`]*`", f"`{path}`", error.message), param=path) from None
