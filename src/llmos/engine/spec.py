"""The architecture of a decoder-only transformer, as data. A model family is a description, not a program.

`architectures/<model_type>.py` turns a checkpoint's config into a DecoderSpec and maps its tensor names; the native and
the torch runner both execute the spec.

Canonical tensor names (a weight is [out, in], row-major; i is the layer, n the head or expert):

    embed.weight                              [vocab, hidden]
    positions.weight                          [positions, hidden]       only with learned positions
    types.weight                              [hidden]                  only with token_type: added to every embedding
    embed_norm.weight (.bias)                 [hidden]                  only with embed_norm
    layer_embed.weight                        [layer_input_vocab, layers * layer_input_size]    these three only with
    layer_embed_projection.weight             [layers * layer_input_size, hidden]               layer_input_size
    layer_embed_norm.weight                   [layer_input_size]
    stream_projection.{n}.weight              [hidden, hidden]          these two only with residual_streams above 1,
    stream_output.{n}.weight                  [hidden, hidden]          for each stream but the first
    layers.{i}.attn_norm.weight (.bias)       [hidden]                  only with pre_norm
    layers.{i}.q|k|v.weight (.bias)           [heads or kv_heads * head_dim, hidden]    k and v only with has_keys(i)
                                                                        and has_values(i)
    layers.{i}.q_norm|k_norm.weight           [head_dim]                only with qk_norm "head"
    layers.{i}.q_norm|k_norm.weight           [as many as q or k rows]  only with qk_norm "whole"
    layers.{i}.q_norm|k_norm.{n}.weight       [head_dim]                only with qk_norm "each_head"
    layers.{i}.q_gate.weight (.bias)          [heads * head_dim, hidden]  only with attention_gate
    layers.{i}.sinks.weight                   [heads]                   only with attention_sinks
    layers.{i}.o.weight (.bias)               [hidden, heads * head_dim]
    layers.{i}.attn_post_norm.weight (.bias)  [hidden]                  only with post_norm or norms_residual
    layers.{i}.mlp_norm.weight (.bias)        [hidden]                  only with pre_norm
    layers.{i}.gate.weight (.bias)            [intermediate, hidden]    only when gated
    layers.{i}.up.weight (.bias)              [intermediate, hidden]
    layers.{i}.down.weight (.bias)            [hidden, intermediate]
    layers.{i}.router_norm.weight             [hidden]                  these five only with norms_experts, in layers
    layers.{i}.experts_norm.weight            [hidden]                  with experts
    layers.{i}.experts_post_norm.weight       [hidden]
    layers.{i}.shared_post_norm.weight        [hidden]
    layers.{i}.expert_scale.weight            [experts]
    layers.{i}.router.weight (.bias)          [experts, hidden]         only in layers with experts, which have these
    layers.{i}.gate|up|down.{n}.weight (.bias)  [.. expert_size ..]     instead of the three above; the three above
                                                                        have the size of the shared expert, if any
    layers.{i}.router_correction.weight       [experts]                 only with corrects_router
    layers.{i}.shared_router.weight           [hidden]                  only with gates_shared_expert
    layers.{i}.mlp_post_norm.weight (.bias)   [hidden]                  only with post_norm or norms_residual
    layers.{i}.input_gate.weight              [layer_input_size, hidden]    these three only with layer_input_size
    layers.{i}.input_projection.weight        [hidden, layer_input_size]
    layers.{i}.input_norm.weight              [hidden]
    layers.{i}.scale.weight                   [1]                       only with scales_layers
    layers.{i}.laurel_down|laurel_up.weight   [laurel_size, hidden], [hidden, laurel_size]  these three only with
    layers.{i}.laurel_norm.weight             [hidden]                                      laurel_size
    layers.{i}.stream_router.weight           [streams * hidden]        these five only with residual_streams above 1
    layers.{i}.stream_router_norm.weight      [hidden]
    layers.{i}.stream_predict.weight          [streams * streams * streams]
    layers.{i}.stream_correct.weight          [streams * streams]
    layers.{i}.stream_scale.weight            [hidden]
    final_norm.weight (.bias)                 [hidden]                  not with norms_residual
    head.weight (.bias)                       [vocab, hidden]           absent when tied: embed.weight is used; only
                                                                        with has_head

Recurrent layers have these instead of q, k and v. C channels go through the convolution; V heads have a state.

    layers.{i}.mix.weight                     [C, hidden]
    layers.{i}.mix_in.weight                  [C, hidden]               only with recurrence "conv"
    layers.{i}.mix_gate.weight                [V * recurrent_value_size, or C with "conv"; hidden]
    layers.{i}.conv.weight (.bias)            [C * conv_size], [C]      the taps of one channel after another
    layers.{i}.step.weight .bias              [V, hidden], [V]          not with "conv"
    layers.{i}.decay.weight                   [V]                       not with "conv"
    layers.{i}.beta.weight                    [V, hidden]               only with "delta"
    layers.{i}.skip.weight                    [V]                       only with "mamba"
    layers.{i}.mix_norm.weight                [recurrent_value_size]    only with "delta"
    layers.{i}.mix_norm.weight                [V * recurrent_value_size]  only with "mamba"
    layers.{i}.o.weight                       [hidden, V * recurrent_value_size, or C with "conv"]

One layer, where x is the residual stream, and norms and multipliers apply only where the spec has them:

    x += residual_multiplier * attn_post_norm(attention(attn_norm(x)))
    x += residual_multiplier * mlp_post_norm(feed_forward(mlp_norm(x)))     with parallel_residual: both use the same x

With norms_experts, the feed-forward layer of a layer with experts is

    shared_post_norm(shared(mlp_norm(x))) + experts_post_norm(experts(experts_norm(x)))

and the router reads router_norm(x) / sqrt(hidden). With layer_input_size, a layer has a third part, where l is what
the layer gets of the token, and e the token's embedding, times embedding_multiplier:

    l = (layer_embed_norm(layer_embed_projection(e) / sqrt(hidden)) + layer_embed * sqrt(layer_input_size)) / sqrt(2)
    x += input_norm(input_projection(act(input_gate(x)) * l))

With laurel_size (LAuReL, Menghani et al. 2024), where x is the residual stream before the layer, attention adds

    x + attn_post_norm(attention(attn_norm(x)))
    (that + attn_norm(x) + laurel_norm(laurel_up(laurel_down(attn_norm(x))))) / sqrt(2)

With several residual streams s (AltUp, Baykal et al. 2023), the first of them is the embedding, and the others are
stream_projection.n of it, with its root mean square. A layer predicts them, computes the first, and corrects all:

    c(x) = tanh(stream_router(stream_router_norm(x) / hidden))
    p[j] = s[j] + sum over i of (stream_predict[j, i] . c(s[0])) * s[i]
    x = the layer without its third part, of p[0];  s[j] = p[j] + (1 + stream_correct[j] . c(x)) * (x - p[0])
    the third part reads s[0] * stream_scale, and is added to all streams but the first

The output is the mean of s[0] and of stream_output.n of the others, each with the root mean square of s[0].

A recurrent layer has one of these instead of attention, where y is the layer's input, conv a causal convolution of each
channel, and a state S [key size, value size] belongs to each head and is 0 before the first token:

    conv     o(mix_gate(y) * conv(mix_in(y) * mix(y)))
    delta    q, k, v = silu(conv(mix(y))), with q and k of length 1, and q divided by sqrt(key size)
             S = exp(decay * softplus(step(y))) * S;  S += k x (sigmoid(beta(y)) * (v - k S))
             o(mix_norm(q S) * silu(mix_gate(y)))       the norm is over each head
    mamba    v, k, q = silu(conv(mix(y)));  t = softplus(step(y)) within the step limits
             S = exp(decay * t) * S + k x (t * v)
             o(mix_norm((q S + skip * v) * silu(mix_gate(y))))       the norm is over each group of heads with one k
"""

