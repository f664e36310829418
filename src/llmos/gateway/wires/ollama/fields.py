"""Request fields that Ollama's APIs share: model, options, format and keep_alive."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

import msgspec
from msgspec import Meta

from llmos.core.errors import BadRequest
from llmos.engine.messages import Grammar, SamplingParams
from llmos.engine.sampling_params import check_sampling
from llmos.gateway.calls.applications import app_of
from llmos.gateway.calls.call import Sampling
from llmos.gateway.calls.field_names import FieldNames
from llmos.gateway.calls.grammars import json_object, json_schema
from llmos.gateway.calls.pipeline import Pipeline
from llmos.gateway.http.fields import ONE_SAMPLER, PENALTY_WINDOW, CallerFields
from llmos.gateway.http.ignored import IgnoredFields
from llmos.gateway.http.requests import NOT_EMPTY, Hint, Int64, RequestObject, Unsupported, described
from llmos.security.callers import Caller
from llmos.security.permissions import Permission

NO_IMAGES = Unsupported("the model reads text only. Leave it out, or describe the image in words.", ([],))

_DURATION = re.compile(r"[+-]?(\d+(\.\d+)?(ns|us|µs|ms|s|m|h)?)+")

_NO_LIMIT = 2**62
"""Tokens of a vocabulary, and of a context window, of a model that isn't asked yet."""

_UNLIMITED = (-1, -2)
"""Values of num_predict that stand for no limit but the context window."""

OPTION_NAMES = {
    "max_tokens": "options.num_predict",
    "repetition_penalty": "options.repeat_penalty",
    "chat_template_kwargs": "think",
    "enable_thinking": "think",
    "reasoning_effort": "think",
    "logprobs": "top_logprobs",
    **{
        name: f"options.{name}"
        for name in ("temperature", "top_k", "top_p", "min_p", "presence_penalty", "frequency_penalty", "stop", "seed")
    },
}


def strip_latest(name: str) -> str:
    """Return the name without the tag `:latest`, which Ollama's clients add to names without a tag."""
    return name.removesuffix(":latest")


class Options(RequestObject, kw_only=True):
    """Sampling options. Defaults are the model's own; `llmos show MODEL` prints them."""

    num_predict: Annotated[int, Int64] | None = None
    """The most tokens of the answer. -1 and -2: no limit but the context window."""
    num_ctx: Annotated[int, Meta(ge=1)] | None = None
    """The context window that the caller asks for. The model's whole window is always available, and never more."""
    temperature: float | None = None
    top_k: Annotated[int, Int64] | None = None
    top_p: float | None = None
    min_p: float | None = None
    repeat_penalty: float | None = None
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    seed: Annotated[int, Int64] = -1
    """-1: a new seed for every request."""
    stop: Annotated[str, NOT_EMPTY] | list[Annotated[str, NOT_EMPTY]] = msgspec.field(default_factory=list)

    # Options of loading, which the server decides, and options that only matter together with an unsupported one.
    harmless: ClassVar = frozenset(
        {
            "numa", "num_batch", "num_gpu", "main_gpu", "low_vram", "f16_kv", "logits_all", "vocab_only", "use_mmap",
            "use_mlock", "embedding_only", "num_thread", "num_keep", "mirostat_tau", "mirostat_eta",
        }
    )  # fmt: skip
    unsupported: ClassVar = {
        "mirostat": Unsupported(ONE_SAMPLER, (0,)),
        "reasoning_effort": Hint(),
        "tfs_z": Unsupported(ONE_SAMPLER, (1,)),
        "typical_p": Unsupported(ONE_SAMPLER, (1,)),
        "repeat_last_n": Unsupported(PENALTY_WINDOW, (-1,)),
        "penalize_newline": Unsupported(PENALTY_WINDOW, (True,)),
    }

    def sampling(self, logprobs: int | None) -> Sampling:
        """Return the sampling parameters. Raises BadRequest for an invalid num_predict."""
        limit = None if self.num_predict in _UNLIMITED else self.num_predict
        if limit is not None and limit < 1:
            raise BadRequest(
                f"`options.num_predict` is {limit:,}; it accepts 1 or more, or -1 for no limit.",
                param="options.num_predict",
            )
        named = {
            "temperature": self.temperature,
            "top_k": self.top_k,
            "top_p": self.top_p,
            "min_p": self.min_p,
            "repetition_penalty": self.repeat_penalty,
        }
        given = {name: value for name, value in named.items() if value is not None}
        params = SamplingParams(
            max_tokens=limit,
            may_exceed_context=True,
            presence_penalty=self.presence_penalty,
            frequency_penalty=self.frequency_penalty,
            seed=None if self.seed == -1 else self.seed,
            stop=[self.stop] if isinstance(self.stop, str) else self.stop,
            logprobs=logprobs,
            **given,  # type: ignore[arg-type]
        )
        return Sampling(params, frozenset(given) | ({"max_tokens"} if self.num_predict is not None else set()))

    def exceeds_window(self, context_length: int | None) -> bool:
        """Return whether the caller asks for a larger context window than the model has."""
        return self.num_ctx is not None and context_length is not None and self.num_ctx > context_length


