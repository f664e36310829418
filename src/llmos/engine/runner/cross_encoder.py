"""Scores pairs of texts: runs an encoder or a decoder, and turns each pooled vector into a score."""

from collections.abc import Mapping
from math import erf, exp
from typing import Protocol

import numpy as np
import numpy.typing as npt

from llmos.engine.encoder_spec import EncoderSpec, HeadActivation, ScoreHead
from llmos.engine.formats.dequantize import dequantize
from llmos.engine.tensors import RawTensor

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int32]


class Body(Protocol):
    """The interface of a NativeEncoder or DecoderEmbedder that a CrossEncoder uses."""

    def forward(self, tokens_N: Ints, starts: Ints, types_N: Ints | None = None) -> Floats: ...
    @property
    def isa(self) -> str: ...
    @property
    def weight_bytes(self) -> int: ...


class CrossEncoder:
    """Runs the spec of a reranker. The head's weights stay 32-bit floats."""

    def __init__(self, spec: EncoderSpec, body: Body, tensors: Mapping[str, RawTensor]) -> None:
        """`body`: runs spec.body."""
        assert spec.score_head is not None, "a reranker has a head"
        self.spec, self._body = spec, body
        self._head = _Head(spec.score_head, tensors, spec.hidden_size)

    def forward(self, tokens_N: Ints, starts: Ints, types_N: Ints | None = None) -> Floats:
        """Return the score of each of S pairs, [S, 1]; pair s is tokens_N[starts[s]:starts[s + 1]]. None depends on
        the pairs beside it.

        Raises SequencesRefused if the runner can tell which sequences can't be computed.
        """
        vectors_SH = self._body.forward(tokens_N, starts, types_N)
        return np.array([[self._head.score(vector_H)] for vector_H in vectors_SH], np.float32)

    @property
    def isa(self) -> str:
        return self._body.isa

    @property
    def weight_bytes(self) -> int:
        return self._body.weight_bytes + self._head.num_bytes


class _Head:
    """A ScoreHead with its weights."""

    def __init__(self, head: ScoreHead, tensors: Mapping[str, RawTensor], hidden_size: int) -> None:
        self._head = head
        self._weights = {
            name: dequantize(tensors[name]).reshape(shape) for name, shape in head.tensor_shapes(hidden_size).items()
        }
        self.num_bytes = sum(each.nbytes for each in self._weights.values())

    def score(self, vector_H: Floats) -> float:
        """Return the score of one pair."""
        head, weights = self._head, self._weights
        if head.has_dense:
            # One row at a time: a product of matrices may round a row by the number of others.
            vector_H = weights["score_dense.weight"] @ vector_H
            if head.dense_bias:
                vector_H = vector_H + weights["score_dense.bias"]
            vector_H = _activated(vector_H, head.activation)
        if head.has_norm:
            vector_H = _normalized(vector_H, head.norm_eps) * weights["score_norm.weight"]
            if head.norm_bias:
                vector_H = vector_H + weights["score_norm.bias"]
        score = self._logit(vector_H)
        return _sigmoid(score) if head.is_sigmoid else score

    def _logit(self, vector_H: Floats) -> float:
        weights = self._weights
        if self._head.true_token is None:
            score = float(weights["score.weight"][0] @ vector_H)
            return score + float(weights["score.bias"][0]) if self._head.score_bias else score
        score = float(weights["score_true.weight"] @ vector_H)
        if self._head.false_token is None:
            return score
        return score - float(weights["score_false.weight"] @ vector_H)


def _activated(values: Floats, activation: HeadActivation) -> Floats:
    x = values.astype(np.float64)
    match activation:
        case "tanh":
            result = np.tanh(x)
        case "relu":
            result = np.maximum(x, 0)
        case "gelu":
            result = x * 0.5 * (1 + np.array([erf(each) for each in x / np.sqrt(2)]))
        case "gelu_tanh":
            result = x * 0.5 * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))
        case "silu":
            result = x / (1 + np.exp(-x))
    return result.astype(np.float32)


def _normalized(values: Floats, eps: float) -> Floats:
    x = values.astype(np.float64)
    centered = x - x.mean()
    normalized: Floats = (centered / np.sqrt(np.mean(centered**2) + eps)).astype(np.float32)
    return normalized


def _sigmoid(value: float) -> float:
    return 1 / (1 + exp(-value)) if value >= 0 else 1 - 1 / (1 + exp(value))
