"""NomicBERT, an encoder that embeds texts: BERT with rotary positions and gated feed-forward layers."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from llmos.engine.architectures import _limits as limits
from llmos.engine.architectures._config import ACTIVATIONS, config_fields, head_dim_from_config
from llmos.engine.architectures._config_rope import rope_from_config
from llmos.engine.architectures._encoder import refuse_heads
from llmos.engine.architectures._gguf import encoder_base_from_gguf, encoder_fields_from_gguf
from llmos.engine.architectures._gguf_rope import rope_from_gguf
from llmos.engine.architectures._read_keys import ANY, ChangedKeys, Harmless
from llmos.engine.architectures._sources import Source, rename, split_qkv
from llmos.engine.encoder_spec import EncoderSpec, embedder_of
from llmos.engine.spec import DecoderSpec
from llmos.engine.tensors import RawTensor

GGUF_ARCHITECTURE = "nomic-bert"
IS_ENCODER = True
HF_PREFIX = "nomic_bert."
HARMLESS_CONFIG: Harmless = {
    "causal": (False,), "dense_seq_output": ANY, "fused_bias_fc": ANY, "fused_dropout_add_ln": ANY,
    "max_trained_positions": ANY, "pad_vocab_size_multiple": ANY, "parallel_block": (False,),
    "parallel_block_tied_norm": (False,), "reorder_and_upcast_attn": ANY, "rotary_emb_scale_base": ANY,
    "scale_attn_by_inverse_layer_idx": (False,), "scale_attn_weights": (True,), "use_xentropy": ANY,
}  # fmt: skip

_NAMES = {
    "embed": "embeddings.word_embeddings",
    "types": "embeddings.token_type_embeddings",
    "embed_norm": "emb_ln",
    "o": "encoder.layers.{i}.attn.out_proj",
    "attn_post_norm": "encoder.layers.{i}.norm1",
    "gate": "encoder.layers.{i}.mlp.fc12",
    "up": "encoder.layers.{i}.mlp.fc11",
    "down": "encoder.layers.{i}.mlp.fc2",
    "mlp_post_norm": "encoder.layers.{i}.norm2",
}

_GGUF_NAMES = {
    "embed": "token_embd",
    "types": "token_types",
    "embed_norm": "token_embd_norm",
    "o": "blk.{i}.attn_output",
    "attn_post_norm": "blk.{i}.attn_output_norm",
    "gate": "blk.{i}.ffn_gate",
    "up": "blk.{i}.ffn_up",
    "down": "blk.{i}.ffn_down",
    "mlp_post_norm": "blk.{i}.layer_output_norm",
}

_OLDER_CONFIG_NAMES = {
    "hidden_size": "n_embd",
    "num_hidden_layers": "n_layer",
    "num_attention_heads": "n_head",
    "intermediate_size": "n_inner",
    "max_position_embeddings": "n_positions",
    "layer_norm_eps": "layer_norm_epsilon",
    "rope_theta": "rotary_emb_base",
}
"""The names that Nomic's own configs have for those of transformers."""

_USUAL: dict[str, Any] = {
    "activation_function": "swiglu", "qkv_proj_bias": False, "mlp_fc1_bias": False, "mlp_fc2_bias": False,
    "prenorm": False, "rotary_emb_fraction": 1.0, "rotary_emb_interleaved": False, "rotary_scaling_factor": None,
    "use_rms_norm": False,
}  # fmt: skip
"""Options of Nomic's own configs, with the only values that the engine runs."""


def spec_from_config(config: Mapping[str, Any]) -> EncoderSpec:
    older = {name: config[theirs] for name, theirs in _OLDER_CONFIG_NAMES.items() if theirs in config}
    config = ChangedKeys(config, **older)
    for name, usual in _USUAL.items():
        if config.get(name, usual) != usual and config.get(name) is not None:
            raise limits.unsupported(f"an unusual {name}")
    fields = config_fields(config)
    refuse_heads(config)
    num_heads = fields.integer("num_attention_heads", high=limits.MAX_HEADS)
    head_dim = head_dim_from_config(fields)
    fields.integer("type_vocab_size", 2, high=limits.MAX_VOCAB)
    decoder = DecoderSpec(
        family="nomic_bert",
        vocab_size=fields.integer("vocab_size", high=limits.MAX_VOCAB),
        hidden_size=fields.integer("hidden_size", high=limits.MAX_HIDDEN),
        num_layers=fields.integer("num_hidden_layers", high=limits.MAX_LAYERS),
        num_heads=num_heads,
        num_kv_heads=num_heads,
        head_dim=head_dim,
        intermediate_size=fields.integer("intermediate_size", high=limits.MAX_INTERMEDIATE),
        max_positions=fields.integer("max_position_embeddings", high=limits.MAX_POSITIONS),
        norm="layernorm",
        norm_eps=fields.number("layer_norm_eps", 1e-12, low=0.0, high=1.0),
        pre_norm=False,
        norms_residual=True,
        embed_norm=True,
        token_type=True,
        is_causal=False,
        has_head=False,
        activation=ACTIVATIONS[fields.string("hidden_act", "silu", known=ACTIVATIONS)],
        tied_head=True,
        **rope_from_config(fields, head_dim=head_dim, default_theta=1000.0),
    )
    return embedder_of(limits.validated(decoder), family="nomic_bert")


def hf_sources(spec: DecoderSpec) -> dict[str, Source]:
    sources = rename(spec, {name: HF_PREFIX + theirs for name, theirs in _NAMES.items()})
    sources |= split_qkv(spec, f"{HF_PREFIX}encoder.layers.{{i}}.attn.Wqkv")
    # All tokens of a single text have the type 0.
    sources["types.weight"] = replace(sources["types.weight"], row=0)
    return sources


def spec_from_gguf(metadata: Mapping[str, Any], tensors: Mapping[str, RawTensor]) -> EncoderSpec:
    fields = encoder_fields_from_gguf(metadata, GGUF_ARCHITECTURE)
    base = encoder_base_from_gguf(metadata, tensors, fields)
    decoder = DecoderSpec(
        **base,
        family="nomic_bert",
        pre_norm=False,
        norms_residual=True,
        token_type=True,
        activation="silu",
        **rope_from_gguf(fields, tensors, base["head_dim"]),
    )
    return embedder_of(limits.validated(decoder), family="nomic_bert")


def gguf_sources(spec: DecoderSpec) -> dict[str, Source]:
    sources = rename(spec, _GGUF_NAMES) | split_qkv(spec, "blk.{i}.attn_qkv")
    sources["types.weight"] = replace(sources["types.weight"], row=0)
    return sources
