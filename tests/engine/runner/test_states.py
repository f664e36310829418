"""States of recurrent models: copied on the way through a prompt, and continued by other sequences, to the bit."""

import numpy as np
import pytest

from llmos.engine.runner.native import NativeRunner
from support.random_models import CONVOLVED, DELTA, ISAS, MAMBA, batch_of, prompt_of, random_model
from support.recurrent_batches import computed_in_parts, with_states

SPECS = {"delta": DELTA, "mamba": MAMBA, "convolved": CONVOLVED}


def runner_of(spec, **options) -> NativeRunner:
    return NativeRunner(spec, random_model(spec, "Q8_0"), num_blocks=64, num_states=4, num_snapshots=4, **options)


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
@pytest.mark.parametrize("isa", ISAS)
def test_a_sequence_continues_from_a_copied_state_to_the_bit(spec, isa):
    prompt, cuts = prompt_of(50, 1, spec), [1, 16, 37, 49]
    alone = runner_of(spec, isa=isa).forward(with_states(batch_of([(0, prompt, [0, 1, 2, 3])]), [0])).copy()
    whole, continued = computed_in_parts(runner_of(spec, isa=isa, threads=3), prompt, cuts)
    np.testing.assert_array_equal(whole, alone)
    for cut, rest in zip(cuts, continued, strict=True):
        np.testing.assert_array_equal(rest, alone[cut:])


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_a_copy_survives_the_sequence_and_those_that_continue_from_it(spec):
    runner, prompt = runner_of(spec), prompt_of(40, 1, spec)
    whole = runner.forward(with_states(batch_of([(0, prompt, [0, 1, 2])]), [0], None, [(0, 32, 5)])).copy()
    runner.forward(with_states(batch_of([(0, prompt_of(30, 2, spec), [4, 5])]), [0]))
    for _ in range(2):
        both = batch_of([(32, prompt[32:], [0, 1, 2]), (32, prompt[32:36], [0, 1, 7])])
        rows = runner.forward(with_states(both, [0, 1], [5, 5]))
        np.testing.assert_array_equal(rows, np.concatenate([whole[32:], whole[32:36]]))


@pytest.mark.parametrize(
    ("states", "restored", "snapshots", "message"),
    [
        ([0, 0], None, None, "two sequences have the same state"),
        ([0, 8], None, None, "there is no state of this number"),
        ([0, 1], [-1, -1, -1], None, "restored has an entry for each sequence"),
        ([0, 1], [4, -1], None, "a sequence without earlier tokens has no state to restore"),
        ([0, 1], [-1, 8], None, "there is no state of this number"),
        ([0, 1], [-1, 0], None, "a state is restored in the step that writes it"),
        ([0, 1], [-1, 5], [(0, 3, 5)], "a state is restored in the step that writes it"),
        ([0, 1], None, [(0, 3, 1)], "two sequences have the same state"),
        ([0, 1], None, [(0, 3, 5), (1, 1, 5)], "two sequences have the same state"),
        ([0, 1], None, [(2, 3, 5)], "a copy is of a sequence of the batch"),
        ([0, 1], None, [(0, 0, 5)], "a copy is behind a new token"),
        ([0, 1], None, [(0, 21, 5)], "a copy is behind a new token"),
        ([0, 1], None, [(0, 4, 5), (0, 4, 6)], "copies must ascend"),
        ([0, 1], None, [(1, 1, 5), (0, 4, 6)], "copies must ascend"),
        ([0, 1], None, [(0, 4)], "a copy of a state has a sequence, a number of tokens, and a state"),
    ],
)
def test_an_inconsistent_batch_is_refused(states, restored, snapshots, message):
    runner = runner_of(DELTA)
    batch = batch_of([(0, prompt_of(20, 1, DELTA), [0, 1]), (16, prompt_of(4, 2, DELTA), [2, 3])])
    with pytest.raises(ValueError, match=message):
        runner.forward(with_states(batch, states, restored, snapshots))
