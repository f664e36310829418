"""The native runner computes what the reference in PyTorch computes, on every kernel path."""

import pytest

from llmos.engine.runner.torch import TorchRunner
from llmos.engine.spec import DecoderSpec
from llmos.engine.tensors import DType
from support.random_models import (
    BLOCK_TYPES,
    ISAS,
    K_LLAMA,
    SPECS,
    WIDE,
    batch_of,
    prompt_of,
    random_model,
    relative_error,
    runner_of,
    typical_error,
)


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
