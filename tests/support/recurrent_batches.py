"""Batches of recurrent models: with the states that sequences have, restore and keep."""

from dataclasses import replace

import numpy as np

from llmos.engine.runner import Batch
from support.random_models import batch_of, prompt_of


def with_states(batch, states, restored=None, snapshots=None) -> Batch:
    return replace(
        batch,
        states=np.array(states, np.int32),
        restored=None if restored is None else np.array(restored, np.int32),
        snapshots=None if snapshots is None else np.array(snapshots, np.int32),
    )


def computed_in_parts(runner, prompt, cuts):
    """Compute the prompt, keeping its state behind these tokens; return the logits of each token, and those of the
    tokens behind each cut when another sequence continues there."""
    table = [9, 8, 7, 6]
    other = prompt_of(20, 5, runner.spec)
    batch = batch_of([(0, other, [20, 21]), (0, prompt, table)])
    whole = runner.forward(with_states(batch, [2, 1], None, [(1, cut, 4 + i) for i, cut in enumerate(cuts)])).copy()
    continued = []
    for i, cut in reversed([*enumerate(cuts)]):
        rest = batch_of([(cut, prompt[cut:], table)])
        continued.insert(0, runner.forward(with_states(rest, [3], [4 + i])).copy())
    return whole[len(other) :], continued
