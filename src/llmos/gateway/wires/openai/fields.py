"""Request fields that OpenAI's APIs share."""

from typing import Annotated, Any, ClassVar

from msgspec import Meta
from msgspec.structs import replace

from llmos.core.errors import BadRequest
from llmos.engine.messages import MAX_TOP
from llmos.gateway.calls.call import Sampling
from llmos.gateway.http.fields import ONE_SAMPLER, PENALTY_WINDOW, SamplingFields
from llmos.gateway.http.requests import Hint, RequestObject, Unsupported

TokenId = Annotated[int, Meta(ge=0, le=2**31 - 1)]

HINTS = {
    "metadata": Hint(({},)),
    "safety_identifier": Hint(),
    "prompt_cache_key": Hint(),
    "prompt_cache_retention": Hint(),
    "prompt_cache_options": Hint(),
    "prediction": Hint(),
    "store": Hint((False,)),
    "service_tier": Hint(("auto", "default")),
}
"""Fields about storing, caching and scheduling a request. They never change what the answer means."""


OLLAMA_OPTIONS: dict[str, Hint | Unsupported] = {
    **dict.fromkeys(("num_ctx", "num_batch", "num_keep", "num_gpu", "num_thread"), Hint()),
    **dict.fromkeys(("use_mmap", "use_mlock", "keep_alive"), Hint()),
    "mirostat": Unsupported(ONE_SAMPLER, (0,)),
    **dict.fromkeys(("mirostat_eta", "mirostat_tau"), Hint()),
    "tfs_z": Unsupported(ONE_SAMPLER, (1,)),
    "repeat_last_n": Unsupported(PENALTY_WINDOW, (-1,)),
    "think": Unsupported("send `reasoning_effort`."),
    "format": Unsupported("send `response_format`."),
}
"""Ollama's options, which Open WebUI sends to every server once its user sets them. Those of loading are hints."""


_SPACES = "a text is decoded as the model's tokenizer does it. Leave it out."

VLLM_OPTIONS = {
    "use_beam_search": Unsupported("tokens are sampled. Leave it out.", (False,)),
    "length_penalty": Unsupported("it belongs to beam search. Leave it out.", (1,)),
    "early_stopping": Unsupported("it belongs to beam search. Leave it out.", (False,)),
    "skip_special_tokens": Unsupported("control tokens are left out of texts. Leave it out.", (True,)),
    "spaces_between_special_tokens": Unsupported(_SPACES, (True,)),
    "include_stop_str_in_output": Unsupported("send `include_stop`.", (False,)),
}
"""vLLM's options, whose defaults some programs send with each request."""

NO_LIMIT = -1
"""The value of max_tokens that LM Studio and llama.cpp have for no limit."""


class StreamOptions(RequestObject, kw_only=True):
    include_usage: bool = False
    """Send the usage in an additional last event, which has no choices."""

    unsupported: ClassVar = {
        "include_obfuscation": Hint((False,)),
        "continuous_usage_stats": Hint((False,)),  # vLLM's: the usage comes in the last event
    }


class StreamFields(SamplingFields, kw_only=True):
    """The fields of a request that can be streamed and can return several choices."""

    n: Annotated[int, Meta(ge=1, le=128)] = 1
    stream: bool = False
    stream_options: StreamOptions | None = None
    prompt_logprobs: Annotated[int, Meta(ge=0, le=MAX_TOP)] | None = None
    """vLLM's: return the log probability of each token of the prompt, and those of this many most likely tokens."""
    repeat_penalty: float | None = None
    """The name that llama.cpp and Ollama have for repetition_penalty."""

    def sampling(self, **more: Any) -> Sampling:
        """Return the sampling parameters. Raises BadRequest for a penalty with two values."""
        if self.repeat_penalty is None:
            return super().sampling(**more)
        if self.repetition_penalty not in (None, self.repeat_penalty):
            raise BadRequest(
                "`repetition_penalty` and `repeat_penalty` are two names of one penalty and differ: send one of them.",
                param="repeat_penalty",
            )
        return SamplingFields.sampling(replace(self, repetition_penalty=self.repeat_penalty), **more)

    @property
    def wants_usage_event(self) -> bool:
        return self.stream_options is not None and self.stream_options.include_usage

    def check_stream(self) -> None:
        """Raise BadRequest for `stream_options` without `stream`, and for `prompt_logprobs` with it."""
        if self.stream_options is not None and not self.stream:
            raise BadRequest(
                "`stream_options` requires `stream` to be true. Set it, or leave `stream_options` out.",
                param="stream_options",
            )
        if self.prompt_logprobs is not None and self.stream:
            raise BadRequest(
                "`prompt_logprobs` can't be streamed. Leave `stream` out, or send `echo` with `logprobs` to"
                " /v1/completions.",
                param="prompt_logprobs",
            )
