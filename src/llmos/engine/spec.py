"""The architecture of a decoder-only transformer, as data. A model family is a description, not a program.

`architectures/<model_type>.py` turns a checkpoint's config into a DecoderSpec and maps its tensor names; the native and
the torch runner both execute the spec.

Canonical tensor names (a weight is [out, in], row-major; i is the layer, n the head or expert):

    embed.weight                              [vocab, hidden]
    positions.weight                          [positions, hidden]       only with learned positions
    layers.{i}.attn_norm.weight (.bias)       [hidden]                  only with pre_norm
    layers.{i}.q|k|v.weight (.bias)           [heads or kv_heads * head_dim, hidden]
    layers.{i}.q_norm|k_norm.weight           [head_dim]                only with qk_norm "head"
    layers.{i}.q_norm|k_norm.weight           [as many as q or k rows]  only with qk_norm "whole"
    layers.{i}.q_norm|k_norm.{n}.weight       [head_dim]                only with qk_norm "each_head"
    layers.{i}.o.weight (.bias)               [hidden, heads * head_dim]
    layers.{i}.attn_post_norm.weight (.bias)  [hidden]                  only with post_norm
    layers.{i}.mlp_norm.weight (.bias)        [hidden]                  only with pre_norm
    layers.{i}.gate.weight (.bias)            [intermediate, hidden]    only when gated
    layers.{i}.up.weight (.bias)              [intermediate, hidden]
    layers.{i}.down.weight (.bias)            [hidden, intermediate]
    layers.{i}.router.weight                  [experts, hidden]         only in layers with experts, which have these
    layers.{i}.gate|up|down.{n}.weight        [.. expert_size ..]       instead of the three above
    layers.{i}.mlp_post_norm.weight (.bias)   [hidden]                  only with post_norm
    final_norm.weight (.bias)                 [hidden]
    head.weight                               [vocab, hidden]           absent when tied: embed.weight is used

One layer, where x is the residual stream, and norms and multipliers apply only where the spec has them:

    x += residual_multiplier * attn_post_norm(attention(attn_norm(x)))
    x += residual_multiplier * mlp_post_norm(feed_forward(mlp_norm(x)))     with parallel_residual: both use the same x
"""

from dataclasses import dataclass, replace
from typing import Literal

Norm = Literal["rmsnorm", "layernorm"]
Activation = Literal["silu", "gelu_tanh", "gelu"]
RopeScaling = Literal["none", "linear", "llama3", "yarn", "longrope"]
QKNorm = Literal["head", "each_head", "whole"]


