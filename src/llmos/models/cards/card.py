"""A Version's card: what it costs and what it gives, measured on one machine, against the Version it was made from.

Every number on it was measured. What wasn't is None, and `not_measured` says why. Errors and divergences are in nats,
shares are parts of one: a perplexity_increase of 0.01 is one percent more.
"""

from datetime import datetime
from typing import Any, Final

import msgspec

from llmos.core.errors import Conflict

FORMAT: Final = 1
"""Of a card as it is kept. A field that is added has a default; anything else is another format."""


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    cpu: str
    isa: str
    """The kernels that ran: avx512, avx2 or portable."""
    threads: int
    memory_bytes: int


class Text(msgspec.Struct, frozen=True, kw_only=True):
    """What was predicted. It ships with Python, and is never what a recipe calibrates with."""

    name: str
    num_tokens: int
    """Predicted ones."""
    window: int
    """So many tokens follow each other; the next window is predicted on its own."""


class Quality(msgspec.Struct, frozen=True, kw_only=True):
    perplexity: float
    standard_error: float
    """Of the perplexity, in its unit: how much it would differ on another text like this."""


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """What the parent says at the same places, after the same tokens."""

    perplexity: float
    """The parent's."""
    perplexity_increase: float
    standard_error: float
    """Of the increase, from the differences place by place."""
    greedy_agreement: float
    """The share of places where both find the same token the likeliest."""
    kl_mean: float
    """KL divergence of this version's distribution from the parent's, in nats, on average over all places."""
    kl_p99: float
    """One place in a hundred has more."""
    kl_edges: tuple[float, ...]
    """Of the histogram: place i counts where its divergence lies in [edges[i], edges[i + 1])."""
    kl_counts: tuple[int, ...]


class Memory(msgspec.Struct, frozen=True, kw_only=True):
    """Of a process that serves nothing but this version, at its highest while it answered."""

    resident_bytes: int
    weight_bytes: int
    """Of these, what replicas on one machine share."""
    kv_bytes: int
    streams: int
    tokens_per_stream: int
    """How much context the KV cache had room for in each stream."""


class Rate(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens a second. Every repeat asked the parent right before or after, so that what else ran slowed both."""

    num_tokens: int
    """Of the prompt that was read, or those that were written."""
    tokens_per_second: float
    """The median of the runs."""
    runs: tuple[float, ...]
    parent_tokens_per_second: float | None = None
    parent_runs: tuple[float, ...] = ()
    ratio: float | None = None
    """The median of each run over the parent's run beside it: 1.1 is ten percent faster."""


class LayerError(msgspec.Struct, frozen=True, kw_only=True):
    """How far a layer is from the parent's: the norm of the difference over the norm of the parent's. In float32, so
    that it is the weights' doing alone."""

    layer: int
    parent_layer: int
    """Another number where layers before it are gone."""
    weights: float | None
    """Of all its matrices together. None: they don't have the parent's shapes."""
    hidden: float | None
    """Of each token's residual stream after it, on average over the text's first tokens. None: it has another width,
    or the model is a mixture of experts."""


class Layers(msgspec.Struct, frozen=True, kw_only=True):
    errors: tuple[LayerError, ...]
    embedding: float | None
    """The error of the embedding's weights."""
    parent_layers: int
    left_out: tuple[int, ...]
    """The parent's layers that this version no longer has."""


class Card(msgspec.Struct, frozen=True, kw_only=True):
    version: str
    """The ref."""
    digest: str
    parent: str | None
    """The ref of what it is compared with. None: with nothing."""
    parent_digest: str | None
    recipe: dict[str, Any] | None
    """How it was made from the parent."""
    measured_at: datetime
    llmos: str
    """The version of LLMOS that measured."""
    machine: Machine
    size_bytes: int
    """Of all files on disk."""
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
    not_measured: dict[str, str] = {}
    """Why a field that could be here is None, by its name."""
    format: int = FORMAT


def to_json(card: Card) -> bytes:
    return msgspec.json.encode(card)


def from_json(text: bytes | str) -> Card:
    """Read a card that to_json wrote. Raises Conflict for one that a newer LLMOS has written."""
    found = msgspec.json.decode(text, type=_Format).format
    if found > FORMAT:
        raise Conflict(
            f"This card was written by a newer LLMOS (format {found}; this one knows {FORMAT})."
            " Update LLMOS, or measure again: llmos card MODEL --measure"
        )
    return msgspec.json.decode(text, type=Card)


class _Format(msgspec.Struct):
    format: int = FORMAT
