"""Qwen 3: an RMS norm over each query and key head, and an independent head size."""

from collections.abc import Mapping
from typing import Any

from llmos.engine.architectures._config import config_fields, decoder_from_config, hf_sources
from llmos.engine.architectures._gguf import decoder_from_gguf, gguf_sources
from llmos.engine.architectures._windows import optional_window_fields
from llmos.engine.encoder_spec import Pooling, ScoreHead
from llmos.engine.spec import DecoderSpec
from llmos.engine.tensors import RawTensor

__all__ = [
    "GGUF_ARCHITECTURE",
    "RERANK_TEMPLATE",
    "SCORE_NAMES",
    "gguf_sources",
    "hf_sources",
    "score_head",
    "spec_from_config",
    "spec_from_gguf",
]

GGUF_ARCHITECTURE = "qwen3"
SCORE_NAMES = {"score": "score"}
RERANK_TEMPLATE = """\
{%- set instruction = messages | selectattr("role", "eq", "system") | map(attribute="content") | first \
| default("Given a web search query, retrieve relevant passages that answer the query") -%}
<|im_start|>system
Judge whether the Document meets the requirements based on the Query and the Instruct provided. \
Note that the answer can only be "yes" or "no".<|im_end|>
<|im_start|>user
<Instruct>: {{ instruction }}
<Query>: {{ messages | selectattr("role", "eq", "query") | map(attribute="content") | first }}
<Document>: {{ messages | selectattr("role", "eq", "document") | map(attribute="content") | first }}<|im_end|>
<|im_start|>assistant
<think>

</think>{{ "\\n\\n" }}"""
"""The prompt that Qwen3-Reranker was trained with, by its model card, as a chat template."""


def spec_from_config(config: Mapping[str, Any]) -> DecoderSpec:
    fields = config_fields(config)
    has_bias = fields.flag("attention_bias", False)
    return decoder_from_config(
        config,
        family="qwen3",
        default_head_dim=128,
        qkv_bias=has_bias,
        output_bias=has_bias,
        qk_norm="head",
        windows=optional_window_fields(fields),
    )


def score_head(config: Mapping[str, Any]) -> tuple[ScoreHead, Pooling]:
    return ScoreHead(score_bias=False, uses_template=True), "last"


def spec_from_gguf(metadata: Mapping[str, Any], tensors: Mapping[str, RawTensor]) -> DecoderSpec:
    return decoder_from_gguf(metadata, tensors, architecture=GGUF_ARCHITECTURE, qk_norm="head")