import math
from dataclasses import dataclass, replace
from typing import Literal

Norm = Literal["rmsnorm", "layernorm"]
Activation = Literal["silu", "gelu_tanh", "gelu", "relu2", "clamped_swiglu"]
RopeScaling = Literal["none", "linear", "llama3", "yarn", "longrope", "proportional"]
QKNorm = Literal["head", "each_head", "whole"]
RouterScore = Literal["softmax", "sigmoid"]
Recurrence = Literal["conv", "delta", "mamba"]


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
    """The value of the largest layer."""
    max_positions: int
    """The context window, in tokens."""
    norm: Norm = "rmsnorm"
    norm_eps: float = 1e-5
    norm_bias: bool = True
    """Layer norms have biases. RMS norms have none."""
    pre_norm: bool = True
    """Normalize the input of attention and of the feed-forward layer."""
    post_norm: bool = False
    """Normalize the output of attention and of the feed-forward layer, before it is added to the residual stream."""
    norms_residual: bool = False
    """Normalize the residual stream itself after attention and after the feed-forward layer (BERT)."""
    embed_norm: bool = False
    """Normalize the token embedding."""
    skips_first_norm: bool = False
    """The attention of the first layer reads the token embedding without pre_norm."""
    token_type: bool = False
    """Add the embedding of the token type, which is the same for all tokens of a text."""
    is_causal: bool = True
    """A position attends to no later one. Otherwise, it attends to all positions of the batch, and a window reaches as
    far ahead as back: only for models that embed texts, each in one batch."""
    has_head: bool = True
    """The output is logits. Otherwise, it is the normalized residual stream."""
    parallel_residual: bool = False
    """Attention and the feed-forward layer read the same residual stream, instead of one after the other."""
    embedding_multiplier: float = 1.0
    residual_multiplier: float = 1.0
    logit_multiplier: float = 1.0
    head_bias: bool = False
    """The output head has a bias."""
    logit_softcap: float | None = None
    """Logits become c * tanh(logit / c)."""
    activation: Activation = "silu"
    """clamped_swiglu is (1 + up) * gate * sigmoid(1.702 * gate), with gate up to 7 and up from -7 to 7."""
    gated: bool = True
    """The feed-forward layer is down(act(gate(x)) * up(x)) rather than down(act(up(x)))."""
    gate_cutoffs: tuple[float, ...] = ()
    """The gate of a layer becomes max(0, gate - mean - cutoff * standard deviation), over its values of a token. -inf:
    it is unchanged. (): those of all layers are."""
    intermediate_sizes: tuple[int, ...] = ()
    """intermediate_size of each layer. (): they are equal."""
    num_experts: int = 0
    """Experts of a mixture-of-experts layer. 0: every layer is dense."""
    experts_per_token: int = 0
    """Experts with the highest router logits. Their outputs are weighted by the softmax over all experts."""
    expert_size: int = 0
    """intermediate_size of an expert."""
    normalizes_experts: bool = False
    """Scale the weights of a token's experts to a sum of 1."""
    router_score: RouterScore = "softmax"
    """"sigmoid": the weights of experts are the sigmoids of their router logits."""
    router_bias: bool = False
    corrects_router: bool = False
    """The experts are chosen by the sum of their score and a correction, which isn't part of their weights."""
    expert_groups: int = 1
    chosen_groups: int = 1
    """A token's experts are in the chosen_groups groups, of expert_groups, whose best two experts have the highest sum
    of scores."""
    expert_multiplier: float = 1.0
    """The weights of a token's experts are multiplied by it, after they were normalized."""
    shared_expert_size: int = 0
    """intermediate_size of an expert that every token takes besides its own. 0: there is none."""
    gates_shared_expert: bool = False
    """The output of the shared expert is multiplied by the sigmoid of a router of its own."""
    norms_experts: bool = False
    """The shared expert and the experts have norms of their own before and after, the router has one before, and a
    token's weight of an expert is multiplied by the expert's scale (Gemma 4)."""
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
    """"proportional": all of the head forms pairs, but only the rope_pairs fastest rotate."""
    rope_factor: float = 1.0
    rope_pairs: int = 0
    rope_low_frequency_factor: float = 1.0
    """llama3, yarn: pairs with fewer turns within the original positions are slowed down by rope_factor."""
    rope_high_frequency_factor: float = 4.0
    """llama3, yarn: pairs with more turns are unchanged; in between, the two are blended."""
    rope_original_positions: int = 8192
    rope_short_factors: tuple[float, ...] = ()
    """longrope: divisors of the frequencies for contexts up to rope_original_positions."""
    rope_long_factors: tuple[float, ...] = ()
    """longrope: divisors of the frequencies for longer contexts."""
    rope_truncates: bool = True
    """yarn: the blend begins and ends at whole pairs."""
    rope_attention_factor: float = 1.0
    """Queries and keys are multiplied by it, where their positions are scaled."""
    qkv_bias: bool = False
    output_bias: bool = False
    mlp_bias: bool = False
    qk_norm: QKNorm | None = None
    """Normalize queries and keys before the rotation: each head with shared weights ("head"), each head with weights of
    its own ("each_head"), or all heads together ("whole")."""
    norms_values: bool = False
    """Normalize the values of each head, without weights."""
    norms_rotated_heads: bool = False
    """qk_norm "head" follows the rotation instead of preceding it."""
    query_growth: float = 0.0
    """A query at position p is multiplied by 1 + query_growth * ln(1 + floor(p / query_growth_positions))."""
    query_growth_positions: int = 1
    attention_gate: bool = False
    """The output of attention is multiplied by the sigmoid of another projection of the layer's input."""
    attention_sinks: bool = False
    """Each query head has a score of its own that takes part in the softmax and has no value."""
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
    full_head_dim: int | None = None
    """head_dim of the layers without the sliding window. None: head_dim."""
    full_kv_heads: int | None = None
    """num_kv_heads of the layers without the sliding window. None: num_kv_heads."""
    keys_are_values: bool = False
    """In layers without the sliding window, values are the keys before their norm and rotation."""
    shared_kv_layers: int = 0
    """So many last layers have no keys and values: each attends to those of the last layer before them that has a
    sliding window if it has one itself, or else has none."""
    layer_input_size: int = 0
    """Size of an embedding of the token that each layer has for itself. 0: there is none."""
    layer_input_vocab: int = 0
    """Tokens with such embeddings, from token 0 on. The others have those of token 0."""
    laurel_size: int = 0
    """Rows of the first matrix of a product of low rank beside attention. 0: there is none."""
    residual_streams: int = 1
    scales_layers: bool = False
    """The residual stream is multiplied by a number at the end of each layer."""
    recurrent_layers: tuple[int, ...] = ()
    """Indexes of the layers with a recurrence instead of attention. They have no keys and values, but a state."""
    recurrence: Recurrence | None = None
    conv_size: int = 0
    """Taps of the convolution: a position and the conv_size - 1 positions before it."""
    conv_bias: bool = False
    recurrent_heads: int = 0
    recurrent_key_heads: int = 0
    """Each key head serves a group of adjacent heads."""
    tiles_key_heads: bool = False
    """The heads take the key heads in turns instead: head h has key head h modulo recurrent_key_heads."""
    recurrent_key_size: int = 0
    recurrent_value_size: int = 0
    step_limits: tuple[float, float] = (0.0, float("inf"))
    tied_head: bool = False
    """The output head is the token embedding."""

    @property
    def attention_size(self) -> int:
        """Values of all heads of a query, in the layers that have the most."""
        return self.num_heads * max(self.head_dim, self.full_head_dim or 0)

    @property
    def kv_size(self) -> int:
        """Values of all heads of a key, in the layers that have the most."""
        full = (self.full_kv_heads or self.num_kv_heads) * (self.full_head_dim or self.head_dim)
        return max(self.num_kv_heads * self.head_dim, full)

    def head_dim_of(self, layer: int) -> int:
        """Return the size of a head in a layer."""
        return self.head_dim if self.window_of(layer) is not None else self.full_head_dim or self.head_dim

    def kv_heads_of(self, layer: int) -> int:
        """Return the number of key-value heads in a layer."""
        return self.num_kv_heads if self.window_of(layer) is not None else self.full_kv_heads or self.num_kv_heads

    def has_keys(self, layer: int) -> bool:
        """Return whether an attending layer has keys and values of its own."""
        return layer < self.num_layers - self.shared_kv_layers

    def has_values(self, layer: int) -> bool:
        """Return whether an attending layer has a matrix for values."""
        return self.has_keys(layer) and not (self.keys_are_values and self.window_of(layer) is None)

    def keys_of(self, layer: int) -> int:
        """Return the layer whose keys and values a layer attends to."""
        if self.has_keys(layer):
            return layer
        is_windowed = self.window_of(layer) is not None
        earlier = range(self.num_layers - self.shared_kv_layers)
        return max(i for i in earlier if (self.window_of(i) is not None) == is_windowed)

    def gate_cutoff_of(self, layer: int) -> float:
        """Return the cutoff of a layer's gate, -inf for none."""
        return self.gate_cutoffs[layer] if self.gate_cutoffs else -math.inf

    def inner_size_of(self, layer: int) -> int:
        """Return intermediate_size of a layer without experts."""
        return self.intermediate_sizes[layer] if self.intermediate_sizes else self.intermediate_size

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
        """Return the index in inverse_frequencies(spec) for a layer, None if it has no rotary positions."""
        if self.learned_positions or layer in self.unrotated_layers:
            return None
        return int(self.window_rope_theta is not None and self.window_of(layer) is not None)

    @property
    def is_recurrent(self) -> bool:
        """True if a sequence has a state besides its keys and values, which can be copied but not rolled back."""
        return bool(self.recurrent_layers)

    @property
    def has_unlike_layers(self) -> bool:
        """True if layers have parts or sizes that others lack, which calibration and pruning don't know."""
        return bool(
            self.full_head_dim
            or self.full_kv_heads
            or self.keys_are_values
            or self.norms_values
            or self.shared_kv_layers
            or self.layer_input_size
            or self.scales_layers
            or self.intermediate_sizes
            or self.laurel_size
            or self.residual_streams > 1
            or self.gate_cutoffs
        )

    @property
    def conv_channels(self) -> int:
        """Channels of a recurrent layer's convolution: keys, queries and values, or the hidden values themselves."""
        if self.recurrence == "conv":
            return self.hidden_size
        return 2 * self.recurrent_key_heads * self.recurrent_key_size + self.recurrent_size

    @property
    def recurrent_size(self) -> int:
        """Columns of the output projection of a recurrent layer."""
        if self.recurrence == "conv":
            return self.hidden_size
        return self.recurrent_heads * self.recurrent_value_size

    def is_recurrent_layer(self, layer: int) -> bool:
        return layer in self.recurrent_layers

    def has_experts(self, layer: int) -> bool:
        return self.num_experts > 0 and layer not in self.dense_layers

    def tensor_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the canonical name and shape of every tensor that a checkpoint of this spec must have."""
        hidden, has_norm_bias = self.hidden_size, self.norm == "layernorm" and self.norm_bias
        shapes: dict[str, tuple[int, ...]] = {"embed.weight": (self.vocab_size, hidden)}
        if self.learned_positions:
            shapes["positions.weight"] = (self.max_positions, hidden)
        if self.token_type:
            shapes["types.weight"] = (hidden,)
        if self.layer_input_size:
            all_inputs = self.num_layers * self.layer_input_size
            shapes["layer_embed.weight"] = (self.layer_input_vocab, all_inputs)
            shapes["layer_embed_projection.weight"] = (all_inputs, hidden)
            shapes["layer_embed_norm.weight"] = (self.layer_input_size,)
        for n in range(self.residual_streams - 1):
            shapes[f"stream_projection.{n}.weight"] = (hidden, hidden)
            shapes[f"stream_output.{n}.weight"] = (hidden, hidden)

        def add(name: str, shape: tuple[int, ...], has_bias: bool) -> None:
            shapes[f"{name}.weight"] = shape
            if has_bias:
                shapes[f"{name}.bias"] = shape[:1]

        def add_qk_norm(name: str, num_heads: int, head_dim: int) -> None:
            if self.qk_norm == "each_head":
                for n in range(num_heads):
                    add(f"{name}.{n}", (head_dim,), False)
            elif self.qk_norm is not None:
                add(name, (head_dim * (num_heads if self.qk_norm == "whole" else 1),), False)

        def add_feed_forward(i: int, suffix: str, size: int) -> None:
            if self.gated:
                add(f"layers.{i}.gate{suffix}", (size, hidden), self.mlp_bias)
            add(f"layers.{i}.up{suffix}", (size, hidden), self.mlp_bias)
            add(f"layers.{i}.down{suffix}", (hidden, size), self.mlp_bias)

        def add_attention(i: int) -> None:
            head_dim, kv_heads = self.head_dim_of(i), self.kv_heads_of(i)
            attention, kv = self.num_heads * head_dim, kv_heads * head_dim
            add(f"layers.{i}.q", (attention, hidden), self.qkv_bias)
            if self.has_keys(i):
                add(f"layers.{i}.k", (kv, hidden), self.qkv_bias)
            if self.has_values(i):
                add(f"layers.{i}.v", (kv, hidden), self.qkv_bias)
            add_qk_norm(f"layers.{i}.q_norm", self.num_heads, head_dim)
            if self.has_keys(i):
                add_qk_norm(f"layers.{i}.k_norm", kv_heads, head_dim)
            if self.attention_gate:
                add(f"layers.{i}.q_gate", (attention, hidden), self.qkv_bias)
            if self.attention_sinks:
                add(f"layers.{i}.sinks", (self.num_heads,), False)
            add(f"layers.{i}.o", (hidden, attention), self.output_bias)

        def add_recurrence(i: int) -> None:
            add(f"layers.{i}.mix", (self.conv_channels, hidden), False)
            if self.recurrence == "conv":
                add(f"layers.{i}.mix_in", (self.conv_channels, hidden), False)
            add(f"layers.{i}.mix_gate", (self.recurrent_size, hidden), False)
            shapes[f"layers.{i}.conv.weight"] = (self.conv_channels * self.conv_size,)
            if self.conv_bias:
                shapes[f"layers.{i}.conv.bias"] = (self.conv_channels,)
            if self.recurrence != "conv":
                add(f"layers.{i}.step", (self.recurrent_heads, hidden), True)
                add(f"layers.{i}.decay", (self.recurrent_heads,), False)
            if self.recurrence == "delta":
                add(f"layers.{i}.beta", (self.recurrent_heads, hidden), False)
                add(f"layers.{i}.mix_norm", (self.recurrent_value_size,), False)
            if self.recurrence == "mamba":
                add(f"layers.{i}.skip", (self.recurrent_heads,), False)
                add(f"layers.{i}.mix_norm", (self.recurrent_size,), False)
            add(f"layers.{i}.o", (hidden, self.recurrent_size), False)

        if self.embed_norm:
            add("embed_norm", (hidden,), has_norm_bias)
        for i in range(self.num_layers):
            if self.pre_norm and not (self.skips_first_norm and i == 0):
                add(f"layers.{i}.attn_norm", (hidden,), has_norm_bias)
            add_recurrence(i) if self.is_recurrent_layer(i) else add_attention(i)
            if self.post_norm or self.norms_residual:
                add(f"layers.{i}.attn_post_norm", (hidden,), has_norm_bias)
            if self.pre_norm:
                add(f"layers.{i}.mlp_norm", (hidden,), has_norm_bias)
            if self.has_experts(i):
                if self.norms_experts:
                    for norm in ("router_norm", "experts_norm", "experts_post_norm", "shared_post_norm"):
                        add(f"layers.{i}.{norm}", (hidden,), False)
                    add(f"layers.{i}.expert_scale", (self.num_experts,), False)
                add(f"layers.{i}.router", (self.num_experts, hidden), self.router_bias)
                if self.corrects_router:
                    add(f"layers.{i}.router_correction", (self.num_experts,), False)
                for n in range(self.num_experts):
                    add_feed_forward(i, f".{n}", self.expert_size)
                if self.gates_shared_expert:
                    add(f"layers.{i}.shared_router", (hidden,), False)
                if self.shared_expert_size:
                    add_feed_forward(i, "", self.shared_expert_size)
            else:
                add_feed_forward(i, "", self.inner_size_of(i))
            if self.post_norm or self.norms_residual:
                add(f"layers.{i}.mlp_post_norm", (hidden,), has_norm_bias)
            if self.layer_input_size:
                add(f"layers.{i}.input_gate", (self.layer_input_size, hidden), False)
                add(f"layers.{i}.input_projection", (hidden, self.layer_input_size), False)
                add(f"layers.{i}.input_norm", (hidden,), False)
            if self.scales_layers:
                add(f"layers.{i}.scale", (1,), False)
            if self.laurel_size:
                add(f"layers.{i}.laurel_down", (self.laurel_size, hidden), False)
                add(f"layers.{i}.laurel_up", (hidden, self.laurel_size), False)
                add(f"layers.{i}.laurel_norm", (hidden,), False)
            if (streams := self.residual_streams) > 1:
                add(f"layers.{i}.stream_router", (streams * hidden,), False)
                add(f"layers.{i}.stream_router_norm", (hidden,), False)
                add(f"layers.{i}.stream_predict", (streams**3,), False)
                add(f"layers.{i}.stream_correct", (streams**2,), False)
                add(f"layers.{i}.stream_scale", (hidden,), False)
        if not self.norms_residual:
            add("final_norm", (hidden,), has_norm_bias)
        if self.has_head and not self.tied_head:
            add("head", (self.vocab_size, hidden), False)
        if self.head_bias:
            shapes["head.bias"] = (self.vocab_size,)
        return shapes
