"""Does a model fit a machine's memory, by which arithmetic, how fast will it be, and what would fit instead."""

import msgspec

from llmos.core.schemas.base import Description


class FitBytes(Description, frozen=True, kw_only=True):
    """The memory of one replica, by its parts."""

    weights: int = 0
    kv: int = 0
    """The KV cache for all streams."""
    states: int = 0
    """Those of recurrent layers, with their snapshots."""
    workspace: int = 0
    """A step's activations, logits and scores."""
    process: int = 0
    """Python, its libraries and the tokenizer."""
    total: int = 0
    available: int = 0
    """The bytes that are free on the machine."""


class FitChoice(Description, frozen=True, kw_only=True):
    """Something similar that would fit."""

    what: str = ""
    bytes: int = 0
    """Its memory."""
    command: str = ""


class FitSpeed(Description, frozen=True, kw_only=True):
    """A predicted speed, without speculation."""

    prompt: int = 0
    """Prompt tokens of each stream."""
    output: int = 0
    """Output tokens of each stream."""
    streams: int = 0
    prefill_tokens_per_second: float = 0.0
    decode_tokens_per_second: float = 0.0
    """The rate of all streams together."""
    first_token_seconds: float = 0.0


class FitDescription(Description, frozen=True, kw_only=True):
    model: str = ""
    """The reference of the Version."""
    task: str = "generate"
    fits: bool = False
    sentence: str = ""
    """The arithmetic in a sentence."""
    context: int = 0
    """Tokens of prompt and answer together, for each stream."""
    streams: int = 0
    bytes: FitBytes = FitBytes()
    bytes_per_token: int = 0
    """The bytes of a token in the KV cache."""
    bytes_per_stream: int = 0
    """The bytes of one more stream of this context: its KV cache and its state."""
    choices: list[FitChoice] = msgspec.field(default_factory=list)
    """The settings that would fit, the nearest first; empty if it fits."""
    options: dict[str, int] = msgspec.field(default_factory=dict)
    """The options of a deployment with these limits; empty if it doesn't fit, or has no KV cache."""
    speed: list[FitSpeed] = msgspec.field(default_factory=list)
    """For one stream and for all; empty if the machine's speed was never measured, or nothing is decoded."""
