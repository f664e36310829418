"""The engine's options, and how unset options are resolved for one model on one machine."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from llmos.core.config import KNOWN_ISAS
from llmos.core.errors import BadRequest, InsufficientMemory
from llmos.core.suggest import nearest

DEFAULT_TOKENS_PER_SEQUENCE = 1024
"""Tokens of KV cache per running sequence if kv_bytes is unset. A full cache preempts sequences; it never fails."""

DEFAULT_MEMORY_SHARE = 0.25
"""The largest share of the free memory that the KV cache takes if kv_bytes is unset."""

SNAPSHOTS_PER_SEQUENCE = 4
"""Snapshots of recurrent states for each of max_sequences if snapshot_bytes is unset."""

SNAPSHOT_MEMORY_SHARE = 0.125
"""The largest share of the free memory that these take, beside the KV cache."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineConfig:
    """The options of an engine. Raises BadRequest, naming the option, for a value that it doesn't take."""

    max_batched_tokens: int = 512
    """Most tokens in one forward pass: decoding sequences first, then chunks of prompts."""
    max_prefill_tokens: int = 256
    """Most prompt tokens in a pass that also decodes. Bounds how long other prompts delay a running answer."""
    max_sequences: int = 64
    """Most sequences that run at once; others wait."""
    prefix_cache: bool = True
    """Reuse the KV cache of earlier prompts that begin with the same tokens, until its blocks are needed."""
    max_draft_tokens: int = 8
    """Most tokens that speculation proposes for a sequence in one step. 0: no speculation."""
    kv_bytes: int | None = None
    """Memory for the KV cache. None: DEFAULT_TOKENS_PER_SEQUENCE for each of max_sequences, within
    DEFAULT_MEMORY_SHARE of the free memory."""
    snapshot_bytes: int | None = None
    """Memory for snapshots of the states of a model with recurrent layers, from which later prompts and preempted
    sequences continue. None: SNAPSHOTS_PER_SEQUENCE for each of max_sequences, within SNAPSHOT_MEMORY_SHARE of the free
    memory, and none without prefix_cache. 0: none, so every prompt is computed from its beginning."""
    context_length: int | None = None
    """Most tokens of prompt and answer together. None: the model's own limit."""
    default_max_tokens: int | None = None
    """Most tokens of an answer whose request sets no limit. None: as many as fit into the context window."""
    threads: int | None = None
    """Threads of the forward pass. None: one per core."""
    isa: str | None = None
    """The instruction set of the kernels, one of KNOWN_ISAS. None: the best that the CPU supports."""
    weights: Literal["auto", "f32", "int8", "int4"] = "auto"
    """Packing of weights that the file stores in 16 bits or more. "auto" and "int8": 8 bits, for less than 1 % more
    perplexity. "int4": the layers in 4 bits, rounded to nearest without calibration, which costs a small model 25 %
    more perplexity (benchmarks/quality.py, int4_rtn). For less than 5 %, make a calibrated 4-bit version of the model
    with `llmos quantize --scheme gptq` and serve that with "auto"."""
    kv_dtype: Literal["int8", "f16", "f32"] = "int8"
    """The type of the values in the KV cache."""
    packed_folder: str | None = None
    """Folder for packed weights, which all replicas map. None: every replica packs its own copy in memory."""

    def __post_init__(self) -> None:
        for name in ("max_batched_tokens", "max_prefill_tokens", "max_sequences"):
            _check_count(name, getattr(self, name))
        _check_count("max_draft_tokens", self.max_draft_tokens, low=0)
        if self.snapshot_bytes is not None:
            _check_count("snapshot_bytes", self.snapshot_bytes, low=0)
        for name in ("kv_bytes", "context_length", "default_max_tokens", "threads"):
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
        """Build a config from a user's options. Raises BadRequest for an unknown option, naming the nearest one."""
        known = [field.name for field in dataclasses.fields(cls)]
        for name in options:
            if name not in known:
                close = nearest(name, known, limit=1)
                hint = f"Did you mean {close[0]}?" if close else f"The options are {', '.join(known)}."
                raise BadRequest(f"The engine has no option {name}. {hint}", param=name)
        return cls(**options)


@dataclass(frozen=True, kw_only=True, slots=True)
class Capacity:
    """A config resolved for one model on one machine."""

    num_blocks: int
    """Blocks of the KV cache. If they hold fewer tokens than the context length, they limit the context."""
    threads: int


def resolve(
    config: EngineConfig, *, free_bytes: int, num_cores: int, max_positions: int, block_bytes: int, block_size: int
) -> Capacity:
    """Resolve the unset options. `free_bytes`: free memory, less the weights.

    Raises BadRequest for a context length over the model's, and InsufficientMemory if the KV cache doesn't fit.
    """
    context = config.context_length or max_positions
    if context > max_positions:
        raise BadRequest(
            f"context_length is {context:,}; the model accepts {max_positions:,} tokens at most. Lower it.",
            param="context_length",
        )
    if config.kv_bytes is not None:
        if config.kv_bytes > free_bytes:
            raise InsufficientMemory(
                f"kv_bytes is {config.kv_bytes:,}; after the weights, {free_bytes:,} bytes of memory are free. "
                f"Lower it by {config.kv_bytes - free_bytes:,}, free some memory, or use a smaller model."
            )
        num_blocks = config.kv_bytes // block_bytes
    else:
        num_tokens = max(context, config.max_sequences * min(context, DEFAULT_TOKENS_PER_SEQUENCE))
        affordable = int(free_bytes * DEFAULT_MEMORY_SHARE) // block_bytes
        num_blocks = min(-(-num_tokens // block_size), affordable)
    if num_blocks * block_size < min(context, block_size * 2):
        raise InsufficientMemory(
            f"The KV cache would hold only {num_blocks * block_size} tokens: {block_size} tokens take "
            f"{block_bytes:,} bytes, and {free_bytes:,} bytes of memory are free. "
            "Free some memory, raise kv_bytes, or use a smaller model."
        )
    return Capacity(num_blocks=num_blocks, threads=config.threads or num_cores)


def resolve_snapshots(config: EngineConfig, *, free_bytes: int, state_bytes: int, num_states: int) -> int:
    """Return how many snapshots a recurrent model gets. `free_bytes`: free memory, less all else that the model takes.

    `state_bytes`: of one sequence; 0 for a model without recurrent layers. Raises InsufficientMemory if what the config
    asks for doesn't fit.
    """
    if not state_bytes:
        return 0
    if config.snapshot_bytes is None:
        affordable = int(max(0, free_bytes) * SNAPSHOT_MEMORY_SHARE) // state_bytes
        return min(SNAPSHOTS_PER_SEQUENCE * num_states, affordable) if config.prefix_cache else 0
    if config.snapshot_bytes > max(0, free_bytes):
        raise InsufficientMemory(
            f"snapshot_bytes is {config.snapshot_bytes:,}; beside the weights and the KV cache, {max(0, free_bytes):,} "
            "bytes of memory are free. Lower it, free some memory, or use a smaller model."
        )
    return config.snapshot_bytes // state_bytes


def _check_count(name: str, value: object, low: int = 1) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < low:
        raise BadRequest(f"{name} is {value!r}; it takes a whole number from {low} up.", param=name)


def _check_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise BadRequest(f"{name} is {value!r}; it takes one of {', '.join(choices)}.", param=name)
