"""The requests of POST /v1/tokenize and /v1/detokenize."""

from typing import Any, ClassVar

from msgspec import field

from llmos.core.errors import BadRequest
from llmos.engine.messages import SamplingParams
from llmos.gateway.calls.call import Call, Prompt, Sampling
from llmos.gateway.calls.conversation import check_numbers
from llmos.gateway.calls.field_names import FieldNames
from llmos.gateway.http.fields import CallerFields
from llmos.gateway.http.requests import Unsupported
from llmos.gateway.wires.openai.chat.messages import Message, to_template
from llmos.gateway.wires.openai.chat.tools import TOOLS, Tool, parse_tools
from llmos.gateway.wires.openai.fields import TokenId
from llmos.security.callers import Caller


class TokenizeRequest(CallerFields, kw_only=True):
    model: str
    """A route or a model. GET /v1/models lists them."""
    prompt: str | None = None
    """A text. Either this or `messages`."""
    messages: list[Message] | None = None
    """A conversation, which the model's chat template renders."""
    tools: list[Tool] = field(default_factory=list)
    """The tools of the conversation."""
    add_special_tokens: bool | None = None
    """Begin a text as the model's prompts begin, which is the default. Templates write that themselves."""
    parse_special: bool = True
    """Control strings in a text, such as <|im_end|>, are control tokens, as in /v1/completions."""
    add_generation_prompt: bool = True
    """End a conversation with the beginning of an answer."""
    continue_final_message: bool = False
    """The last message is the beginning of the answer."""
    chat_template_kwargs: dict[str, Any] = field(default_factory=dict)
    """More variables for the model's chat template, such as enable_thinking."""
    return_token_strs: bool = False

    lists: ClassVar = {"messages": Message}
    variants: ClassVar = {"tools": TOOLS}
    unsupported: ClassVar = {
        "chat_template": Unsupported("the model's own template is always used. Send a rendered `prompt` instead."),
        "mm_processor_kwargs": Unsupported("this server supports text only."),
    }

    def call(self, caller: Caller) -> Call:
        """Return the call whose prompt is to be encoded. Raises BadRequest for fields that contradict each other."""
        if (self.prompt is None) == (self.messages is None):
            raise BadRequest("Send either a `prompt` or `messages`.", param="prompt")
        if self.continue_final_message and self.add_generation_prompt and self.messages is not None:
            raise BadRequest(
                "`continue_final_message` needs `add_generation_prompt` to be false: an answer begins or goes on.",
                param="continue_final_message",
            )
        check_numbers(self.chat_template_kwargs, "chat_template_kwargs")
        return Call(
            model=self.model,
            prompts=[self._prompt()],
            sampling=Sampling(SamplingParams()),
            tools=parse_tools(self.tools, None, is_parallel=True),
            template_options=self.chat_template_kwargs,
            caller=self.on_behalf_of(caller),
            id_prefix="tokenize",
        )

    def _prompt(self) -> Prompt:
        if self.messages is None:
            return Prompt(text=self.prompt, parse_special=self.parse_special)
        return Prompt(messages=to_template(self.messages), continues=self.continue_final_message)


class DetokenizeRequest(CallerFields, kw_only=True):
    model: str
    """A route or a model. GET /v1/models lists them."""
    tokens: list[TokenId]

    def call(self, caller: Caller) -> Call:
        """Return the call whose prompt is to be decoded."""
        return Call(
            model=self.model,
            prompts=[Prompt(tokens=self.tokens)],
            sampling=Sampling(SamplingParams()),
            caller=self.on_behalf_of(caller),
            field_names=FieldNames({"prompt": "tokens"}),
            id_prefix="tokenize",
        )
