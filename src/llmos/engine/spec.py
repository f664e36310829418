"""What a decoder-only transformer is, as data. A model family is a description, not a program.

`architectures/<model_type>.py` turns a checkpoint's config into a DecoderSpec and says what its tensors are called;
the native and the torch runner both execute the spec.

Canonical tensor names (a weight is [out, in], row-major; i counts the layers, n heads or experts):

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
    layers.{i}.router.weight                  [experts, hidden]         only in layers with experts, which then have
    layers.{i}.gate|up|down.{n}.weight        [.. expert_size ..]       these instead of the three above
    layers.{i}.mlp_post_norm.weight (.bias)   [hidden]                  only with post_norm
    final_norm.weight (.bias)                 [hidden]
    head.weight                               [vocab, hidden]           absent when tied: embed.weight is used

One layer, with x the residual stream, norms and multipliers only where the spec has them:

    x += residual_multiplier * attn_post_norm(attention(attn_norm(x)))
    x += residual_multiplier * mlp_post_norm(feed_forward(mlp_norm(x)))     with parallel_residual: of the first x
"""

from dataclasses import dataclass, replace
from typing import Literal

Norm = Literal["rmsnorm", "layernorm"]
Activation = Literal["silu", "gelu_tanh", "gelu"]
RopeScaling = Literal["none", "linear", "llama3", "yarn", "longrope"]
QKNorm = Literal["head", "each_head", "whole"]


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
    pre_norm: bool = True
    """Attention and the feed-forward layer read the residual stream normalized."""
    post_norm: bool = False
    """What they give is normalized before it is added to the residual stream."""
    parallel_residual: bool = False
    """Both read the same residual stream, rather than the second what the first has added to."""
    embedding_multiplier: float = 1.0
    residual_multiplier: float = 1.0
    logit_multiplier: float = 1.0
    logit_softcap: float | None = None
    """Logits become c * tanh(logit / c)."""
    activation: Activation = "silu"
    gated: bool = True
    """The feed-forward layer is down(act(gate(x)) * up(x)) rather than down(act(up(x)))."""
    num_experts: int = 0
    """Feed-forward layers that stand beside each other, of which a token takes a few; 0: there is one, for all."""
    experts_per_token: int = 0
    """Those that the router gives the highest logits. What they give is weighted by the softmax over all experts."""
    expert_size: int = 0
    """What intermediate_size is for an expert."""
    normalizes_experts: bool = False
    """The weights of a token's experts are scaled to add up to one."""
    dense_layers: tuple[int, ...] = ()
    """Layers without experts."""
    learned_positions: bool = False
    """Positions are a learned table added to the embedding, rather than rotary."""
    rope_theta: float = 10_000.0
    rotary_dim: int | None = None
    """Of each head, so many values are rotated, from the first on; None: all."""
    unrotated_layers: tuple[int, ...] = ()
    """Layers that know no positions."""
    rope_scaling: RopeScaling = "none"
    rope_factor: float = 1.0
    rope_low_frequency_factor: float = 1.0
    """Of llama3 and yarn: pairs that turn less often within the original positions are slowed down by the factor."""
    rope_high_frequency_factor: float = 4.0
    """Pairs that turn more often stay; in between the two are blended."""
    rope_original_positions: int = 8192
    rope_short_factors: tuple[float, ...] = ()
    """Of longrope: what each frequency is divided by where the context is no longer than the original positions."""
    rope_long_factors: tuple[float, ...] = ()
    """Where it is longer."""
    rope_attention_factor: float = 1.0
    """What rotated queries and keys are multiplied with."""
    qkv_bias: bool = False
    output_bias: bool = False
    mlp_bias: bool = False
    qk_norm: QKNorm | None = None
    """Queries and keys are normalized before the rotation: over every head with the same weights ("head") or with
    weights of its own ("each_head"), or over all heads at once ("whole")."""
    attention_scale: float | None = None
    """What scores are multiplied with; None: 1 / sqrt(head_dim)."""
    attention_softcap: float | None = None
    """Scores become c * tanh(score / c) before the softmax."""
    sliding_window: int | None = None
    """A position attends to itself and the window - 1 positions before it."""
    windowed_layers: tuple[int, ...] | None = None
    """The layers that have the window; None: all."""
    window_rope_theta: float | None = None
    """The theta of the layers that have the window, where it is another one; they are not scaled then."""
    tied_head: bool = False

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
        """Return the spec for contexts that stay within a length: with longrope, a short one isn't stretched."""
        if self.rope_scaling != "longrope" or context_length > self.rope_original_positions:
            return self
        return replace(self, max_positions=min(context_length, self.max_positions))

    def window_of(self, layer: int) -> int | None:
        """Return the layer's sliding window, None where it sees all positions before it."""
        is_windowed = self.windowed_layers is None or layer in self.windowed_layers
        return self.sliding_window if is_windowed else None

    def rotation_of(self, layer: int) -> int | None:
        """Return which row of inverse_frequencies(spec) the layer rotates by, None where it doesn't rotate."""
        if self.learned_positions or layer in self.unrotated_layers:
            return None
        return int(self.window_rope_theta is not None and self.window_of(layer) is not None)

    def has_experts(self, layer: int) -> bool:
        return self.num_experts > 0 and layer not in self.dense_layers

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

        def add_qk_norm(name: str, num_heads: int) -> None:
            if self.qk_norm == "each_head":
                for n in range(num_heads):
                    add(f"{name}.{n}", (self.head_dim,), False)
            else:
                add(name, (self.head_dim * (num_heads if self.qk_norm == "whole" else 1),), False)

        def add_feed_forward(i: int, number: str, size: int) -> None:
            if self.gated:
                add(f"layers.{i}.gate{number}", (size, hidden), self.mlp_bias)
            add(f"layers.{i}.up{number}", (size, hidden), self.mlp_bias)
            add(f"layers.{i}.down{number}", (hidden, size), self.mlp_bias)

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
