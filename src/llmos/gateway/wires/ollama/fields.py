"""Request fields that Ollama's APIs share: model, options, format and keep_alive."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

import msgspec
from msgspec import Meta

from llmos.core.errors import BadRequest
from llmos.engine.messages import Grammar, SamplingParams
from llmos.gateway.calls.call import Sampling
from llmos.gateway.calls.grammars import json_object, json_schema
from llmos.gateway.calls.pipeline import Pipeline
from llmos.gateway.http.fields import CallerFields
from llmos.gateway.http.requests import Int64, RequestObject, Unsupported

NO_IMAGES = Unsupported("the model reads text only. Leave it out, or describe the picture in words.", ([],))

_DURATION = re.compile(r"[+-]?(\d+(\.\d+)?(ns|us|µs|ms|s|m|h)?)+")

_ALL_THE_ROOM = (-1, -2)
"""What num_predict is where the answer may be as long as the context window has room for."""

_PENALTIES = "the penalties look at the whole prompt and answer. Leave it out."

_ONE_SAMPLER = "it is not among the ways to choose tokens here. Leave it out; temperature, top_p and min_p are."


def strip_latest(name: str) -> str:
    """Return the name without the tag that Ollama's clients write behind one that has none."""
    return name.removesuffix(":latest")


class Options(RequestObject, kw_only=True):
    """How tokens are chosen. Without a word, as the model's makers recommend (`llmos show MODEL` says what)."""

    num_predict: Annotated[int, Int64] = -1
    """Tokens of the answer at most; -1 and -2: as many as the context window has room for."""
    num_ctx: Annotated[int, Meta(ge=1)] | None = None
    """The context window that is needed. The model's whole window is always there."""
    temperature: float | None = None
    top_k: Annotated[int, Int64] | None = None
    top_p: float | None = None
    min_p: float | None = None
    repeat_penalty: float | None = None
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    seed: Annotated[int, Int64] = -1
    """-1: another one each time."""
    stop: str | list[str] = msgspec.field(default_factory=list)

    # How the model is loaded, which is settled here; and what only counts together with a field that is refused.
    harmless: ClassVar = frozenset(
        {
            "numa", "num_batch", "num_gpu", "main_gpu", "low_vram", "f16_kv", "logits_all", "vocab_only", "use_mmap",
            "use_mlock", "embedding_only", "num_thread", "num_keep", "mirostat_tau", "mirostat_eta",
        }
    )  # fmt: skip
    unsupported: ClassVar = {
        "mirostat": Unsupported(_ONE_SAMPLER, (0,)),
        "tfs_z": Unsupported(_ONE_SAMPLER, (1,)),
        "typical_p": Unsupported(_ONE_SAMPLER, (1,)),
        "repeat_last_n": Unsupported(_PENALTIES, (-1,)),
        "penalize_newline": Unsupported(_PENALTIES, (True,)),
    }

    def sampling(self, logprobs: int | None) -> Sampling:
        """Raises BadRequest for a num_predict that can't be meant; the engine looks at the rest."""
        if self.num_predict < 1 and self.num_predict not in _ALL_THE_ROOM:
            raise BadRequest(
                f"`options.num_predict` is {self.num_predict:,}; it takes a number from 1 up, or -1 for all the room.",
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
            max_tokens=None if self.num_predict in _ALL_THE_ROOM else self.num_predict,
            may_exceed_context=True,
            presence_penalty=self.presence_penalty,
            frequency_penalty=self.frequency_penalty,
            seed=None if self.seed == -1 else self.seed,
            stop=[self.stop] if isinstance(self.stop, str) else self.stop,
            logprobs=logprobs,
            **given,  # type: ignore[arg-type]
        )
        return Sampling(params, frozenset(given))

    def check_window(self, context_length: int | None) -> None:
        """Raises BadRequest where more is needed than the model has."""
        if self.num_ctx is not None and context_length is not None and self.num_ctx > context_length:
            raise BadRequest(
                f"`options.num_ctx` is {self.num_ctx:,}; the model's context window has {context_length:,} tokens."
                " Lower it, or leave it out: the whole window is always there.",
                param="options.num_ctx",
            )


class ModelFields(CallerFields, kw_only=True):
    """The fields of a request that needs a model."""

    model: str
    """A Route or a model; `NAME:latest` is NAME."""
    keep_alive: float | str | None = None
    """0: stop the model after the answer, unless others wait for it. It stays otherwise, however long was asked for."""

    @property
    def must_unload(self) -> bool:
        """The model is to go when the answer is whole. Raises BadRequest for a keep_alive that is no time."""
        if isinstance(self.keep_alive, str):
            if not _DURATION.fullmatch(self.keep_alive):
                raise BadRequest(
                    f"`keep_alive` is {self.keep_alive[:80]!r}; it takes seconds, or a text such as 5m or 1h30m.",
                    param="keep_alive",
                )
            return not re.search("[1-9]", self.keep_alive)
        return self.keep_alive == 0


class RunFields(ModelFields, kw_only=True):
    """The fields of a request that is answered with text."""

    stream: bool = True
    format: str | dict[str, Any] = ""
    """`json`, or a JSON schema: what the answer must be."""
    options: Options = msgspec.field(default_factory=Options)
    think: bool | str | None = None
    """Whether the model thinks before it answers, where its template knows that."""
    logprobs: bool = False
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] = 0

    objects: ClassVar[Mapping[str, type[RequestObject]]] = {"options": Options}
    unsupported: ClassVar[Mapping[str, Unsupported]] = {
        "truncate": Unsupported("a prompt that is too long is refused, never cut. Leave it out.", (False,)),
        "shift": Unsupported("a full context window ends the answer. Leave it out.", (False,)),
    }

    def sampling(self) -> Sampling:
        if self.top_logprobs and not self.logprobs:
            raise BadRequest("`top_logprobs` needs `logprobs` set to true.", param="top_logprobs")
        return self.options.sampling(self.top_logprobs if self.logprobs else None)

    def grammar(self) -> Grammar | None:
        if isinstance(self.format, dict):
            return json_schema(self.format, "format")
        if self.format not in ("", "json"):
            raise BadRequest(f"`format` is {self.format[:80]!r}; it takes json or a JSON schema.", param="format")
        return json_object("format") if self.format else None

    def template_options(self) -> dict[str, Any]:
        if isinstance(self.think, str):
            if self.think not in ("low", "medium", "high"):
                raise BadRequest(
                    f"`think` is {self.think[:80]!r}; it takes true, false, low, medium or high.", param="think"
                )
            return {"enable_thinking": True, "reasoning_effort": self.think}
        return {} if self.think is None else {"enable_thinking": self.think}

    async def check(self, pipeline: Pipeline) -> None:
        """Raises BadRequest for what the model can't do, and ModelNotFound. Of a provider's model nothing is known."""
        backend = await pipeline.backend(strip_latest(self.model))
        self.options.check_window(backend.served.context_length)
        if self.think and (metadata := await backend.metadata()) is not None and not metadata.supports_thinking:
            raise BadRequest(
                f"{backend.served.ref} doesn't think before it answers: its chat template knows no such thing."
                " Leave `think` out.",
                param="think",
            )
