"""The threads of a pool step aside while others need their cores, and come back; no answer depends on them."""

import subprocess
import sys

import pytest

from support import script_environment

pytestmark = pytest.mark.process

PIN = """
import itertools, os, time
import numpy as np
from support.random_models import LLAMA, batch_of, prompt_of, runner_of

def pin_to_one_core():
    cores = sorted(os.sched_getaffinity(0))
    for thread in os.listdir("/proc/self/task"):  # A new thread would inherit the cores of this one; these exist.
        os.sched_setaffinity(int(thread), cores[:1])
"""

STEP_ASIDE = """
batches = [batch_of([(0, prompt_of(40, seed), [3, 5, 7])]) for seed in range(16)]
alone = runner_of(LLAMA, "Q4_1", threads=1)
expected = [(alone.forward(batch).copy(), alone.likeliest().tokens_R.tolist()) for batch in batches]
runner = runner_of(LLAMA, "Q4_1", threads=2)
assert runner.pool.num_active == 2
pin_to_one_core()

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


MEET = """
runner = runner_of(LLAMA, "Q4_1", threads=2)
batch = batch_of([(0, prompt_of(40, 0), [3, 5, 7])])
runner.forward(batch)
pin_to_one_core()
assert runner.pool.num_active == 2
before = time.process_time()
runner.forward(batch)
print(round(1000 * (time.process_time() - before)))
"""


def output_of(script: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", PIN + script], env=script_environment(), capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_thread_that_shares_its_core_steps_aside_and_is_tried_again() -> None:
    assert output_of(STEP_ASIDE) == "One thread steps aside.\nIt is tried again.\n"


def test_threads_on_one_core_let_each_other_run_instead_of_spinning() -> None:
    # The step has some thirty barriers and computes for 0.1 ms. Threads that spin use up a time slice of about 3 ms at
    # each. This is time of the processor, which other processes don't change.
    assert int(output_of(MEET)) < 50
