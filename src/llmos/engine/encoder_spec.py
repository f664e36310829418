"""What an encoder of texts is, as data: a bidirectional transformer, and how its outputs become one vector.

`architectures/<model_type>.py` turns a checkpoint's config into an EncoderSpec; `sentence_files.py` fills in what
sentence-transformers wrote beside it. Layers are post-norm: x = norm(x + attention(x)), x = norm(x + feed_forward(x)).

Canonical tensor names (a weight is [out, in], row-major; i counts the layers):

    embed.weight                         [vocab, hidden]
    positions.weight                     [positions, hidden]
    types.weight                         [types, hidden]       only with token types; a text alone is of the first
    embed_norm.weight .bias              [hidden]
    layers.{i}.q|k|v.weight .bias        [heads * head_dim, hidden]
    layers.{i}.o.weight .bias            [hidden, heads * head_dim]
    layers.{i}.attn_norm.weight .bias    [hidden]
    layers.{i}.up.weight .bias           [intermediate, hidden]
    layers.{i}.down.weight .bias         [hidden, intermediate]
    layers.{i}.mlp_norm.weight .bias     [hidden]
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from llmos.engine.spec import DecoderSpec

EncoderActivation = Literal["gelu", "gelu_tanh", "silu"]
Pooling = Literal["mean", "cls"]


@dataclass(frozen=True, kw_only=True, slots=True)
class EncoderSpec:
    family: str
    """The model_type whose file in architectures/ made this spec."""
    vocab_size: int
    hidden_size: int
    num_layers: int
    num_heads: int
    head_dim: int
    intermediate_size: int
    num_positions: int
    """Rows of the table of positions."""
    first_position: int = 0
    """The row of a text's first token."""
    num_types: int = 0
    norm_eps: float = 1e-12
    activation: EncoderActivation = "gelu"
    max_positions: int
    """Tokens that a text may have, control tokens included."""
    pooling: Pooling = "mean"
    """A text's vector is the mean over its tokens, or that of its first one."""
    normalize: bool = False
    """Vectors have the length 1."""
    lowercase: bool = False
    """Texts become lower case before the tokenizer sees them."""
    prompts: Mapping[str, str] = field(default_factory=dict)
    """What goes before a text, by the name of what it is for: {"query": "search_query: "}."""
    default_prompt: str | None = None

    def tensor_shapes(self) -> dict[str, tuple[int, ...]]:
        """Every tensor that a checkpoint of this spec must have, by canonical name, with its shape."""
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


ModelSpec = DecoderSpec | EncoderSpec
"""What a model of any family is."""
