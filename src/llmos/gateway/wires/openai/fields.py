"""What requests in OpenAI's formats have in common: the sampling fields, and those that we refuse by name."""

from typing import Annotated, Any

from msgspec import Meta, field

from llmos.core.errors import BadRequest
from llmos.engine.checkpoint.recommended import RECOMMENDABLE
from llmos.engine.messages import SamplingParams
from llmos.gateway.calls.call import Sampling
from llmos.gateway.http.requests import Int64, RequestObject, Unsupported
from llmos.security.callers import Caller

MAX_CHOICES = 1024

HARMLESS = frozenset(
    {
        "metadata", "safety_identifier", "prompt_cache_key", "prompt_cache_retention", "prompt_cache_options",
        "prediction",
    }
)  # fmt: skip
"""They change what is kept of the request, or where it is cached, never the answer."""

UNSUPPORTED = {
    "store": Unsupported("answers are not kept yet. Leave it out.", (False,)),
    "service_tier": Unsupported("there is one tier. Leave it out.", ("auto", "default")),
}


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


class StreamOptions(RequestObject, kw_only=True):
    include_usage: bool = False
    """One more event before the end, without choices, carries the usage."""

    harmless = frozenset({"include_obfuscation"})


class StreamFields(SamplingFields, kw_only=True):
    """The fields of a request that may be streamed and may ask for several choices."""

    n: Annotated[int, Meta(ge=1, le=128)] = 1
    stream: bool = False
    stream_options: StreamOptions | None = None

    @property
    def wants_usage_event(self) -> bool:
        return self.stream_options is not None and self.stream_options.include_usage

    def check_stream(self) -> None:
        """Raises BadRequest for options of a stream where none was asked for."""
        if self.stream_options is not None and not self.stream:
            raise BadRequest(
                "`stream_options` is for streams: set `stream` to true, or leave it out.", param="stream_options"
            )
