"""A Version's card: its measured cost and quality on one machine, compared with the Version it was made from.

Every number was measured. A number that wasn't is null, and `not_measured` says why. Errors and divergences are in
nats; shares are parts of one: a perplexity_increase of 0.01 is one percent more.
"""

from datetime import datetime
from typing import Any, Final

import msgspec

from llmos.core.schemas.base import Description

FORMAT: Final = 1
"""The format of a stored card. A field that is added has a default; any other change is another format."""


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    cpu: str
    isa: str
    """The kernels that ran: avx512, avx_vnni, avx2 or portable."""
    threads: int
    memory_bytes: int


class Text(msgspec.Struct, frozen=True, kw_only=True):
    """The text that was predicted: a text that ships with Python and is never used for calibration."""

    name: str
    num_tokens: int
    """The number of predicted tokens."""
    window: int
    """The number of tokens that are predicted as one sequence; each window starts without context."""


class Quality(msgspec.Struct, frozen=True, kw_only=True):
    perplexity: float
    standard_error: float
    """The standard error of the perplexity, in its unit: how much it would vary over texts like this one."""


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """The parent's predictions at the same positions, after the same tokens."""

    perplexity: float
    """The parent's."""
    perplexity_increase: float
    standard_error: float
    """The standard error of the increase, from the differences at each position."""
    greedy_agreement: float
    """The share of positions where both have the same most likely token."""
    kl_mean: float
    """KL divergence of this version's distribution from the parent's, in nats, averaged over all positions."""
    kl_p99: float
    """The 99th percentile of the KL divergence."""
    kl_edges: tuple[float, ...]
    """The edges of the histogram: bin i counts the positions whose divergence is in [edges[i], edges[i + 1])."""
    kl_counts: tuple[int, ...]


class Memory(msgspec.Struct, frozen=True, kw_only=True):
    """The peak memory of a process that serves only this version."""

    resident_bytes: int
    weight_bytes: int
    """The part of resident_bytes that replicas on one machine share."""
    kv_bytes: int
    streams: int
    tokens_per_stream: int
    """The context that the KV cache has room for in each stream."""


class Rate(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens per second. Each run is paired with a run of the parent right before or after it, so that other load slows
    both."""

    num_tokens: int
    """Prompt tokens (prefill) or generated tokens (decode)."""
    tokens_per_second: float
    """The median of the runs."""
    runs: tuple[float, ...]
    parent_tokens_per_second: float | None = None
    parent_runs: tuple[float, ...] = ()
    ratio: float | None = None
    """The median over the pairs of this version's speed divided by the parent's: 1.1 is ten percent faster."""


class LayerError(msgspec.Struct, frozen=True, kw_only=True):
    """The relative error of a layer: the norm of the difference to the parent's divided by the norm of the parent's,
    computed in float32."""

    layer: int
    parent_layer: int
    """Differs from `layer` if layers before it were removed."""
    weights: float | None
    """Over all its matrices. None if their shapes differ from the parent's."""
    hidden: float | None
    """The change of the residual stream after the layer, averaged over the text's first tokens. None if the width
    differs, and for a mixture of experts."""


class Layers(msgspec.Struct, frozen=True, kw_only=True):
    errors: tuple[LayerError, ...]
    embedding: float | None
    """The error of the embedding's weights."""
    parent_layers: int
    left_out: tuple[int, ...]
    """The parent's layers that were removed."""


class Card(Description, frozen=True, kw_only=True):
    version: str
    """The reference of the Version."""
    digest: str
    parent: str | None
    """The reference of the Version that it is compared with; None if there is none."""
    parent_digest: str | None
    recipe: dict[str, Any] | None
    """The recipe by which it was made from the parent."""
    measured_at: datetime
    llmos: str
    """The version of LLMOS that measured it."""
    machine: Machine
    size_bytes: int
    """The size of all files on disk."""
    parent_size_bytes: int | None = None
    parameters: int
    parent_parameters: int | None = None
    quantization: str
    text: Text | None = None
    quality: Quality | None = None
    comparison: Comparison | None = None
    memory: Memory | None = None
    parent_memory: Memory | None = None
    prefill: Rate | None = None
    decode: Rate | None = None
    layers: Layers | None = None
    not_measured: dict[str, str] = msgspec.field(default_factory=dict)
    """The reason for each field that is None although it could be measured."""
    format: int = FORMAT


class LimitVerdict(Description, frozen=True, kw_only=True):
    """The verdict of one limit of the project on a card."""

    name: str = ""
    limit: float = 0.0
    value: float | None = None
    """null: not measured, which counts as failed."""
    passes: bool = False
    sentence: str = ""
    """The numbers, and for a failed limit what is needed."""


class CardDescription(Card, frozen=True, kw_only=True):
    """A card with the verdicts of the limits that are set now."""

    limits: list[LimitVerdict] = msgspec.field(default_factory=list)
