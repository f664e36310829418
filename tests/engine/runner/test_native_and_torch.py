"""The native runner computes what the reference in PyTorch computes, on every kernel path."""

from dataclasses import astuple, replace

import numpy as np
import pytest

from llmos.engine.runner.native import NativeRunner
from llmos.engine.runner.torch import TorchRunner
from llmos.engine.spec import DecoderSpec
from llmos.engine.tensors import DType, RawTensor
from support.random_models import (
    BLOCK_TYPES,
    ISAS,
    K_LLAMA,
    SPECS,
    SQUARED,
    WIDE,
    batch_of,
    prompt_of,
    random_model,
    relative_error,
    runner_of,
    typical_error,
)
from support.reference_scores import assert_close


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
@pytest.mark.parametrize("isa", ISAS)
def test_float_weights_compute_what_the_reference_computes(spec: DecoderSpec, isa: str) -> None:
    native = runner_of(spec, "F32", isa=isa, weights="f32", kv_dtype="f32", threads=2)
    torch = TorchRunner(spec, random_model(spec, "F32"), num_blocks=64)
    batch = batch_of(
        [(0, prompt_of(21, 1, spec), [3, 5]), (0, prompt_of(4, 2, spec), [9]), (0, prompt_of(33, 3, spec), [8, 1, 2])]
    )
    assert relative_error(native.forward(batch), torch.forward(batch)) < 1e-4
    later = batch_of([(21, prompt_of(1, 4, spec), [3, 5]), (4, prompt_of(5, 5, spec), [9])])
    assert relative_error(native.forward(later), torch.forward(later)) < 1e-4


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
@pytest.mark.parametrize("isa", ISAS)
def test_given_tokens_have_the_scores_that_the_reference_gives_them(spec: DecoderSpec, isa: str) -> None:
    native = runner_of(spec, "F32", isa=isa, weights="f32", kv_dtype="f32", threads=2)
    torch = TorchRunner(spec, random_model(spec, "F32"), num_blocks=64)
    batch = batch_of([(0, prompt_of(21, 1, spec), [3, 5]), (0, prompt_of(33, 3, spec), [8, 1, 2])])
    rows = np.array([0, 1, 7, 7, 7, 20, 21, 52, 53], np.int32)
    tokens = np.array(prompt_of(len(rows), 5, spec), np.int32)
    scored = replace(batch, logit_rows=rows[:0], scored_rows=rows, scored_tokens=tokens, num_top=5)
    for runner in (native, torch):
        assert runner.forward(scored).shape == (0, spec.vocab_size)
    found, expected = native.scores(), torch.scores()
    assert found is not None
    assert expected is not None
    assert_close(found, expected, atol=1e-4)
    torch.forward(batch)
    assert torch.scores() is None


def test_a_row_that_is_not_finite_has_no_scores_in_the_reference_either() -> None:
    model = random_model(SQUARED, "F32")
    bias = RawTensor("F32", model["head.bias"].shape, model["head.bias"].data.copy())
    bias.data.view(np.float32)[..., 9] = np.inf
    found = []
    for runner_type in (NativeRunner, TorchRunner):
        runner = runner_type(SQUARED, {**model, "head.bias": bias}, num_blocks=4)
        one = {"scored_rows": np.array([1], np.int32), "scored_tokens": np.array([5], np.int32)}
        runner.forward(replace(batch_of([(0, [1, 2], [0])]), **one, num_top=2))
        scores = runner.scores()
        assert scores is not None
        found.append([each.tolist() for each in astuple(scores)])
    np.testing.assert_equal(found[0], found[1])


@pytest.mark.parametrize("dtype", BLOCK_TYPES)
@pytest.mark.parametrize("isa", ISAS)
def test_quantized_weights_stay_close_to_their_exact_values(dtype: DType, isa: str) -> None:
    """The remaining difference is the rounding of activations to 8 bits."""
    native = runner_of(K_LLAMA, dtype, isa=isa)
    torch = TorchRunner(K_LLAMA, random_model(K_LLAMA, dtype), num_blocks=64)
    batch = batch_of([(0, prompt_of(40, 1), [3, 5, 7])])
    assert typical_error(native.forward(batch), torch.forward(batch)) < 0.05


@pytest.mark.parametrize("spec", WIDE.values(), ids=WIDE)
@pytest.mark.parametrize("isa", ISAS)
def test_heads_of_any_size_compute_what_the_reference_computes(spec: DecoderSpec, isa: str) -> None:
    torch = TorchRunner(spec, random_model(spec, "F32"), num_blocks=64)
    batch = batch_of([(0, prompt_of(150, 1), list(range(10))), (0, prompt_of(4, 2), [12])])
    for kv_dtype, most in (("f32", 1e-4), ("int8", 0.03)):
        native = runner_of(spec, "F32", isa=isa, weights="f32", kv_dtype=kv_dtype, threads=2)
        assert typical_error(native.forward(batch), torch.forward(batch)) < most
