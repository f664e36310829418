"""Request fields that several APIs share: the caller, sampling, and texts to embed."""

from typing import Annotated, Any

from msgspec import Meta, field

from llmos.core.errors import BadRequest
from llmos.engine.checkpoint.recommended import RECOMMENDABLE
from llmos.engine.messages import SamplingParams
from llmos.gateway.calls.call import Sampling
from llmos.gateway.http.requests import NOT_EMPTY, Int64, RequestObject
from llmos.security.callers import Caller

MAX_CHOICES = 1024
"""The most choices of one call, over all its prompts."""


ONE_SAMPLER = "this sampler is not supported. Leave it out; temperature, top_k, top_p and min_p are supported."
"""Advice for the parameters of other samplers."""

PENALTY_WINDOW = "penalties apply to the whole prompt and answer. Leave it out."
"""Advice for the length of the text that penalties apply to."""


class CallerFields(RequestObject, kw_only=True):
    """The user and the priority of a call. They never change the answer, only its time."""

    user: Annotated[str, Meta(max_length=512)] = ""
    """Your end user on whose behalf the call is made. Under load, users take turns."""
    cache_salt: Annotated[str, Meta(max_length=512)] = ""
    """Requests share cached prompt prefixes only with requests of the same project and salt."""
    priority: Annotated[int, Meta(ge=-100, le=100)] = 0
    """Calls of higher priority run first. The priority of a waiting call rises with time."""

    def on_behalf_of(self, caller: Caller) -> Caller:
        """Return the caller with the user and the priority of this request."""
        return caller.on_behalf_of(self.user, self.priority)


class SamplingFields(CallerFields, kw_only=True):
    """Sampling parameters. OpenAI's client sends the fields that it does not know in `extra_body`.

    A field that is null has the value that the model's authors recommend, which `llmos show MODEL` prints.
    """

    temperature: float | None = None
    top_p: float | None = None
    top_k: Annotated[int, Int64] | None = None
    """0, or -1 as in vLLM: all tokens."""
    min_p: float | None = None
    repetition_penalty: float | None = None
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    logit_bias: dict[Annotated[int, Int64], float] = field(default_factory=dict)
    seed: Annotated[int, Int64] | None = None
    stop: Annotated[str, NOT_EMPTY] | list[Annotated[str, NOT_EMPTY]] = field(default_factory=list)
    stop_token_ids: list[Annotated[int, Int64]] = field(default_factory=list)
    ignore_eos: bool = False
    include_stop: bool = False
    min_tokens: Annotated[int, Int64] = 0

    def sampling(self, **more: Any) -> Sampling:
        """Return the sampling parameters. `more`: fields of SamplingParams that the API names otherwise."""
        given = {name: value for name in RECOMMENDABLE if (value := getattr(self, name)) is not None}
        if self.top_k == -1:
            given["top_k"] = 0
        params = SamplingParams(
            may_exceed_context=True,
            presence_penalty=self.presence_penalty,
            frequency_penalty=self.frequency_penalty,
            logit_bias=self.logit_bias,
            seed=self.seed,
            stop=[self.stop] if isinstance(self.stop, str) else self.stop,
            stop_token_ids=self.stop_token_ids,
            ignore_eos=self.ignore_eos,
            include_stop=self.include_stop,
            min_tokens=self.min_tokens,
            **more,
            **given,
        )
        limit = set() if params.max_tokens is None else {"max_tokens"}
        return Sampling(params, frozenset(given) | limit)


class TextsFields(RequestObject, kw_only=True):
    """The fields of requests that turn texts into vectors."""

    model: str
    """A route or a model. GET /v1/models lists them."""
    truncate: bool = False
    """Cut a text that is too long. Otherwise it is an error that says by how many tokens it is too long."""
    truncate_prompt_tokens: Annotated[int, Int64] | None = None
    """Cut each text to this many tokens. -1: to the model's limit."""
    user: Annotated[str, Meta(max_length=512)] = ""
    """Your end user on whose behalf the call is made. Under load, users take turns."""
    priority: Annotated[int, Meta(ge=-100, le=100)] = 0
    """Calls of higher priority run first. The priority of a waiting call rises with time."""

    def on_behalf_of(self, caller: Caller) -> Caller:
        """Return the caller with the user and the priority of this request."""
        return caller.on_behalf_of(self.user, self.priority)

    def truncate_to(self) -> int | None:
        """Return `truncate_to` as EmbedCall has it. Raises BadRequest for an invalid limit."""
        limit = self.truncate_prompt_tokens
        if limit is None:
            return 0 if self.truncate else None
        if limit < 1 and limit != -1:
            raise BadRequest(
                f"`truncate_prompt_tokens` is {limit}; it accepts 1 or more, or -1 for the model's limit.",
                param="truncate_prompt_tokens",
            )
        return max(limit, 0)


class ComparedTextsFields(TextsFields, kw_only=True):
    """The fields of requests that compare texts."""

    instruction: Annotated[str, Meta(min_length=1, max_length=8192)] | None = None
    """Tells a reranker that follows instructions, such as Qwen3-Reranker, what a relevant document is."""
