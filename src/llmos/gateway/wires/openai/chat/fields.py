"""The request of POST /v1/chat/completions."""

from typing import Annotated, Any, ClassVar, Literal

import msgspec
from msgspec import Meta

from llmos.core.errors import BadRequest
from llmos.gateway.calls.call import Call, Prompt
from llmos.gateway.calls.conversation import check_numbers
from llmos.gateway.http.requests import Int64, Unsupported
from llmos.gateway.wires.openai.chat.messages import TEXT_ONLY, Message, to_template
from llmos.gateway.wires.openai.chat.tools import NamedToolChoice, Tool, parse_tools
from llmos.gateway.wires.openai.fields import HARMLESS, UNSUPPORTED, StreamOptions
from llmos.gateway.wires.openai.response_format import FORMAT_OBJECTS, OLDER_NAMES, FormatFields
from llmos.security.callers import Caller

_TOOLS_INSTEAD = "it is the older form of tools. Send `tools` and `tool_choice`."


class ChatRequest(FormatFields, kw_only=True):
    model: str
    """A Route or a model: GET /v1/models lists them."""
    messages: list[Message]
    max_completion_tokens: Annotated[int, Int64] | None = None
    """Without it, as many as the context window has room for."""
    max_tokens: Annotated[int, Int64] | None = None
    """The older name of max_completion_tokens."""
    logprobs: bool = False
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    tools: list[Tool] = msgspec.field(default_factory=list)
    """What the model may call."""
    tool_choice: str | NamedToolChoice | None = None
    """auto: whether it calls is up to the model. required: it does. none: it does not, and isn't told of the tools. Or
    the one function that it calls."""
    parallel_tool_calls: bool = True
    """One answer may have several calls."""
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh"] | None = None
    """For models whose chat template takes one, or can leave the reasoning out."""
    chat_template_kwargs: dict[str, Any] = msgspec.field(default_factory=dict)
    """Further variables of the model's chat template, such as enable_thinking."""

    harmless = HARMLESS
    objects: ClassVar = {"stream_options": StreamOptions, "tool_choice": NamedToolChoice, **FORMAT_OBJECTS}
    lists: ClassVar = {"messages": Message, "tools": Tool}
    unsupported: ClassVar = {
        **UNSUPPORTED,
        **OLDER_NAMES,
        "functions": Unsupported(_TOOLS_INSTEAD, ([],)),
        "function_call": Unsupported(_TOOLS_INSTEAD, ("none", "auto")),
        "modalities": Unsupported(TEXT_ONLY, (["text"], [])),
        "audio": Unsupported(TEXT_ONLY),
        "verbosity": Unsupported("ask for a shorter or longer answer in a message.", ("medium",)),
        "web_search_options": Unsupported("this server does not search the web. Leave it out."),
        "moderation": Unsupported("this server does not moderate yet. Leave it out."),
    }

    def call(self, caller: Caller) -> Call:
        """Raises BadRequest for what the types alone can't tell."""
        self.check_stream()
        if self.top_logprobs is not None and not self.logprobs:
            raise BadRequest("`top_logprobs` needs `logprobs` set to true.", param="top_logprobs")
        limits = {self.max_tokens, self.max_completion_tokens} - {None}
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
        check_numbers(self.chat_template_kwargs, "chat_template_kwargs")
        effort = {} if self.reasoning_effort is None else {"reasoning_effort": self.reasoning_effort}
        return Call(
            model=self.model,
            prompts=[Prompt(messages=to_template(self.messages))],
            sampling=sampling,
            grammar=self.grammar(),
            tools=parse_tools(self.tools, self.tool_choice, is_parallel=self.parallel_tool_calls),
            template_options={**self.chat_template_kwargs, **effort},
            caller=self.on_behalf_of(caller),
            cache_salt=self.cache_salt,
            id_prefix="chatcmpl",
        )
