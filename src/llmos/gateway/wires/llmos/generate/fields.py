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
    """A Route or a model: GET /llmos/v1/models lists them."""
    prompt: str
    raw: bool = False
    """Continue the prompt as it stands. Otherwise it is what a user says, wherever the model has a chat template."""
    max_tokens: Annotated[int, Int64] | None = None
    """Without it, as many as the context window has room for."""
    stream: bool = False
    format: Format | None = None
    """What the text must be."""

    objects: ClassVar = {"format": Format}
    unsupported: ClassVar = {
        "response_format": Unsupported('its name is `format`: {"json_schema": …}.', ({"type": "text"},)),
        "n": Unsupported("there is one text an answer. /v1/completions gives several.", (1,)),
        "messages": Unsupported("this takes a `prompt`. /v1/chat/completions takes messages."),
        "logprobs": Unsupported("/v1/completions gives them.", (False,)),
        "echo": Unsupported("/v1/completions gives it.", (False,)),
    }

    def call(self, caller: Caller) -> Call:
        prompt = Prompt(text=self.prompt) if self.raw else Prompt(user_text=self.prompt)
        return Call(
            model=self.model,
            prompts=[prompt],
            sampling=self.sampling(max_tokens=self.max_tokens),
            grammar=self.format.grammar() if self.format is not None else None,
            caller=self.on_behalf_of(caller),
            cache_salt=self.cache_salt,
            id_prefix="gen",
        )
