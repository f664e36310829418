"""ModernBERT, an encoder that embeds texts: rotary positions, gated layers, a window in two of three layers."""

from collections.abc import Mapping
from typing import Any

from llmos.core.errors import BadModelFile
from llmos.engine.architectures import _limits as limits
from llmos.engine.architectures._config import ACTIVATIONS, config_fields
from llmos.engine.architectures._config_rope import THETA_RANGE, scaling_from_config
from llmos.engine.architectures._encoder import refuse_heads
from llmos.engine.architectures._fields import Fields
from llmos.engine.architectures._gguf import encoder_base_from_gguf, encoder_fields_from_gguf
from llmos.engine.architectures._read_keys import ANY, Harmless
from llmos.engine.architectures._score_head import HEAD_ACTIVATIONS
from llmos.engine.architectures._sources import Source, rename, split_qkv, split_rows
from llmos.engine.architectures._windows import num_layers_of, windowed_layers
from llmos.engine.encoder_spec import EncoderSpec, Pooling, ScoreHead, embedder_of
from llmos.engine.spec import DecoderSpec
from llmos.engine.tensors import RawTensor

GGUF_ARCHITECTURE = "modern-bert"
IS_ENCODER = True
HARMLESS_CONFIG: Harmless = {
    **dict.fromkeys(
        (
            "classifier_activation", "classifier_bias", "classifier_pooling", "decoder_bias",
            "deterministic_flash_attn", "gradient_checkpointing", "initializer_cutoff_factor", "mlp_dropout",
            "reference_compile", "repad_logits_with_grad", "sparse_pred_ignore_index", "sparse_prediction",
            "layer_norm_eps",
            "global_attn_every_n_layers",
        ),
        ANY,
    ),
}  # fmt: skip
"""Options of heads, which only a reranker reads, and of programs."""

HARMLESS_GGUF: Harmless = {"rope.scaling.type": ("none",)}
SCORE_NAMES = {"score_dense": "head.dense", "score_norm": "head.norm", "score": "classifier"}

_NAMES = {
    "embed": "model.embeddings.tok_embeddings",
    "embed_norm": "model.embeddings.norm",
    "attn_norm": "model.layers.{i}.attn_norm",
    "o": "model.layers.{i}.attn.Wo",
    "mlp_norm": "model.layers.{i}.mlp_norm",
    "down": "model.layers.{i}.mlp.Wo",
    "final_norm": "model.final_norm",
}


def spec_from_config(config: Mapping[str, Any]) -> EncoderSpec:
    fields = config_fields(config)
    refuse_heads(config)
    hidden_size = fields.integer("hidden_size", high=limits.MAX_HIDDEN)
    num_heads = fields.integer("num_attention_heads", high=limits.MAX_HEADS)
    has_bias = fields.flag("attention_bias", False)
    # The config has the width of the window, of which one half lies before a position.
    window = fields.integer("local_attention", 128, low=2, high=limits.MAX_POSITIONS) // 2 + 1
    interval = fields.integer("global_attn_every_n_layers", 3, high=limits.MAX_LAYERS)
    usual = [i for i in range(num_layers_of(fields)) if i % interval]
    decoder = DecoderSpec(
        family="modernbert",
        vocab_size=fields.integer("vocab_size", high=limits.MAX_VOCAB),
        hidden_size=hidden_size,
        num_layers=num_layers_of(fields),
        num_heads=num_heads,
        num_kv_heads=num_heads,
        head_dim=limits.head_dim_of(hidden_size, num_heads),
        intermediate_size=fields.integer("intermediate_size", high=limits.MAX_INTERMEDIATE),
        max_positions=fields.integer("max_position_embeddings", high=limits.MAX_POSITIONS),
        norm="layernorm",
        norm_eps=fields.number("norm_eps", 1e-5, low=0.0, high=1.0),
        norm_bias=fields.flag("norm_bias", False),
        embed_norm=True,
        skips_first_norm=True,
        is_causal=False,
        activation=ACTIVATIONS[fields.string("hidden_activation", "gelu", known=ACTIVATIONS)],
        qkv_bias=has_bias,
        output_bias=has_bias,
        mlp_bias=fields.flag("mlp_bias", False),
        sliding_window=window,
        windowed_layers=windowed_layers(fields, usual),
        rope_theta=_theta(fields, "full_attention", "global_rope_theta", 160_000.0),
        window_rope_theta=_theta(fields, "sliding_attention", "local_rope_theta", 10_000.0),
        tied_head=True,
    )
    return embedder_of(limits.validated(decoder), family="modernbert")


