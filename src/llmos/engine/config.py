"""How an engine is set up: what the owner may choose, and the one place where "not said" becomes a number."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from llmos.core.config import KNOWN_ISAS
from llmos.core.errors import BadRequest, Unavailable
from llmos.core.suggest import nearest

DEFAULT_TOKENS_PER_SEQUENCE = 1024
"""KV cache for each sequence that may run, when nobody says; a full cache preempts, it never fails."""

DEFAULT_MEMORY_SHARE = 0.25
"""Of the memory that is free, the part that the KV cache takes at most, when nobody says."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineConfig:
    max_batched_tokens: int = 512
    """Tokens that one forward pass may carry: decodes first, then chunks of prompts."""
    max_prefill_tokens: int = 256
    """Of these, chunks of prompts while somebody decodes: how long an answer may pause for others' prompts."""
    max_sequences: int = 64
    """Sequences that run at once; more wait their turn."""
    prefix_cache: bool = True
    """Keep what was computed as long as nobody needs the room, for prompts that begin with the same tokens."""
    max_draft_tokens: int = 8
    """Tokens that speculation proposes at most for each sequence in one step. 0 turns it off."""
    kv_bytes: int | None = None
    """Memory of the KV cache. None: enough for max_sequences of usual length, within a quarter of the free memory."""
    context_length: int | None = None
    """Tokens of prompt and answer together. None: all that the model was made for."""
    threads: int | None = None
    """Threads of the forward pass. None: one for each core."""
    isa: str | None = None
    """Force a kernel path. None: the best that the CPU has."""
    weights: Literal["auto", "f32", "int8", "int4"] = "auto"
    """What becomes of weights that the file has in 16 bits or more. "auto" and "int8": 8 bits, at less than 1 % more
    perplexity. "int4": the layers in 4 bits, rounded without having seen a token, which costs a small model a quarter
    more perplexity (benchmarks/quality.py, int4_rtn). For less than 5 %, make a 4-bit version of the model once, with
    `llmos quantize --scheme gptq`, and serve that with "auto"."""
    kv_dtype: Literal["int8", "f16", "f32"] = "int8"
    packed_folder: str | None = None
    """Where packed weights are kept, for all replicas to map. None: every replica packs its own, in its memory."""

    def __post_init__(self) -> None:
        for name in ("max_batched_tokens", "max_prefill_tokens", "max_sequences"):
            _check_count(name, getattr(self, name))
        _check_count("max_draft_tokens", self.max_draft_tokens, low=0)
        for name in ("kv_bytes", "context_length", "threads"):
            if getattr(self, name) is not None:
                _check_count(name, getattr(self, name))
        if not isinstance(self.prefix_cache, bool):
            raise BadRequest(f"prefix_cache is {self.prefix_cache!r}; it takes true or false.", param="prefix_cache")
        if self.packed_folder is not None and not (isinstance(self.packed_folder, str) and self.packed_folder):
            raise BadRequest(f"packed_folder is {self.packed_folder!r}; it takes a path.", param="packed_folder")
        _check_choice("weights", self.weights, ("auto", "f32", "int8", "int4"))
        _check_choice("kv_dtype", self.kv_dtype, ("int8", "f16", "f32"))
        if self.isa is not None:
            _check_choice("isa", self.isa, KNOWN_ISAS)
        if self.max_batched_tokens < self.max_sequences:
            raise BadRequest(
                f"max_batched_tokens is {self.max_batched_tokens} and max_sequences is {self.max_sequences}; "
                "a step must have room for one token of every sequence. Raise the first or lower the second.",
                param="max_batched_tokens",
            )

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> "EngineConfig":
        """Build a config from what a user wrote. Raises BadRequest naming the nearest option for an unknown one."""
        known = [field.name for field in dataclasses.fields(cls)]
        for name in options:
            if name not in known:
                close = nearest(name, known, limit=1)
                hint = f"Did you mean {close[0]}?" if close else f"There are {', '.join(known)}."
                raise BadRequest(f"The engine has no option {name}. {hint}", param=name)
        return cls(**options)


@dataclass(frozen=True, kw_only=True, slots=True)
class Capacity:
    """What a config comes to with one model on one machine."""

    num_blocks: int
    """Of the KV cache. Where they hold less than the context, the context is what they hold."""
    threads: int


def resolve(
    config: EngineConfig, *, free_bytes: int, num_cores: int, max_positions: int, block_bytes: int, block_size: int
) -> Capacity:
    """Settle everything that was not said. `free_bytes`: of memory, the weights already taken off.

    Raises BadRequest for what the model can't do, Unavailable for what the machine can't hold; both say the numbers.
    """
    context = config.context_length or max_positions
    if context > max_positions:
        raise BadRequest(
            f"context_length is {context:,}; the model was made for {max_positions:,} tokens at most. Lower it.",
            param="context_length",
        )
    if config.kv_bytes is not None:
        if config.kv_bytes > free_bytes:
            raise Unavailable(
                f"kv_bytes is {config.kv_bytes:,}; beside the weights {free_bytes:,} bytes of memory are free. "
                f"Lower it by {config.kv_bytes - free_bytes:,}, free some memory, or take a smaller model."
            )
        num_blocks = config.kv_bytes // block_bytes
    else:
        wanted = max(context, config.max_sequences * min(context, DEFAULT_TOKENS_PER_SEQUENCE))
        affordable = int(free_bytes * DEFAULT_MEMORY_SHARE) // block_bytes
        num_blocks = min(-(-wanted // block_size), affordable)
    if num_blocks * block_size < min(context, block_size * 2):
        raise Unavailable(
            f"The KV cache would have room for {num_blocks * block_size} tokens only: {block_size} tokens take "
            f"{block_bytes:,} bytes, and {free_bytes:,} bytes of memory are free. "
            "Free some memory, raise kv_bytes, or take a smaller model."
        )
    return Capacity(num_blocks=num_blocks, threads=config.threads or num_cores)


def _check_count(name: str, value: object, low: int = 1) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < low:
        raise BadRequest(f"{name} is {value!r}; it takes a whole number from {low} up.", param=name)


def _check_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise BadRequest(f"{name} is {value!r}; it takes one of {', '.join(choices)}.", param=name)
