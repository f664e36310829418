"""The request of POST /v1/chat/completions."""

from typing import Annotated, Any, ClassVar, Literal

import msgspec
from msgspec import Meta

from llmos.core.errors import BadRequest
from llmos.gateway.calls.applications import AppOptions
from llmos.gateway.calls.call import Call, Prompt
from llmos.gateway.calls.conversation import check_numbers
from llmos.gateway.http.requests import Hint, Int64, Unsupported, described
from llmos.gateway.wires.openai.chat.messages import TEXT_ONLY, Message, to_template
from llmos.gateway.wires.openai.chat.tools import TOOLS, NamedToolChoice, Tool, parse_tools
from llmos.gateway.wires.openai.fields import HINTS, NO_LIMIT, OLLAMA_OPTIONS, VLLM_OPTIONS, StreamOptions
from llmos.gateway.wires.openai.response_format import FORMAT_OBJECTS, OLDER_NAMES, FormatFields
from llmos.security.callers import Caller

_TOOLS_INSTEAD = "it is deprecated. Send `tools` and `tool_choice`."


_REASONING = 'send `reasoning_effort`, or `chat_template_kwargs`: {"enable_thinking": …}.'
_COMPLETIONS = "/v1/completions accepts it."

_OTHER_NAMES = {
    "prompt": Unsupported(f"send `messages`. {_COMPLETIONS}"),
    "input": Unsupported("send `messages`. /v1/responses accepts it."),
    "system": Unsupported("send a message with the role system."),
    **dict.fromkeys(("reasoning", "thinking", "enable_thinking"), Unsupported(_REASONING)),
    **dict.fromkeys(("suffix", "echo", "best_of"), Unsupported(_COMPLETIONS)),
    **dict.fromkeys(("max_output_tokens", "n_predict", "num_predict"), Unsupported("send `max_completion_tokens`.")),
    "extra_body": Unsupported("OpenAI's client puts its fields into the body itself. Send them there."),
}
"""Fields of other APIs."""


class ChatRequest(FormatFields, kw_only=True):
    model: str
    """A route or a model. GET /v1/models lists them."""
    messages: list[Message]
    max_completion_tokens: Annotated[int, Int64] | None = None
    """Without it, or with -1, the limit is the model's own, or the context window."""
    max_tokens: Annotated[int, Int64] | None = None
    """The deprecated name of max_completion_tokens."""
    logprobs: bool = False
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    tools: list[Tool] = msgspec.field(default_factory=list)
    """The functions that the model may call."""
    tool_choice: Annotated[str, described(enum=["auto", "required", "none"])] | NamedToolChoice | None = None
    """auto: the model decides. required: it must call a function. none: it does not see the tools. An object names the
    function that it must call."""
    parallel_tool_calls: bool = True
    """Allow several calls in one answer."""
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = None
    """Passed to the model's chat template, if it supports reasoning efforts or can turn reasoning off."""
    chat_template_kwargs: dict[str, Any] = msgspec.field(default_factory=dict)
    """More variables for the model's chat template, such as enable_thinking."""
    metadata: dict[str, Any] = msgspec.field(default_factory=dict)
    """An application takes what it has a variable for. Models don't see it."""
    continue_final_message: bool = False
    """The last message is the beginning of the answer, which the model continues. `add_generation_prompt` must be
    false."""
    add_generation_prompt: bool = True

    objects: ClassVar = {"stream_options": StreamOptions, "tool_choice": NamedToolChoice, **FORMAT_OBJECTS}
    lists: ClassVar = {"messages": Message}
    variants: ClassVar = {"tools": TOOLS}
    unsupported: ClassVar = {
        **{name: hint for name, hint in HINTS.items() if name != "metadata"},
        **OLLAMA_OPTIONS,
        **VLLM_OPTIONS,
        **_OTHER_NAMES,
        **OLDER_NAMES,
        "functions": Unsupported(_TOOLS_INSTEAD, ([],)),
        "function_call": Unsupported(_TOOLS_INSTEAD, ("none", "auto")),
        "modalities": Unsupported(TEXT_ONLY, (["text"], [])),
        "audio": Unsupported(TEXT_ONLY),
        "verbosity": Hint(("medium",)),
        "web_search_options": Unsupported("this server does not search the web. Leave it out."),
        "moderation": Unsupported("this server does not support moderation. Leave it out."),
    }

    def call(self, caller: Caller) -> Call:
        """Return the call that this request makes. Raises BadRequest for fields that contradict each other."""
        self.check_stream()
        if self.top_logprobs is not None and not self.logprobs:
            raise BadRequest("`top_logprobs` requires `logprobs` to be true.", param="top_logprobs")
        limits = {self.max_tokens, self.max_completion_tokens} - {None, NO_LIMIT}
        if len(limits) > 1:
            raise BadRequest(
                "`max_tokens` and `max_completion_tokens` are two names of one limit and differ: send one of them.",
                param="max_tokens",
            )
        sampling = self.sampling(
            max_tokens=limits.pop() if limits else None,
            n=self.n,
            logprobs=(self.top_logprobs or 0) if self.logprobs else None,
        )
        if self.continue_final_message == self.add_generation_prompt:
            raise BadRequest(
                "`continue_final_message` needs `add_generation_prompt` to be false, and the other way round: an answer"
                " begins or goes on.",
                param="continue_final_message",
            )
        if self.continue_final_message and (not self.messages or self.messages[-1].role != "assistant"):
            raise BadRequest(
                "`continue_final_message` needs a last message with the role assistant, which goes on.",
                param="continue_final_message",
            )
        check_numbers(self.chat_template_kwargs, "chat_template_kwargs")
        effort = {} if self.reasoning_effort is None else {"reasoning_effort": self.reasoning_effort}
        return Call(
            model=self.model,
            prompts=[Prompt(messages=to_template(self.messages), continues=self.continue_final_message)],
            sampling=sampling,
            grammar=self.grammar(),
            tools=parse_tools(self.tools, self.tool_choice, is_parallel=self.parallel_tool_calls),
            template_options={**self.chat_template_kwargs, **effort},
            prompt_logprobs=self.prompt_logprobs,
            caller=self.on_behalf_of(caller),
            app=AppOptions(metadata=self.metadata),
            cache_salt=self.cache_salt,
            id_prefix="chatcmpl",
        )
