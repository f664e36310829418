"""Reads config.json and GGUF metadata of BERT-like encoders."""

from collections.abc import Mapping
from typing import Any

from llmos.core.errors import BadModelFile
from llmos.engine.architectures import _limits as limits
from llmos.engine.architectures._config import config_fields
from llmos.engine.architectures._gguf import encoder_base_from_gguf, encoder_fields_from_gguf
from llmos.engine.architectures._heads import check_head
from llmos.engine.architectures._read_keys import ANY
from llmos.engine.encoder_spec import EncoderActivation, EncoderSpec
from llmos.engine.tensors import RawTensor

HF_NAMES = {
    "embed": "embeddings.word_embeddings",
    "positions": "embeddings.position_embeddings",
    "types": "embeddings.token_type_embeddings",
    "embed_norm": "embeddings.LayerNorm",
    "q": "encoder.layer.{i}.attention.self.query",
    "k": "encoder.layer.{i}.attention.self.key",
    "v": "encoder.layer.{i}.attention.self.value",
    "o": "encoder.layer.{i}.attention.output.dense",
    "attn_norm": "encoder.layer.{i}.attention.output.LayerNorm",
    "up": "encoder.layer.{i}.intermediate.dense",
    "down": "encoder.layer.{i}.output.dense",
    "mlp_norm": "encoder.layer.{i}.output.LayerNorm",
}

GGUF_NAMES = {
    "embed": "token_embd",
    "positions": "position_embd",
    "types": "token_types",
    "embed_norm": "token_embd_norm",
    "q": "blk.{i}.attn_q",
    "k": "blk.{i}.attn_k",
    "v": "blk.{i}.attn_v",
    "o": "blk.{i}.attn_output",
    "attn_norm": "blk.{i}.attn_output_norm",
    "up": "blk.{i}.ffn_up",
    "down": "blk.{i}.ffn_down",
    "mlp_norm": "blk.{i}.layer_output_norm",
}

POOLER_KEYS = dict.fromkeys(
    (
        "directionality", "pooler_fc_size", "pooler_num_attention_heads", "pooler_num_fc_layers",
        "pooler_size_per_head", "pooler_type", "emb_size", "num_choices",
    ),
    ANY,
)  # fmt: skip
"""Keys of config.json about the pooler, a layer for classifying texts that embeddings don't use."""

ACTIVATIONS: dict[str, EncoderActivation] = {
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "silu": "silu",
    "swish": "silu",
}


def encoder_from_config(
    config: Mapping[str, Any],
    *,
    family: str,
    pads_positions: bool = False,
    names: Mapping[str, str] | None = None,
    has_types: bool = True,
) -> EncoderSpec:
    """Return the spec of a config. Absent values have transformers' defaults.

    `pads_positions`: the rows of the position table up to the padding token's id are unused. `names`: names of fields
    that the family writes differently. `has_types`: tokens have types.
    """
    fields = config_fields(config, names)
    check_head(fields, is_encoder=True)
    hidden_size = fields.integer("hidden_size", high=limits.MAX_HIDDEN)
    num_heads = fields.integer("num_attention_heads", high=limits.MAX_HEADS)
    num_positions = fields.integer("max_position_embeddings", high=limits.MAX_POSITIONS)
    first_position = fields.integer("pad_token_id", 1, low=0, high=limits.MAX_VOCAB) + 1 if pads_positions else 0
    if first_position >= num_positions:
        raise BadModelFile(
            f"config.json: pad_token_id is {first_position - 1:,} and max_position_embeddings {num_positions:,}; "
            "that leaves no position for a text."
        )
    fields.string("position_embedding_type", "absolute", known=("absolute",))
    if fields.flag("is_decoder", False):
        raise limits.unsupported("a decoder instead of an encoder (is_decoder)")
    return EncoderSpec(
        family=family,
        vocab_size=fields.integer("vocab_size", high=limits.MAX_VOCAB),
        hidden_size=hidden_size,
        num_layers=fields.integer("num_hidden_layers", high=limits.MAX_LAYERS),
        num_heads=num_heads,
        head_dim=limits.head_dim_of(hidden_size, num_heads),
        intermediate_size=fields.integer("intermediate_size", high=limits.MAX_INTERMEDIATE),
        num_positions=num_positions,
        first_position=first_position,
        num_types=fields.integer("type_vocab_size", 2, low=0, high=limits.MAX_VOCAB) if has_types else 0,
        norm_eps=fields.number("layer_norm_eps", 1e-12, low=0.0, high=1.0),
        activation=ACTIVATIONS[fields.string("hidden_act", "gelu", known=ACTIVATIONS)],
        max_positions=num_positions - first_position,
    )


def encoder_from_gguf(
    metadata: Mapping[str, Any], tensors: Mapping[str, RawTensor], *, architecture: str, family: str
) -> EncoderSpec:
    """Return the spec of GGUF metadata.

    Files have neither the unused rows of the position table nor the activation, which is GELU in all known models.
    """
    fields = encoder_fields_from_gguf(metadata, architecture)
    base = encoder_base_from_gguf(metadata, tensors, fields)
    if "position_embd.weight" not in tensors:
        raise BadModelFile("The file has no tensor position_embd.weight, which this encoder needs.")
    num_positions = tensors["position_embd.weight"].shape[0]
    types = tensors.get("token_types.weight")
    same = ("vocab_size", "hidden_size", "num_layers", "num_heads", "head_dim", "intermediate_size", "norm_eps")
    return EncoderSpec(
        family=family,
        **{name: base[name] for name in same},
        num_positions=num_positions,
        num_types=0 if types is None else types.shape[0],
        max_positions=min(base["max_positions"], num_positions),
    )


def refuse_heads(config: Mapping[str, Any]) -> None:
    """Raise UnsupportedModel for a model with another head."""
    for name in config.get("architectures") or ():
        if "Classification" in str(name) or "QuestionAnswering" in str(name):
            raise limits.unsupported(f"a classification head instead of embeddings ({str(name)[:64]})")
