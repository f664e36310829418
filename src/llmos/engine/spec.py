"""What a decoder-only transformer is, as data. A model family is a description, not a program.

`architectures/<model_type>.py` turns a checkpoint's config into a DecoderSpec and says what its tensors are called;
the native and the torch runner both execute the spec.

Canonical tensor names (a weight is [out, in], row-major; i counts the layers):

    embed.weight                         [vocab, hidden]
    positions.weight                     [positions, hidden]          only with learned positions
    layers.{i}.attn_norm.weight (.bias)  [hidden]
    layers.{i}.q|k|v.weight (.bias)      [heads or kv_heads * head_dim, hidden]
    layers.{i}.q_norm|k_norm.weight      [head_dim]                   only with qk_norm
    layers.{i}.o.weight (.bias)          [hidden, heads * head_dim]
    layers.{i}.mlp_norm.weight (.bias)   [hidden]
    layers.{i}.gate.weight (.bias)       [intermediate, hidden]       only when gated
    layers.{i}.up.weight (.bias)         [intermediate, hidden]
    layers.{i}.down.weight (.bias)       [hidden, intermediate]
    final_norm.weight (.bias)            [hidden]
    head.weight                          [vocab, hidden]              absent when tied: embed.weight is used
"""

from dataclasses import dataclass
from typing import Literal

Norm = Literal["rmsnorm", "layernorm"]
Activation = Literal["silu", "gelu_tanh"]
RopeScaling = Literal["none", "linear", "llama3"]


@dataclass(frozen=True, kw_only=True, slots=True)
class DecoderSpec:
    family: str
    """The model_type whose file in architectures/ made this spec."""
    vocab_size: int
    hidden_size: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    intermediate_size: int
    max_positions: int
    """The context window, in tokens."""
    norm: Norm = "rmsnorm"
    norm_eps: float = 1e-5
    activation: Activation = "silu"
    gated: bool = True
    """The feed-forward layer is down(act(gate(x)) * up(x)) rather than down(act(up(x)))."""
    learned_positions: bool = False
    """Positions are a learned table added to the embedding, rather than rotary."""
    rope_theta: float = 10_000.0
    rope_scaling: RopeScaling = "none"
    rope_factor: float = 1.0
    rope_low_frequency_factor: float = 1.0
    rope_high_frequency_factor: float = 4.0
    rope_original_positions: int = 8192
    qkv_bias: bool = False
    output_bias: bool = False
    mlp_bias: bool = False
    qk_norm: bool = False
    """RMS norm over each query and key head before the rotation."""
    sliding_window: int | None = None
    """A position attends to itself and the window - 1 positions before it."""
    tied_head: bool = False

    @property
    def attention_size(self) -> int:
        return self.num_heads * self.head_dim

    @property
    def kv_size(self) -> int:
        return self.num_kv_heads * self.head_dim

    def tensor_shapes(self) -> dict[str, tuple[int, ...]]:
        """Every tensor that a checkpoint of this spec must have, by canonical name, with its shape."""
        hidden, has_norm_bias = self.hidden_size, self.norm == "layernorm"
        shapes: dict[str, tuple[int, ...]] = {"embed.weight": (self.vocab_size, hidden)}
        if self.learned_positions:
            shapes["positions.weight"] = (self.max_positions, hidden)

        def add(name: str, shape: tuple[int, ...], has_bias: bool) -> None:
            shapes[f"{name}.weight"] = shape
            if has_bias:
                shapes[f"{name}.bias"] = shape[:1]

        for i in range(self.num_layers):
            add(f"layers.{i}.attn_norm", (hidden,), has_norm_bias)
            add(f"layers.{i}.q", (self.attention_size, hidden), self.qkv_bias)
            add(f"layers.{i}.k", (self.kv_size, hidden), self.qkv_bias)
            add(f"layers.{i}.v", (self.kv_size, hidden), self.qkv_bias)
            if self.qk_norm:
                add(f"layers.{i}.q_norm", (self.head_dim,), False)
                add(f"layers.{i}.k_norm", (self.head_dim,), False)
            add(f"layers.{i}.o", (hidden, self.attention_size), self.output_bias)
            add(f"layers.{i}.mlp_norm", (hidden,), has_norm_bias)
            if self.gated:
                add(f"layers.{i}.gate", (self.intermediate_size, hidden), self.mlp_bias)
            add(f"layers.{i}.up", (self.intermediate_size, hidden), self.mlp_bias)
            add(f"layers.{i}.down", (hidden, self.intermediate_size), self.mlp_bias)
        add("final_norm", (hidden,), has_norm_bias)
        if not self.tied_head:
            add("head", (self.vocab_size, hidden), False)
        return shapes
