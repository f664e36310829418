"""The plain-numpy decoder computes what the reference computes, for every family and trait."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from llmos.core.errors import BadModelFile
from llmos.engine.compression.calibration import last_hidden, moments, norms
from llmos.engine.formats.dequantize import dequantize
from llmos.engine.runner import Batch
from llmos.engine.runner.torch import TorchRunner
from support.tiny_models import CASES, make_tiny_model

# Experts, recurrent layers, layers that differ; calibratable() refuses them.
_NOT_CALIBRATED = ("mixtral", "gpt_oss", "qwen3_5", "qwen3_next", "lfm2", "gemma3n", "gemma4")


@pytest.mark.parametrize("case", [case for case in CASES if "moe" not in case and not case.startswith(_NOT_CALIBRATED)])
def test_the_logits_are_those_of_the_reference(case, tmp_path):
    checkpoint = make_tiny_model(case, tmp_path).open()
    spec, tensors = checkpoint.spec, checkpoint.tensors
    tokens_SL = np.random.default_rng(1).integers(0, spec.vocab_size, (3, 40), dtype=np.int32)
    asked: dict[str, tuple[int, ...]] = {}

    def matrices(names: Sequence[str], x_NC: np.ndarray) -> list[np.ndarray]:
        weights = [dequantize(tensors[f"{name}.weight"]) for name in names]
        asked.update({f"{name}.weight": (x_NC.shape[1],) for name in names})
        return weights

    x_NH = last_hidden(spec, tensors, tokens_SL, matrices)
    logits = x_NH @ dequantize(tensors["embed.weight" if spec.tied_head else "head.weight"]).T
    if spec.head_bias:
        logits += dequantize(tensors["head.bias"])
    logits *= spec.logit_multiplier
    if spec.logit_softcap is not None:
        logits = spec.logit_softcap * np.tanh(logits / spec.logit_softcap)

    reference = TorchRunner(spec, tensors, num_blocks=9, dtype=torch.float32).forward(
        Batch(
            tokens=tokens_SL.reshape(-1),
            starts=np.array([0, 40, 80, 120], np.int32),
            context_lengths=np.zeros(3, np.int32),
            block_tables=np.arange(9, dtype=np.int32).reshape(3, 3),
            logit_rows=np.arange(120, dtype=np.int32),
        )
    )
    np.testing.assert_allclose(logits, reference, rtol=1e-3, atol=1e-4)
    layers = {name: shape for name, shape in spec.tensor_shapes().items() if "layers" in name and len(shape) == 2}
    assert asked == {name: shape[1:] for name, shape in layers.items()}


def test_on_layer_gets_the_input_and_the_output_of_each_layer(tmp_path):
    checkpoint = make_tiny_model("llama", tmp_path).open()
    spec, tensors = checkpoint.spec, checkpoint.tensors
    tokens_SL = np.random.default_rng(1).integers(0, spec.vocab_size, (2, 10), dtype=np.int32)
    shown: list[tuple[int, np.ndarray, np.ndarray]] = []
    last_hidden(
        spec,
        tensors,
        tokens_SL,
        lambda names, _: [dequantize(tensors[f"{name}.weight"]) for name in names],
        on_layer=lambda *layer: shown.append(layer),
    )
    assert [i for i, _, _ in shown] == [*range(spec.num_layers)]
    np.testing.assert_array_equal(shown[0][1], dequantize(tensors["embed.weight"])[tokens_SL.reshape(-1)])
    np.testing.assert_array_equal(shown[0][2], shown[1][1])


def test_moments_and_norms_are_those_of_the_columns():
    x_NC = np.random.default_rng(2).normal(size=(50, 8)).astype(np.float32)
    np.testing.assert_allclose(moments(x_NC), np.mean([np.outer(x_C, x_C) for x_C in x_NC], axis=0), atol=1e-6)
    np.testing.assert_allclose(norms(x_NC), np.linalg.norm(x_NC, axis=0), rtol=1e-6)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e30])
def test_activations_that_are_not_finite_are_an_error(value):
    x_NC = np.ones((4, 3), np.float32)
    x_NC[2, 1] = value
    with pytest.raises(BadModelFile, match="computes activations that are not finite"), np.errstate(over="ignore"):
        moments(x_NC)
    with pytest.raises(BadModelFile, match="computes activations that are not finite"), np.errstate(over="ignore"):
        norms(x_NC)
