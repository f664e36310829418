"""DistilBERT: BERT without token types, with other names."""

from collections.abc import Mapping
from typing import Any

from llmos.engine.architectures._encoder import encoder_from_config
from llmos.engine.architectures._read_keys import ANY
from llmos.engine.architectures._sources import Source, rename
from llmos.engine.encoder_spec import EncoderSpec, Pooling, ScoreHead

GGUF_ARCHITECTURE = None
IS_ENCODER = True
HF_PREFIX = "distilbert."
HARMLESS_CONFIG = {"tie_weights_": ANY, "type_vocab_size": ANY, "hidden_act": ANY}

SCORE_NAMES = {"score_dense": "pre_classifier", "score": "classifier"}

_CONFIG_NAMES = {
    "hidden_size": "dim",
    "num_hidden_layers": "n_layers",
    "num_attention_heads": "n_heads",
    "intermediate_size": "hidden_dim",
    "hidden_act": "activation",
}

_NAMES = {
    "embed": "embeddings.word_embeddings",
    "positions": "embeddings.position_embeddings",
    "embed_norm": "embeddings.LayerNorm",
    "q": "transformer.layer.{i}.attention.q_lin",
    "k": "transformer.layer.{i}.attention.k_lin",
    "v": "transformer.layer.{i}.attention.v_lin",
    "o": "transformer.layer.{i}.attention.out_lin",
    "attn_norm": "transformer.layer.{i}.sa_layer_norm",
    "up": "transformer.layer.{i}.ffn.lin1",
    "down": "transformer.layer.{i}.ffn.lin2",
    "mlp_norm": "transformer.layer.{i}.output_layer_norm",
}


def spec_from_config(config: Mapping[str, Any]) -> EncoderSpec:
    return encoder_from_config(config, family="distilbert", names=_CONFIG_NAMES, has_types=False)


def score_head(config: Mapping[str, Any]) -> tuple[ScoreHead, Pooling]:
    return ScoreHead(has_dense=True, activation="relu"), "cls"


def hf_sources(spec: EncoderSpec) -> dict[str, Source]:
    return rename(spec, {name: HF_PREFIX + theirs for name, theirs in _NAMES.items()})
