"""The last layers of models that share keys are computed only for the rows whose logits are wanted: to the bit."""

from dataclasses import replace

import numpy as np
import pytest

from llmos.engine.checkpoint.adapters import LowRankUpdate
from llmos.engine.runner.native import NativeRunner
from support.random_models import ISAS, SHARED, SPECS, STREAMS, batch_of, prompt_of, random_model

pytestmark = pytest.mark.combinations

SHARING = {"shared": SHARED, "streams": STREAMS}
OTHERS = {name: SPECS[name] for name in ("llama", "mixed", "delta")}


def runner_of(spec, **options) -> NativeRunner:
    return NativeRunner(spec, random_model(spec, "Q8_0"), num_blocks=64, num_states=8, threads=3, **options)


def batch_with(spec, num_decoding=1):
    """Return a batch of two prompts with sequences that decode between them, whose contexts are computed already."""
    decoding = [(0, prompt_of(20, 10 + i, spec), [20 + 2 * i, 21 + 2 * i]) for i in range(num_decoding)]
    before = batch_of(decoding)
    batch = batch_of(
        [
            (0, prompt_of(50, 1, spec), [0, 1, 2, 3]),
            *((20, prompt_of(1, 30 + i, spec), table) for i, (_, _, table) in enumerate(decoding)),
            (0, prompt_of(17, 2, spec), [4, 5]),
        ]
    )
    states = np.arange(num_decoding, dtype=np.int32)
    after = np.array([6, *states, 7], np.int32)
    return replace(before, states=states), replace(batch, states=after)


def logits_of(runner, before, batch, rows, adapters=None):
    runner.forward(before)
    return runner.forward(replace(batch, logit_rows=np.array(rows, np.int32), adapters=adapters)).copy()


@pytest.mark.parametrize("spec", [*SHARING.values(), *OTHERS.values()], ids=[*SHARING, *OTHERS])
@pytest.mark.parametrize("isa", ISAS[:2])
@pytest.mark.parametrize(
    "rows",
    [[49], [50], [49, 50], [47, 48, 49, 50, 66, 67], [67], [3, 49], [0, 67], list(range(20, 68)), []],
    ids=lambda rows: f"{len(rows)} rows",
)
def test_wanted_rows_are_the_same_to_the_bit(spec, isa, rows):
    every = logits_of(runner_of(spec, isa=isa), *batch_with(spec), range(68))
    np.testing.assert_array_equal(logits_of(runner_of(spec, isa=isa), *batch_with(spec), rows), every[rows])


@pytest.mark.parametrize("spec", SHARING.values(), ids=SHARING)
def test_many_wanted_rows_are_the_same_to_the_bit(spec):
    before, batch = batch_with(spec, num_decoding=6)
    rows = [*range(49, 56), 72]
    every = logits_of(runner_of(spec), before, batch, range(73))
    np.testing.assert_array_equal(logits_of(runner_of(spec), before, batch, rows), every[rows])


@pytest.mark.parametrize("spec", SHARING.values(), ids=SHARING)
def test_later_tokens_find_the_keys_of_rows_that_nobody_wanted(spec):
    prompt, table = prompt_of(50, 1, spec), [0, 1, 2, 3]
    every = runner_of(spec).forward(batch_of([(0, prompt, table)])).copy()
    runner = runner_of(spec)
    runner.forward(replace(batch_of([(0, prompt[:40], table)]), logit_rows=np.array([], np.int32)))
    np.testing.assert_array_equal(runner.forward(batch_of([(40, prompt[40:], table)])), every[40:])


@pytest.mark.parametrize("spec", SHARING.values(), ids=SHARING)
@pytest.mark.parametrize("has_gain", [False, True])
def test_wanted_rows_with_adapters_are_the_same_to_the_bit(spec, has_gain):
    rng = np.random.default_rng(3)

    def adapted(rows, columns):
        gain = rng.uniform(0.5, 1.5, rows).astype(np.float32) if has_gain else None
        down, up = rng.normal(0, 0.2, (4, columns)), rng.normal(0, 0.2, (rows, 4))
        return LowRankUpdate(down.astype(np.float32), up.astype(np.float32), gain)

    shapes = spec.tensor_shapes()
    last = spec.num_layers - 1
    adapter = {name: adapted(*shapes[f"{name}.weight"]) for name in (f"layers.{last}.q", f"layers.{last}.o")}
    adapters = np.array([0, 0, -1], np.int32)
    rows = [49, 50, 67]

    def logits(rows):
        runner = runner_of(spec)
        runner.set_adapter(0, adapter)
        return logits_of(runner, *batch_with(spec), rows, adapters)

    every = logits(range(68))
    np.testing.assert_array_equal(logits(rows), every[rows])
    plain = logits_of(runner_of(spec), *batch_with(spec), rows)
    assert not np.array_equal(plain, every[rows]), "the adapter changes nothing"
