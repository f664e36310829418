"""Read a config.json of Llama and its many heirs: RMS norm, rotary positions, a gated feed-forward layer."""

from collections.abc import Mapping
from typing import Any

from llmos.core.errors import UnsupportedModel
from llmos.engine.architectures import _limits as limits
from llmos.engine.architectures._fields import Fields
from llmos.engine.architectures._sources import Source, rename
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

ACTIVATIONS: dict[str, Activation] = {
    "silu": "silu",
    "swish": "silu",
    "gelu_new": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
}


def hf_sources(spec: DecoderSpec) -> dict[str, Source]:
    return rename(spec, HF_NAMES)


def config_fields(config: Mapping[str, Any]) -> Fields:
    """Return the fields of a config.json. Raises UnsupportedModel for one whose weights are quantized in place."""
    fields = Fields(config, where="config.json")
    quantization = fields.section("quantization_config")
    if quantization is not None:
        raise UnsupportedModel(
            f"These weights are quantized with {quantization.word('quant_method', 'an unnamed method')}; "
            "use the original checkpoint, or a GGUF file of it."
        )
    return fields


def decoder_from_config(
    config: Mapping[str, Any],
    *,
    family: str,
    default_head_dim: int | None = None,
    qkv_bias: bool = False,
    output_bias: bool = False,
    mlp_bias: bool = False,
    qk_norm: bool = False,
    sliding_window: int | None = None,
) -> DecoderSpec:
    """Return the spec of a config; absent values are what transformers takes them for.

    What differs from family to family is passed in.
    """
    fields = config_fields(config)
    hidden_size = fields.integer("hidden_size", high=limits.MAX_HIDDEN)
    num_heads = fields.integer("num_attention_heads", high=limits.MAX_HEADS)
    max_positions = fields.integer("max_position_embeddings", high=limits.MAX_POSITIONS)
    head_dim = fields.integer("head_dim", default_head_dim or 0, low=0, high=limits.MAX_HEAD_DIM)
    spec = DecoderSpec(
        family=family,
        vocab_size=fields.integer("vocab_size", high=limits.MAX_VOCAB),
        hidden_size=hidden_size,
        num_layers=fields.integer("num_hidden_layers", high=limits.MAX_LAYERS),
        num_heads=num_heads,
        num_kv_heads=fields.integer("num_key_value_heads", num_heads, high=limits.MAX_HEADS),
        head_dim=head_dim or limits.head_dim_of(hidden_size, num_heads),
        intermediate_size=fields.integer("intermediate_size", high=limits.MAX_INTERMEDIATE),
        max_positions=max_positions,
        norm_eps=fields.number("rms_norm_eps", 1e-6, low=0.0, high=1.0),
        activation=ACTIVATIONS[fields.word("hidden_act", "silu", known=ACTIVATIONS)],
        qkv_bias=qkv_bias,
        output_bias=output_bias,
        mlp_bias=mlp_bias,
        qk_norm=qk_norm,
        sliding_window=limits.window_or_none(sliding_window, max_positions),
        tied_head=fields.flag("tie_word_embeddings", False),
        **_rope(fields),
    )
    return limits.checked(spec)


def _rope(fields: Fields) -> dict[str, Any]:
    """Return the spec's rope values. transformers 5 writes rope_parameters; 4 wrote rope_theta and rope_scaling."""
    parameters = fields.section("rope_parameters")
    scaling = parameters or fields.section("rope_scaling")
    theta = {"low": 1.0, "high": 1e12}
    rope: dict[str, Any] = {"rope_theta": fields.number("rope_theta", 10_000.0, **theta)}
    if parameters is not None:
        rope["rope_theta"] = parameters.number("rope_theta", rope["rope_theta"], **theta)
    if scaling is None:
        return rope
    if scaling.number("partial_rotary_factor", 1.0, low=0.0, high=1.0) != 1.0:
        raise limits.refuse_parts("partial rotary positions (partial_rotary_factor)")

    # The key was "type" until transformers 4.43.
    kind = scaling.word("rope_type", scaling.word("type", "default"), known=("default", "linear", "llama3"))
    if kind == "default":
        return rope
    rope |= {"rope_scaling": kind, "rope_factor": scaling.number("factor", low=1.0, high=1e6)}
    if kind == "llama3":
        rope |= {
            "rope_low_frequency_factor": scaling.number("low_freq_factor", low=1e-6, high=1e6),
            "rope_high_frequency_factor": scaling.number("high_freq_factor", low=1e-6, high=1e6),
            "rope_original_positions": scaling.integer("original_max_position_embeddings", high=limits.MAX_POSITIONS),
        }
    return rope
