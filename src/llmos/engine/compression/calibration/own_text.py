"""Calibration text that the model generates itself, so that no data set is needed.

After a random first token, each token is sampled from the model's own distribution (LLM-QAT, Liu et al. 2023).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from llmos.core.errors import BadModelFile
from llmos.core.progress import Progress, no_progress
from llmos.engine.runner import BLOCK_SIZE, Batch
from llmos.engine.runner.native import NativeRunner
from llmos.engine.spec import DecoderSpec
from llmos.engine.tensors import RawTensor

# S texts of L tokens each, V vocabulary

Ints = npt.NDArray[np.int32]


@dataclass(frozen=True, kw_only=True, slots=True)
class Calibration:
    """Amount of calibration text, and the seed of generated text."""

    num_texts: int = 32
    text_length: int = 256
    """Tokens of each text; fewer if the model's context is shorter."""
    seed: int = 0


DEFAULT_CALIBRATION = Calibration()


def generate_text(
    spec: DecoderSpec,
    tensors: Mapping[str, RawTensor],
    calibration: Calibration,
    *,
    threads: int,
    progress: Progress = no_progress,
) -> Ints:
    """Return tokens [S, L]. The same seed gives the same text. Raises BadModelFile if logits are not finite."""
    num_texts, length = calibration.num_texts, min(calibration.text_length, spec.max_positions)
    blocks_each = -(-length // BLOCK_SIZE)
    runner = NativeRunner(spec, tensors, num_blocks=num_texts * blocks_each, threads=threads)
    block_tables = np.arange(num_texts * blocks_each, dtype=np.int32).reshape(num_texts, -1)
    rng = np.random.default_rng(calibration.seed)
    tokens_SL = np.empty((num_texts, length), np.int32)
    tokens_SL[:, 0] = rng.integers(0, spec.vocab_size, num_texts)
    for i in range(1, length):
        progress("generating the calibration text", i * num_texts, length * num_texts)
        logits_SV = runner.forward(Batch.one_each(tokens_SL[:, i - 1], i - 1, block_tables))
        if not np.isfinite(logits_SV).all():
            raise BadModelFile("This model computes logits that are not finite, so it can't be calibrated.")
        cumulated_SV = np.exp(logits_SV - logits_SV.max(axis=1, keepdims=True)).cumsum(axis=1, dtype=np.float64)
        draws_S = rng.random(num_texts) * cumulated_SV[:, -1]
        tokens_SL[:, i] = [
            np.searchsorted(cumulated_V, draw) for cumulated_V, draw in zip(cumulated_SV, draws_S, strict=True)
        ]
    return tokens_SL