@dataclass(frozen=True, kw_only=True, slots=True)
class DecoderSpec:
    """The architecture of one model."""

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
    pre_norm: bool = True
    """Normalize the input of attention and of the feed-forward layer."""
    post_norm: bool = False
    """Normalize the output of attention and of the feed-forward layer, before it is added to the residual stream."""
    parallel_residual: bool = False
    """Attention and the feed-forward layer read the same residual stream, instead of one after the other."""
    embedding_multiplier: float = 1.0
    residual_multiplier: float = 1.0
    logit_multiplier: float = 1.0
    logit_softcap: float | None = None
    """Logits become c * tanh(logit / c)."""
    activation: Activation = "silu"
    gated: bool = True
    """The feed-forward layer is down(act(gate(x)) * up(x)) rather than down(act(up(x)))."""
    num_experts: int = 0
    """Experts of a mixture-of-experts layer. 0: every layer is dense."""
    experts_per_token: int = 0
    """Experts with the highest router logits. Their outputs are weighted by the softmax over all experts."""
    expert_size: int = 0
    """intermediate_size of an expert."""
    normalizes_experts: bool = False
    """Scale the weights of a token's experts to a sum of 1."""
    dense_layers: tuple[int, ...] = ()
    """Indexes of the layers without experts."""
    learned_positions: bool = False
    """Add a learned position embedding to the token embedding, instead of rotary positions."""
    rope_theta: float = 10_000.0
    rotary_dim: int | None = None
    """Number of leading values of each head that are rotated. None: all."""
    unrotated_layers: tuple[int, ...] = ()
    """Indexes of the layers without rotary positions (NoPE)."""
    rope_scaling: RopeScaling = "none"
    rope_factor: float = 1.0
    rope_low_frequency_factor: float = 1.0
    """llama3, yarn: pairs with fewer turns within the original positions are slowed down by rope_factor."""
    rope_high_frequency_factor: float = 4.0
    """llama3, yarn: pairs with more turns are unchanged; in between, the two are blended."""
    rope_original_positions: int = 8192
    rope_short_factors: tuple[float, ...] = ()
    """longrope: divisors of the frequencies for contexts up to rope_original_positions."""
    rope_long_factors: tuple[float, ...] = ()
    """longrope: divisors of the frequencies for longer contexts."""
    rope_attention_factor: float = 1.0
    """Rotated queries and keys are multiplied by it."""
    qkv_bias: bool = False
    output_bias: bool = False
    mlp_bias: bool = False
    qk_norm: QKNorm | None = None
    """Normalize queries and keys before the rotation: each head with shared weights ("head"), each head with weights of
    its own ("each_head"), or all heads together ("whole")."""
    attention_scale: float | None = None
    """Attention scores are multiplied by it. None: 1 / sqrt(head_dim)."""
    attention_softcap: float | None = None
    """Attention scores become c * tanh(score / c) before the softmax."""
    sliding_window: int | None = None
    """A position attends to itself and the sliding_window - 1 positions before it. None: to all before it."""
    windowed_layers: tuple[int, ...] | None = None
    """Indexes of the layers with the sliding window. None: all."""
    window_rope_theta: float | None = None
    """rope_theta of the layers with the sliding window, whose positions are then not scaled. None: rope_theta."""
    tied_head: bool = False
    """The output head is the token embedding."""

    @property
    def attention_size(self) -> int:
        return self.num_heads * self.head_dim

    @property
    def kv_size(self) -> int:
        return self.num_kv_heads * self.head_dim

    @property
    def score_scale(self) -> float:
        return self.head_dim**-0.5 if self.attention_scale is None else self.attention_scale

    def for_context_length(self, context_length: int) -> "DecoderSpec":
        """Return the spec for contexts of at most this length: longrope uses other frequencies for short contexts."""
        if self.rope_scaling != "longrope" or context_length > self.rope_original_positions:
            return self
        return replace(self, max_positions=min(context_length, self.max_positions))

    def window_of(self, layer: int) -> int | None:
        """Return the sliding window of a layer, None if it attends to all positions before it."""
        is_windowed = self.windowed_layers is None or layer in self.windowed_layers
        return self.sliding_window if is_windowed else None

    def rotation_of(self, layer: int) -> int | None:
        """Return the row of inverse_frequencies(spec) that a layer rotates by, None if it has no rotary positions."""
        if self.learned_positions or layer in self.unrotated_layers:
            return None
        return int(self.window_rope_theta is not None and self.window_of(layer) is not None)

    def has_experts(self, layer: int) -> bool:
        return self.num_experts > 0 and layer not in self.dense_layers

    def tensor_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the canonical name and shape of every tensor that a checkpoint of this spec must have."""
        hidden, has_norm_bias = self.hidden_size, self.norm == "layernorm"
        shapes: dict[str, tuple[int, ...]] = {"embed.weight": (self.vocab_size, hidden)}
        if self.learned_positions:
            shapes["positions.weight"] = (self.max_positions, hidden)

        def add(name: str, shape: tuple[int, ...], has_bias: bool) -> None:
            shapes[f"{name}.weight"] = shape
            if has_bias:
                shapes[f"{name}.bias"] = shape[:1]

        def add_qk_norm(name: str, num_heads: int) -> None:
            if self.qk_norm == "each_head":
                for n in range(num_heads):
                    add(f"{name}.{n}", (self.head_dim,), False)
            else:
                add(name, (self.head_dim * (num_heads if self.qk_norm == "whole" else 1),), False)

        def add_feed_forward(i: int, suffix: str, size: int) -> None:
            if self.gated:
                add(f"layers.{i}.gate{suffix}", (size, hidden), self.mlp_bias)
            add(f"layers.{i}.up{suffix}", (size, hidden), self.mlp_bias)
            add(f"layers.{i}.down{suffix}", (hidden, size), self.mlp_bias)

        for i in range(self.num_layers):
            if self.pre_norm:
                add(f"layers.{i}.attn_norm", (hidden,), has_norm_bias)
            add(f"layers.{i}.q", (self.attention_size, hidden), self.qkv_bias)
            add(f"layers.{i}.k", (self.kv_size, hidden), self.qkv_bias)
            add(f"layers.{i}.v", (self.kv_size, hidden), self.qkv_bias)
            if self.qk_norm is not None:
                add_qk_norm(f"layers.{i}.q_norm", self.num_heads)
                add_qk_norm(f"layers.{i}.k_norm", self.num_kv_heads)
            add(f"layers.{i}.o", (hidden, self.attention_size), self.output_bias)
            if self.post_norm:
                add(f"layers.{i}.attn_post_norm", (hidden,), has_norm_bias)
            if self.pre_norm:
                add(f"layers.{i}.mlp_norm", (hidden,), has_norm_bias)
            if self.has_experts(i):
                add(f"layers.{i}.router", (self.num_experts, hidden), False)
                for n in range(self.num_experts):
                    add_feed_forward(i, f".{n}", self.expert_size)
            else:
                add_feed_forward(i, "", self.intermediate_size)
            if self.post_norm:
                add(f"layers.{i}.mlp_post_norm", (hidden,), has_norm_bias)
        add("final_norm", (hidden,), has_norm_bias)
        if not self.tied_head:
            add("head", (self.vocab_size, hidden), False)
        return shapes
