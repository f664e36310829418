"""The request of POST /llmos/v1/generate."""

from typing import Annotated, Any, ClassVar

from llmos.engine.messages import Grammar
from llmos.gateway.calls.call import Call, Prompt
from llmos.gateway.calls.grammars import one_of
from llmos.gateway.http.fields import SamplingFields
from llmos.gateway.http.requests import Int64, RequestObject, Unsupported
from llmos.security.callers import Caller


class Format(RequestObject, kw_only=True):
    """A constraint on the text. Exactly one of these must be given."""

    json_schema: dict[str, Any] | None = None
    json_object: bool = False
    regex: str | None = None
    choice: list[str] | None = None
    lark: str | None = None

    def grammar(self) -> Grammar:
        """Return the grammar. Raises BadRequest unless exactly one constraint is given."""
        return one_of(
            "format",
            schema=self.json_schema,
            is_json_object=self.json_object,
            regex=self.regex,
            choice=self.choice,
            lark=self.lark,
        )


class GenerateRequest(SamplingFields, kw_only=True):
    model: str
    """A route or a model. GET /llmos/v1/models lists the models."""
    prompt: str
    raw: bool = False
    """Continue the prompt without a chat template. Otherwise it is a user's message, if the model has a template."""
    parse_special: bool = True
    """With `raw`: control strings in the prompt, such as <|im_end|>, are control tokens."""
    max_tokens: Annotated[int, Int64] | None = None
    """Without it, the limit is the context window."""
    stream: bool = False
    format: Format | None = None
    """The form of the text."""

    objects: ClassVar = {"format": Format}
    unsupported: ClassVar = {
        "response_format": Unsupported('use `format`: {"json_schema": …}.', ({"type": "text"},)),
        "n": Unsupported("an answer has one text. /v1/completions returns several.", (1,)),
        "messages": Unsupported("send a `prompt`. /v1/chat/completions accepts messages."),
        "logprobs": Unsupported("use /v1/completions.", (False,)),
        "echo": Unsupported("use /v1/completions.", (False,)),
    }

    def call(self, caller: Caller) -> Call:
        """Return the call that this request makes. Raises BadRequest for an invalid format."""
        raw = Prompt(text=self.prompt, parse_special=self.parse_special)
        prompt = raw if self.raw else Prompt(user_text=self.prompt)
        return Call(
            model=self.model,
            prompts=[prompt],
            sampling=self.sampling(max_tokens=self.max_tokens),
            grammar=self.format.grammar() if self.format is not None else None,
            caller=self.on_behalf_of(caller),
            cache_salt=self.cache_salt,
            id_prefix="gen",
        )
