"""Reads the head of a reranker from a GGUF file, as llama.cpp's converter writes it.

cls            the dense layer, with tanh behind it
cls.output     the score, or the logits of two words, whose difference is the score

Scores are the sigmoid of what the head computes, as with sentence-transformers; llama.cpp gives some without it.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from llmos.core.errors import BadModelFile
from llmos.engine.architectures import _limits as limits
from llmos.engine.architectures._sources import Source
from llmos.engine.encoder_spec import EncoderSpec, ModelSpec, ScoreHead, embedder_of
from llmos.engine.spec import DecoderSpec
from llmos.engine.tensors import RawTensor

_WORDS = ["yes", "no"]
"""The labels of a model that answers whether a document is relevant: cls.output has the rows of these tokens."""

_NAMES = {
    "score_dense.weight": Source("cls.weight"),
    "score_dense.bias": Source("cls.bias"),
    # A file that llama.cpp quantized has the matrix of one row as a vector.
    "score.weight": Source("cls.output.weight", flatten=True),
    "score.bias": Source("cls.output.bias"),
    "score_true.weight": Source("cls.output.weight", row=0),
    "score_false.weight": Source("cls.output.weight", row=1),
}


def gguf_score_sources(head: ScoreHead, hidden_size: int) -> dict[str, Source]:
    """Return the sources of the head's tensors."""
    return {name: _NAMES[name] for name in head.tensor_shapes(hidden_size)}


def with_gguf_score_head(
    spec: ModelSpec,
    metadata: Mapping[str, Any],
    tensors: Mapping[str, RawTensor],
    *,
    architecture: str,
    family: str,
    template: str | None,
) -> EncoderSpec:
    """Return the spec of the reranker whose body has this spec.

    `template`: the family's chat template for pairs, if it has one. Raises UnsupportedModel and BadModelFile.
    """
    labels = metadata.get(f"{architecture}.classifier.output_labels")
    if isinstance(spec, DecoderSpec):
        if labels != _WORDS or template is None:
            raise limits.unsupported(
                "a GGUF file of a reranker with another head than the words yes and no. Import the model's Hugging "
                "Face folder instead"
            )
        head = ScoreHead(
            uses_template=True,
            template=template,
            true_token=_token_id(metadata, "yes"),
            false_token=_token_id(metadata, "no"),
        )
        return replace(embedder_of(spec, family=family), pooling="last", score_head=head)
    if architecture != "bert":
        raise limits.unsupported(
            f"the scores of a GGUF file of {spec.family}, which doesn't say how its tokens become one vector. Import "
            "the model's Hugging Face folder instead"
        )
    if isinstance(labels, list) and len(labels) > 1:
        raise limits.unsupported(f"a classification head with {len(labels)} labels")
    if "cls.output.weight" in tensors and "cls.weight" not in tensors:
        raise BadModelFile(
            "The file lacks a layer of the reranker's head (cls.weight), which llama.cpp's converter leaves out of BERT"
            " models; scores without it are wrong. Import the model's Hugging Face folder instead."
        )
    head = ScoreHead(
        has_dense=True,
        dense_bias="cls.bias" in tensors,
        activation="tanh",
        score_bias="cls.output.bias" in tensors,
    )
    return replace(spec, family=family, pooling="cls", score_head=head)


def _token_id(metadata: Mapping[str, Any], text: str) -> int:
    tokens = metadata.get("tokenizer.ggml.tokens")
    if not isinstance(tokens, list) or text not in tokens:
        raise BadModelFile(f"The file's vocabulary has no token {text!r}, whose logit is the score.")
    return tokens.index(text)
