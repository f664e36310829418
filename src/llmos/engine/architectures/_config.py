"""Reads config.json of Llama-like models: RMS norm, rotary positions, a gated feed-forward layer."""

from collections.abc import Mapping
from typing import Any

from llmos.engine.architectures import _limits as limits
from llmos.engine.architectures._config_rope import rope_from_config
from llmos.engine.architectures._fields import Fields
from llmos.engine.architectures._heads import check_head
from llmos.engine.architectures._sources import Source, rename
from llmos.engine.architectures._windows import check_no_windows, num_layers_of, window_fields, windowed_layers
from llmos.engine.spec import Activation, DecoderSpec

HF_NAMES = {
    "embed": "model.embed_tokens",
    "attn_norm": "model.layers.{i}.input_layernorm",
    "q": "model.layers.{i}.self_attn.q_proj",
    "k": "model.layers.{i}.self_attn.k_proj",
    "v": "model.layers.{i}.self_attn.v_proj",
    "q_norm": "model.layers.{i}.self_attn.q_norm",
    "k_norm": "model.layers.{i}.self_attn.k_norm",
    "o": "model.layers.{i}.self_attn.o_proj",
    "mlp_norm": "model.layers.{i}.post_attention_layernorm",
    "gate": "model.layers.{i}.mlp.gate_proj",
    "up": "model.layers.{i}.mlp.up_proj",
    "down": "model.layers.{i}.mlp.down_proj",
    "final_norm": "model.norm",
    "head": "lm_head",
}

EXPERT_HF_NAMES = {
    "router": "model.layers.{i}.mlp.gate",
    "gate.{n}": "model.layers.{i}.mlp.experts.{n}.gate_proj",
    "up.{n}": "model.layers.{i}.mlp.experts.{n}.up_proj",
    "down.{n}": "model.layers.{i}.mlp.experts.{n}.down_proj",
}
"""Names that are added to HF_NAMES by most families with experts."""

SANDWICH_NORM_NAMES = HF_NAMES | {
    "attn_post_norm": "model.layers.{i}.post_attention_layernorm",
    "mlp_norm": "model.layers.{i}.pre_feedforward_layernorm",
    "mlp_post_norm": "model.layers.{i}.post_feedforward_layernorm",
}
"""HF_NAMES of families with norms before and after attention and the feed-forward layer (Gemma)."""

ACTIVATIONS: dict[str, Activation] = {
    "silu": "silu",
    "swish": "silu",
    "gelu_new": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu": "gelu",
    "relu2": "relu2",
}


def hf_sources(spec: DecoderSpec) -> dict[str, Source]:
    """Return the sources for files with Llama's tensor names."""
    return rename(spec, HF_NAMES)


def config_fields(config: Mapping[str, Any], names: Mapping[str, str] | None = None) -> Fields:
    """Return the fields of a config.json.

    `names`: names of fields that the family writes differently.
    """
    return Fields(config, where="config.json", names=names)


def decoder_from_config(
    config: Mapping[str, Any],
    *,
    family: str,
    default_head_dim: int | None = None,
    eps_name: str = "rms_norm_eps",
    default_eps: float = 1e-6,
    activation_name: str = "hidden_act",
    default_activation: str = "silu",
    is_tied: bool = False,
    sliding_window: int | None = None,
    windows: Mapping[str, Any] | None = None,
    rope: Mapping[str, Any] | None = None,
    **traits: Any,
) -> DecoderSpec:
    """Return the spec of a config. Absent values have transformers' defaults.

    The keyword arguments are the differences of a family from Llama: other names and defaults in its config, and other
    values of fields of DecoderSpec (`traits`). `rope`: the result of rope_from_config, if it isn't called with Llama's
    defaults. `sliding_window`: of the layers that layer_types gives one, all without such a list. `windows`: the result
    of window_fields, if the family has other rules.
    """
    fields = config_fields(config)
    check_head(fields)
    hidden_size = fields.integer("hidden_size", high=limits.MAX_HIDDEN)
    num_heads = fields.integer("num_attention_heads", high=limits.MAX_HEADS)
    max_positions = fields.integer("max_position_embeddings", high=limits.MAX_POSITIONS)
    head_dim = head_dim_from_config(fields, default_head_dim)
    activation = fields.string(activation_name, default_activation, known=ACTIVATIONS)
    if windows is None:
        windows = _windows(fields, sliding_window, max_positions)
    values: dict[str, Any] = {
        "family": family,
        "vocab_size": fields.integer("vocab_size", high=limits.MAX_VOCAB),
        "hidden_size": hidden_size,
        "num_layers": fields.integer("num_hidden_layers", high=limits.MAX_LAYERS),
        "num_heads": num_heads,
        "num_kv_heads": fields.integer("num_key_value_heads", num_heads, high=limits.MAX_HEADS),
        "head_dim": head_dim,
        "intermediate_size": fields.integer("intermediate_size", high=limits.MAX_INTERMEDIATE),
        "max_positions": max_positions,
        "norm_eps": fields.number(eps_name, default_eps, low=0.0, high=1.0),
        "activation": ACTIVATIONS[activation],
        "tied_head": fields.flag("tie_word_embeddings", is_tied),
    }
    rope = rope_from_config(fields, head_dim=head_dim) if rope is None else rope
    return limits.validated(DecoderSpec(**(values | dict(rope) | dict(windows) | traits)))


def _windows(fields: Fields, window: int | None, max_positions: int) -> dict[str, Any]:
    if window is None:
        check_no_windows(fields)
        return {}
    num_layers = num_layers_of(fields)
    layers = windowed_layers(fields, range(num_layers))
    return window_fields(window, layers, num_layers=num_layers, max_positions=max_positions)


def head_dim_from_config(fields: Fields, default: int | None = None) -> int:
    """Return the size of a head. `default`: of the family; None: hidden_size / num_attention_heads."""
    head_dim = fields.integer("head_dim", default or 0, low=0, high=limits.MAX_HEAD_DIM)
    hidden_size = fields.integer("hidden_size", high=limits.MAX_HIDDEN)
    return head_dim or limits.head_dim_of(hidden_size, fields.integer("num_attention_heads", high=limits.MAX_HEADS))
