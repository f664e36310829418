"""The answer of `llmos fit`: whether a model fits a machine's memory, the calculation, and the predicted speed."""

import msgspec

from llmos.core.schemas.base import Description


class FitBytes(Description, frozen=True, kw_only=True):
    """The memory of one replica, by its parts."""

    weights: int = 0
    kv: int = 0
    """The KV cache for all streams."""
    states: int = 0
    """The states of recurrent layers, with their snapshots."""
    workspace: int = 0
    """The activations, logits and scores of a step."""
    process: int = 0
    """Python, its libraries and the tokenizer."""
    total: int = 0
    available: int = 0
    """The memory that is free on the machine."""


class FitChoice(Description, frozen=True, kw_only=True):
    """An alternative that would fit."""

    what: str = ""
    bytes: int = 0
    """The memory that it needs."""
    command: str = ""
    """The command that chooses it."""


class FitSpeed(Description, frozen=True, kw_only=True):
    """A predicted speed, without speculative decoding."""

    prompt: int = 0
    """The prompt tokens of each stream (a sequence that is generated beside others)."""
    output: int = 0
    """The output tokens of each stream."""
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
    """The calculation in a sentence."""
    context: int = 0
    """Tokens of prompt and answer together, for each stream."""
    streams: int = 0
    bytes: FitBytes = FitBytes()
    bytes_per_token: int = 0
    """The size of one token in the KV cache."""
    bytes_per_stream: int = 0
    """The memory of one more stream with this context: its KV cache and its recurrent state."""
    choices: list[FitChoice] = msgspec.field(default_factory=list)
    """The alternatives that would fit, the most similar first; empty if the model fits."""
    options: dict[str, int] = msgspec.field(default_factory=dict)
    """The deployment options that set these limits; empty if the model doesn't fit, or has no KV cache."""
    speed: list[FitSpeed] = msgspec.field(default_factory=list)
    """The speed with one stream and with all; empty if the machine's speed was never measured, or the model doesn't
    generate text."""


class FitStage(Description, frozen=True, kw_only=True):
    """The layers that one node of a split model has."""

    node: str = ""
    first: int = 0
    last: int = 0
    """The last layer, included."""
    bytes: int = 0
    """The least memory that it takes there: with the KV cache of one usual stream."""
    available: int = 0
    """The bytes that are free on the node."""
    share: float = 0.0
    """Its share of the time of a step, by the weights that it reads and the node's cores; from 0 to 1."""


class SplitFitDescription(Description, frozen=True, kw_only=True):
    """The split of a model over nodes."""

    model: str = ""
    fits: bool = False
    """True if the nodes together have enough memory for it."""
    stages: list[FitStage] = msgspec.field(default_factory=list)
    """The stages, with that of home first; empty if the model doesn't fit."""
    alone: list[str] = msgspec.field(default_factory=list)
    """The nodes that have room for the whole model, which is faster there."""
    command: str = ""
    """The command that deploys it like this; empty if it doesn't fit."""
