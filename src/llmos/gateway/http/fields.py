"""Request fields that several APIs share: the caller, sampling, and texts to embed."""

from typing import Annotated, Any

from msgspec import Meta, field

from llmos.core.errors import BadRequest
from llmos.engine.checkpoint.recommended import RECOMMENDABLE
from llmos.engine.messages import SamplingParams
from llmos.gateway.calls.call import Sampling
from llmos.gateway.http.requests import Int64, RequestObject
from llmos.security.callers import Caller

MAX_CHOICES = 1024


class CallerFields(RequestObject, kw_only=True):
    """Who asks, and how urgently, in every format. Never changes the answer, only when it comes."""

    user: Annotated[str, Meta(max_length=512)] = ""
    """Which of your own users asks: under load they take turns."""
    cache_salt: Annotated[str, Meta(max_length=512)] = ""
    """The beginning of a prompt is computed once for all requests of the same salt, and of the same key."""
    priority: Annotated[int, Meta(ge=-100, le=100)] = 0
    """The higher goes first; whoever waits long rises."""

    def on_behalf_of(self, caller: Caller) -> Caller:
        """Return the caller with the user and the priority of this request."""
        return caller.on_behalf_of(self.user, self.priority)


class SamplingFields(CallerFields, kw_only=True):
    """How tokens are chosen, in every format. What is beyond OpenAI's own fields goes into the client's extra_body.

    Those that may be None are then what the model's makers recommend (`llmos show MODEL` says what), if they do.
    """

    temperature: float | None = None
    top_p: float | None = None
    top_k: Annotated[int, Int64] | None = None
    """0: all."""
    min_p: float | None = None
    repetition_penalty: float | None = None
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    logit_bias: dict[Annotated[int, Int64], float] = field(default_factory=dict)
    seed: Annotated[int, Int64] | None = None
    stop: str | list[str] = field(default_factory=list)
    stop_token_ids: list[Annotated[int, Int64]] = field(default_factory=list)
    ignore_eos: bool = False
    include_stop: bool = False
    min_tokens: Annotated[int, Int64] = 0

    def sampling(self, **more: Any) -> Sampling:
        given = {name: value for name in RECOMMENDABLE if (value := getattr(self, name)) is not None}
        params = SamplingParams(
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
        return Sampling(params, frozenset(given))


class TextsFields(RequestObject, kw_only=True):
    """What all requests have in common that read texts and write none."""

    model: str
    """A Route or a model: GET /v1/models lists them."""
    truncate: bool = False
    """Leave out the end of a text that is too long. Without it, that is an error which says by how much."""
    truncate_prompt_tokens: Annotated[int, Int64] | None = None
    """Leave out what is beyond so many tokens of a text. -1: what is beyond the model's limit."""
    user: Annotated[str, Meta(max_length=512)] = ""
    """Which of your own users asks: under load they take turns."""
    priority: Annotated[int, Meta(ge=-100, le=100)] = 0
    """The higher goes first; whoever waits long rises."""

    def on_behalf_of(self, caller: Caller) -> Caller:
        return caller.on_behalf_of(self.user, self.priority)

    def truncate_to(self) -> int | None:
        """Return what EmbedCall calls so. Raises BadRequest."""
        limit = self.truncate_prompt_tokens
        if limit is None:
            return 0 if self.truncate else None
        if limit < 1 and limit != -1:
            raise BadRequest(
                f"`truncate_prompt_tokens` is {limit}; it takes a number from 1 up, or -1 for the model's limit.",
                param="truncate_prompt_tokens",
            )
        return max(limit, 0)