def score_head(config: Mapping[str, Any]) -> tuple[ScoreHead, Pooling]:
    fields = config_fields(config)
    head = ScoreHead(
        has_dense=True,
        dense_bias=fields.flag("classifier_bias", False),
        activation=HEAD_ACTIVATIONS[fields.string("classifier_activation", "gelu", known=HEAD_ACTIVATIONS)],
        has_norm=True,
        norm_bias=fields.flag("norm_bias", False),
        norm_eps=fields.number("norm_eps", 1e-5, low=0.0, high=1.0),
    )
    poolings: dict[str, Pooling] = {"cls": "cls", "mean": "mean"}
    return head, poolings[fields.string("classifier_pooling", "cls", known=poolings)]


def hf_sources(spec: DecoderSpec) -> dict[str, Source]:
    layer, size = "model.layers.{i}", spec.intermediate_size
    return (
        rename(spec, _NAMES)
        | split_qkv(spec, f"{layer}.attn.Wqkv")
        | split_rows(spec, f"{layer}.mlp.Wi", {"gate": size, "up": size})
    )


_GGUF_NAMES = {
    "embed": "token_embd",
    "embed_norm": "token_embd_norm",
    "attn_norm": "blk.{i}.attn_norm",
    "o": "blk.{i}.attn_output",
    "mlp_norm": "blk.{i}.ffn_norm",
    "down": "blk.{i}.ffn_down",
    "final_norm": "output_norm",
}


def spec_from_gguf(metadata: Mapping[str, Any], tensors: Mapping[str, RawTensor]) -> EncoderSpec:
    fields = encoder_fields_from_gguf(metadata, GGUF_ARCHITECTURE)
    base = encoder_base_from_gguf(metadata, tensors, fields)
    has_bias = "blk.0.attn_qkv.bias" in tensors
    interval = fields.integer("attention.sliding_window_pattern", 3, high=limits.MAX_LAYERS)
    activation = fields.string("hidden_activation", fields.string("hidden_act", "gelu"), known=ACTIVATIONS)
    decoder = DecoderSpec(
        **base,
        family="modernbert",
        norm_bias="output_norm.bias" in tensors,
        skips_first_norm=True,
        activation=ACTIVATIONS[activation],
        qkv_bias=has_bias,
        output_bias=has_bias,
        mlp_bias="blk.0.ffn_down.bias" in tensors,
        sliding_window=fields.integer("attention.sliding_window", 128, low=2, high=limits.MAX_POSITIONS) // 2 + 1,
        windowed_layers=tuple(i for i in range(base["num_layers"]) if i % interval),
        rope_theta=fields.number("rope.freq_base", 160_000.0, **THETA_RANGE),
        window_rope_theta=fields.number("rope.freq_base_swa", 10_000.0, **THETA_RANGE),
    )
    return embedder_of(limits.validated(decoder), family="modernbert")


def gguf_sources(spec: DecoderSpec) -> dict[str, Source]:
    size = spec.intermediate_size
    return (
        rename(spec, _GGUF_NAMES)
        | split_qkv(spec, "blk.{i}.attn_qkv")
        | split_rows(spec, "blk.{i}.ffn_up", {"gate": size, "up": size})
    )


def _theta(fields: Fields, kind: str, older_name: str, default: float) -> float:
    """Return the rope theta of one kind of layer. Raises UnsupportedModel for a scaling."""
    theta = fields.number(older_name, default, **THETA_RANGE)
    parameters = fields.section("rope_parameters")
    if parameters is None:
        if fields.get("rope_scaling") is not None:
            raise limits.unsupported("scaled rotary positions (rope_scaling)")
        return theta
    section = parameters.section(kind)
    if section is None:
        return theta
    if scaling_from_config(fields, section):
        raise BadModelFile(f"config.json: rope_parameters of {kind} has a scaling, which this engine does not run.")
    return section.number("rope_theta", theta, **THETA_RANGE)
