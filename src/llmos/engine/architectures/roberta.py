"""RoBERTa: BERT with positions that begin after the padding token's id."""

from collections.abc import Mapping
from typing import Any

from llmos.engine.architectures._encoder import HF_NAMES, POOLER_KEYS, encoder_from_config
from llmos.engine.architectures._sources import Source, rename
from llmos.engine.encoder_spec import EncoderSpec, Pooling, ScoreHead

GGUF_ARCHITECTURE = None
IS_ENCODER = True
HF_PREFIX = "roberta."
HARMLESS_CONFIG = POOLER_KEYS
SCORE_NAMES = {"score_dense": "classifier.dense", "score": "classifier.out_proj"}


def spec_from_config(config: Mapping[str, Any]) -> EncoderSpec:
    return encoder_from_config(config, family="roberta", pads_positions=True)


def score_head(config: Mapping[str, Any]) -> tuple[ScoreHead, Pooling]:
    return ScoreHead(has_dense=True, activation="tanh"), "cls"


def hf_sources(spec: EncoderSpec) -> dict[str, Source]:
    return rename(spec, {name: HF_PREFIX + theirs for name, theirs in HF_NAMES.items()})