class ModelFields(CallerFields, kw_only=True):
    """The fields of every request to a model."""

    model: str
    """A route or a model. `NAME:latest` means NAME."""
    keep_alive: float | Annotated[str, described(pattern=f"^{_DURATION.pattern}$")] | None = None
    """0: unload the model after the answer, unless other calls wait for it. Any other value keeps it loaded."""

    @property
    def must_unload(self) -> bool:
        """True if the model is to be unloaded after the answer. Raises BadRequest for an invalid keep_alive."""
        if isinstance(self.keep_alive, str):
            if not _DURATION.fullmatch(self.keep_alive):
                raise BadRequest(
                    f"`keep_alive` is {self.keep_alive[:80]!r}; it accepts seconds, or a duration such as 5m or 1h30m.",
                    param="keep_alive",
                )
            return not re.search("[1-9]", self.keep_alive)
        return self.keep_alive == 0

    def check_unload(self, caller: Caller) -> bool:
        """Return must_unload. Raises PermissionDenied if the caller may not unload models."""
        if self.must_unload:
            caller.check(Permission.DEPLOYMENTS_WRITE)
        return self.must_unload


class GenerateFields(ModelFields, kw_only=True):
    """The fields of a request that generates text."""

    stream: bool = True
    format: Annotated[str, described(enum=["", "json"])] | dict[str, Any] = ""
    """The form of the answer: `json`, or a JSON schema."""
    options: Options = msgspec.field(default_factory=Options)
    think: bool | Annotated[str, described(enum=["low", "medium", "high"])] | None = None
    """Turns reasoning on or off, if the model's chat template supports that."""
    logprobs: bool = False
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] = 0

    objects: ClassVar[Mapping[str, type[RequestObject]]] = {"options": Options}
    unsupported: ClassVar[Mapping[str, Unsupported]] = {
        "truncate": Unsupported("a prompt that is too long is an error and never cut. Leave it out.", (False,)),
        "shift": Unsupported("a full context window ends the answer. Leave it out.", (False,)),
    }

    def sampling(self) -> Sampling:
        """Return the sampling parameters. Raises BadRequest for invalid ones."""
        if self.top_logprobs and not self.logprobs:
            raise BadRequest("`top_logprobs` requires `logprobs` to be true.", param="top_logprobs")
        return self.options.sampling(self.top_logprobs if self.logprobs else None)

    def grammar(self) -> Grammar | None:
        """Return the grammar that `format` stands for. Raises BadRequest for an invalid format."""
        if isinstance(self.format, dict):
            return json_schema(self.format, "format")
        if self.format not in ("", "json"):
            raise BadRequest(f"`format` is {self.format[:80]!r}; it accepts json or a JSON schema.", param="format")
        return json_object("format") if self.format else None

    def template_options(self) -> dict[str, Any]:
        """Return the variables of the chat template that `think` stands for."""
        if isinstance(self.think, str):
            if self.think not in ("low", "medium", "high"):
                raise BadRequest(
                    f"`think` is {self.think[:80]!r}; it accepts true, false, low, medium or high.", param="think"
                )
            return {"enable_thinking": True, "reasoning_effort": self.think}
        return {} if self.think is None else {"enable_thinking": self.think}

    def check_fields(self) -> None:
        """Raise BadRequest for fields that are invalid whatever is asked, also where nothing is: to load a model."""
        self.grammar()
        self.template_options()
        try:
            check_sampling(self.sampling().params, _NO_LIMIT, _NO_LIMIT)
        except BadRequest as error:
            FieldNames(OPTION_NAMES).rename(error)
            raise

    async def check(self, pipeline: Pipeline, ignored: IgnoredFields) -> None:
        """Raise BadRequest for options that the model does not support. Nothing is known of a provider's model.

        `ignored` gets the options that ask for more than the model has.
        """
        if app_of(self.model) is not None:
            return  # It has options of its own, and says which of these have no effect.
        backend = await pipeline.backend(strip_latest(self.model))
        if self.options.exceeds_window(backend.served.context_length):
            ignored.add("options.num_ctx")
        if self.think and (metadata := await backend.metadata()) is not None and not metadata.supports_thinking:
            raise BadRequest(
                f"{backend.served.ref} does not support reasoning: its chat template has no option for it."
                " Leave `think` out.",
                param="think",
            )
