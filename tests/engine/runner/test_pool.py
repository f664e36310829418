"""The threads of a pool step aside while others need their cores, and come back; no answer depends on them."""

import subprocess
import sys

import pytest

from support import script_environment

pytestmark = pytest.mark.process

SCRIPT = """
import itertools, os
import numpy as np
from support.random_models import LLAMA, batch_of, prompt_of, runner_of

batches = [batch_of([(0, prompt_of(40, seed), [3, 5, 7])]) for seed in range(16)]
alone = runner_of(LLAMA, "Q4_1", threads=1)
expected = [(alone.forward(batch).copy(), alone.likeliest().tokens_R.tolist()) for batch in batches]
cores = sorted(os.sched_getaffinity(0))
runner = runner_of(LLAMA, "Q4_1", threads=2)
assert runner.pool.num_active == 2
for thread in os.listdir("/proc/self/task"):  # A new thread would inherit the cores of this one; these exist.
    os.sched_setaffinity(int(thread), cores[:1])

rounds = itertools.cycle(zip(batches, expected))

def run_until(num_active):
    while runner.pool.num_active != num_active:
        batch, (logits, likeliest) = next(rounds)
        assert np.array_equal(runner.forward(batch), logits)
        assert runner.likeliest().tokens_R.tolist() == likeliest

run_until(1)
print("One thread steps aside.")
run_until(2)
print("It is tried again.")
run_until(1)
"""


def test_a_thread_that_shares_its_core_steps_aside_and_is_tried_again() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=script_environment(), capture_output=True, text=True, timeout=300
    )
    assert done.stdout == "One thread steps aside.\nIt is tried again.\n", done.stderr
