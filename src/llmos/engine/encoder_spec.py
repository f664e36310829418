"""The architecture of a text encoder, as data: a bidirectional transformer and how its outputs become one vector.

`architectures/<model_type>.py` turns a checkpoint's config into an EncoderSpec; `_sentence_files.py` adds what
sentence-transformers wrote beside it. Layers are post-norm: x = norm(x + attention(x)), x = norm(x + feed_forward(x)).

Canonical tensor names (a weight is [out, in], row-major; i is the layer):

    embed.weight                         [vocab, hidden]
    positions.weight                     [positions, hidden]
    types.weight                         [types, hidden]       only with token types; a single text has type 0
    embed_norm.weight .bias              [hidden]
    layers.{i}.q|k|v.weight .bias        [heads * head_dim, hidden]
    layers.{i}.o.weight .bias            [hidden, heads * head_dim]
    layers.{i}.attn_norm.weight .bias    [hidden]
    layers.{i}.up.weight .bias           [intermediate, hidden]
    layers.{i}.down.weight .bias         [hidden, intermediate]
    layers.{i}.mlp_norm.weight .bias     [hidden]
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from llmos.engine.spec import DecoderSpec

EncoderActivation = Literal["gelu", "gelu_tanh", "silu"]
Pooling = Literal["mean", "cls", "last"]


@dataclass(frozen=True, kw_only=True, slots=True)
class EncoderSpec:
    """The architecture of one model that embeds texts."""

    family: str
    """The model_type whose file in architectures/ made this spec."""
    vocab_size: int
    hidden_size: int
    num_layers: int
    num_heads: int
    head_dim: int
    intermediate_size: int
    num_positions: int
    """Rows of positions.weight."""
    first_position: int = 0
    """The row of positions.weight for the first token of a text."""
    num_types: int = 0
    """Rows of types.weight. 0: no token types."""
    norm_eps: float = 1e-12
    activation: EncoderActivation = "gelu"
    max_positions: int
    """Most tokens of a text, including control tokens."""
    pooling: Pooling = "mean"
    """The vector of a text is the mean over its tokens ("mean"), or that of its first ("cls") or last token."""
    normalize: bool = False
    """Scale vectors to length 1."""
    truncated_size: int | None = None
    """A text's vector has so many of the first numbers unless a request asks for another size. None: all."""
    lowercase: bool = False
    """Convert texts to lower case before tokenization."""
    prompts: Mapping[str, str] = field(default_factory=dict)
    """Named prompts to put before a text: {"query": "search_query: "}."""
    default_prompt: str | None = None
    """The name of the prompt to use if a request names none."""

    @property
    def vector_size(self) -> int:
        """The size of a text's vector, unless a request asks for another one."""
        return self.truncated_size or self.hidden_size

    def tensor_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the canonical name and shape of every tensor that a checkpoint of this spec must have."""
        hidden, inner, attention = self.hidden_size, self.intermediate_size, self.num_heads * self.head_dim
        shapes: dict[str, tuple[int, ...]] = {
            "embed.weight": (self.vocab_size, hidden),
            "positions.weight": (self.num_positions, hidden),
        }
        if self.num_types:
            shapes["types.weight"] = (self.num_types, hidden)

        def add(name: str, shape: tuple[int, ...]) -> None:
            shapes[f"{name}.weight"] = shape
            shapes[f"{name}.bias"] = shape[:1]

        add("embed_norm", (hidden,))
        for i in range(self.num_layers):
            for name in ("q", "k", "v"):
                add(f"layers.{i}.{name}", (attention, hidden))
            add(f"layers.{i}.o", (hidden, attention))
            add(f"layers.{i}.attn_norm", (hidden,))
            add(f"layers.{i}.up", (inner, hidden))
            add(f"layers.{i}.down", (hidden, inner))
            add(f"layers.{i}.mlp_norm", (hidden,))
        return shapes


@dataclass(frozen=True, kw_only=True, slots=True)
class DecoderEmbedderSpec(EncoderSpec):
    """The architecture of a model that embeds texts, whose layers are described by a DecoderSpec without a head."""

    decoder: DecoderSpec

    def tensor_shapes(self) -> dict[str, tuple[int, ...]]:
        return self.decoder.tensor_shapes()


def embedder_of(decoder: DecoderSpec, *, family: str) -> DecoderEmbedderSpec:
    """Return the spec of a model that embeds texts by the last residual stream of this decoder."""
    return DecoderEmbedderSpec(
        family=family,
        vocab_size=decoder.vocab_size,
        hidden_size=decoder.hidden_size,
        num_layers=decoder.num_layers,
        num_heads=decoder.num_heads,
        head_dim=decoder.head_dim,
        intermediate_size=decoder.intermediate_size,
        num_positions=0,
        max_positions=decoder.max_positions,
        decoder=replace(decoder, has_head=False, head_bias=False),
    )


ModelSpec = DecoderSpec | EncoderSpec
"""The architecture of a model of any family."""
