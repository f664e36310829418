"""States of recurrent models in the reference implementation: copied and continued as in the native runner."""

import pytest

from llmos.engine.runner.native import NativeRunner
from llmos.engine.runner.torch import TorchRunner
from support.random_models import CONVOLVED, DELTA, MAMBA, prompt_of, random_model, typical_error
from support.recurrent_batches import computed_in_parts

SPECS = {"delta": DELTA, "mamba": MAMBA, "convolved": CONVOLVED}


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_the_torch_runner_copies_states_as_well(spec):
    model, prompt, cuts = random_model(spec, "F32"), prompt_of(50, 1, spec), [1, 16, 37, 50]
    reference = TorchRunner(spec, model, num_blocks=64)
    native = NativeRunner(spec, model, num_blocks=64, num_states=4, num_snapshots=4, weights="f32", kv_dtype="f32")
    expected, _ = computed_in_parts(native, prompt, cuts[:3])
    whole, continued = computed_in_parts(reference, prompt, cuts[:3])
    assert typical_error(whole, expected) < 1e-4
    for cut, rest in zip(cuts, continued, strict=False):
        assert typical_error(rest, expected[cut:]) < 1e-4
