"""The request of POST /llmos/v1/likelihood."""

from typing import Annotated, Any, ClassVar

from msgspec import Meta, field

from llmos.core.errors import BadRequest
from llmos.engine.messages import MAX_CONTINUATIONS, MAX_TOP
from llmos.gateway.calls.call import Prompt
from llmos.gateway.calls.conversation import check_numbers
from llmos.gateway.calls.field_names import FieldNames
from llmos.gateway.calls.rating import Normalize, RateCall, check_continuations
from llmos.gateway.http.fields import CallerFields
from llmos.gateway.http.requests import NOT_EMPTY, Unsupported, described
from llmos.gateway.wires.openai.chat.messages import Message, to_template
from llmos.gateway.wires.openai.chat.tools import TOOLS, Tool, parse_tools
from llmos.gateway.wires.openai.fields import TokenId
from llmos.security.callers import Caller

_FIELD_NAMES = {"num_top": "top", "scores_prompt": "score_prompt"}
_GENERATES = "nothing is generated here. Leave it out."


class LikelihoodRequest(CallerFields, kw_only=True):
    model: str
    """A route or a model. GET /llmos/v1/models lists the models."""
    messages: list[Message] | None = None
    """A conversation, which the model's chat template renders. Either this, `prompt` or `tokens`."""
    prompt: str | None = None
    """A text, without a chat template."""
    tokens: list[TokenId] | None = None
    """A prompt as token ids."""
    continuations: Annotated[
        list[Annotated[str, NOT_EMPTY] | Annotated[list[TokenId], NOT_EMPTY]], described(maxItems=MAX_CONTINUATIONS)
    ] = field(default_factory=list)
    """Texts, or lists of token ids, each of which is scored directly behind the prompt. At most 1,000."""
    score_prompt: bool = False
    """Score the prompt's own tokens, too."""
    top: Annotated[int, Meta(ge=0, le=MAX_TOP)] = 0
    """Return this many of the most likely tokens at each position."""
    normalize: Normalize = "none"
    """Divides log probabilities by the number of tokens or bytes of an option before options are compared."""
    parse_special: bool = True
    """Control strings, such as <|im_end|>, in `prompt` and in continuations of it are control tokens. Otherwise, and
    behind `messages` and `tokens`, they are text."""
    tools: list[Tool] = field(default_factory=list)
    """The tools of the conversation."""
    continue_final_message: bool = False
    """The last message is the beginning of the answer, which the continuations go on with."""
    chat_template_kwargs: dict[str, Any] = field(default_factory=dict)
    """More variables for the model's chat template, such as enable_thinking."""

    lists: ClassVar = {"messages": Message}
    variants: ClassVar = {"tools": TOOLS}
    unsupported: ClassVar = {
        "stream": Unsupported("the scores come at once. Leave it out.", (False,)),
        "max_tokens": Unsupported(_GENERATES, (0,)),
        "temperature": Unsupported("the scores are those of the model itself. Leave it out.", (1,)),
        "logprobs": Unsupported("send `top`.", (False,)),
        "echo": Unsupported("send `score_prompt`.", (False,)),
    }

    def call(self, caller: Caller) -> RateCall:
        """Return the call that this request makes. Raises BadRequest for fields that contradict each other."""
        check_continuations(self.continuations, "continuations", may_be_empty=self.score_prompt)
        check_numbers(self.chat_template_kwargs, "chat_template_kwargs")
        names = _FIELD_NAMES if self.tokens is None else {**_FIELD_NAMES, "prompt": "tokens"}
        return RateCall(
            model=self.model,
            prompt=self._prompt(),
            continuations=self.continuations,
            scores_prompt=self.score_prompt,
            num_top=self.top,
            tools=parse_tools(self.tools, None, is_parallel=True),
            template_options=self.chat_template_kwargs,
            caller=self.on_behalf_of(caller),
            cache_salt=self.cache_salt,
            field_names=FieldNames(names),
        )

    def _prompt(self) -> Prompt:
        given = [name for name in ("messages", "prompt", "tokens") if getattr(self, name) is not None]
        if len(given) != 1:
            raise BadRequest(
                f"The request has {' and '.join(f'`{name}`' for name in given) or 'no prompt'};"
                " send exactly one of `messages`, `prompt` and `tokens`.",
                param=given[-1] if given else "messages",
            )
        if self.continue_final_message and self.messages is None:
            raise BadRequest(
                "`continue_final_message` needs `messages`; a text goes on anyway.", param="continue_final_message"
            )
        if self.messages is not None:
            return Prompt(messages=to_template(self.messages), continues=self.continue_final_message)
        return Prompt(text=self.prompt, parse_special=self.parse_special, tokens=self.tokens)
