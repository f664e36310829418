"""BERT, an encoder that embeds texts: MiniLM, BGE, E5, GTE and many others.

GGUF files of RoBERTa, XLM-RoBERTa and DistilBERT have the same architecture.
"""

from collections.abc import Mapping
from typing import Any

from llmos.engine.architectures._encoder import (
    GGUF_NAMES,
    HF_NAMES,
    POOLER_KEYS,
    encoder_from_config,
    encoder_from_gguf,
)
from llmos.engine.architectures._sources import Source, rename
from llmos.engine.encoder_spec import EncoderSpec, Pooling, ScoreHead
from llmos.engine.tensors import RawTensor

GGUF_ARCHITECTURE = "bert"
IS_ENCODER = True
HF_PREFIX = "bert."
HARMLESS_CONFIG = POOLER_KEYS
SCORE_NAMES = {"score_dense": "bert.pooler.dense", "score": "classifier"}


def spec_from_config(config: Mapping[str, Any]) -> EncoderSpec:
    return encoder_from_config(config, family="bert")


def score_head(config: Mapping[str, Any]) -> tuple[ScoreHead, Pooling]:
    return ScoreHead(has_dense=True, activation="tanh"), "cls"


def hf_sources(spec: EncoderSpec) -> dict[str, Source]:
    return rename(spec, {name: HF_PREFIX + theirs for name, theirs in HF_NAMES.items()})


def spec_from_gguf(metadata: Mapping[str, Any], tensors: Mapping[str, RawTensor]) -> EncoderSpec:
    return encoder_from_gguf(metadata, tensors, architecture=GGUF_ARCHITECTURE, family="bert")


def gguf_sources(spec: EncoderSpec) -> dict[str, Source]:
    return rename(spec, GGUF_NAMES)
