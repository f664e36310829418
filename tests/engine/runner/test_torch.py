"""The reference runner's dtypes and paged cache; test_families.py has its logits."""

import numpy as np
import pytest
import torch

from llmos.engine.runner import Batch
from llmos.engine.runner.torch import TorchRunner
from support.tiny_models import TinyModel, make_tiny_model


@pytest.fixture(scope="module", params=["llama", "gpt2"])
def tiny_model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> TinyModel:
    return make_tiny_model(request.param, tmp_path_factory.mktemp(request.param))


def batch_of(tokens: list[int], *, cached: int = 0, table: list[int]) -> Batch:
    return Batch(
        tokens=np.array(tokens, np.int32),
        starts=np.array([0, len(tokens)], np.int32),
        context_lengths=np.array([cached], np.int32),
        block_tables=np.array([table], np.int32),
        logit_rows=np.array([len(tokens) - 1], np.int32),
    )


def test_half_precision_stays_near_single_precision(tiny_model):
    checkpoint, prompt = tiny_model.open(), tiny_model.prompt(40)
    runner = TorchRunner(checkpoint.spec, checkpoint.tensors, num_blocks=3, dtype=torch.bfloat16)
    logits_V = runner.forward(batch_of(prompt, table=[0, 1, 2]))[0]
    assert logits_V.dtype == np.float32
    assert np.corrcoef(logits_V, tiny_model.logits(prompt)[-1])[0, 1] > 0.99


def test_two_sequences_may_share_the_blocks_of_a_common_prefix(tiny_model):
    checkpoint, prompt = tiny_model.open(), tiny_model.prompt(32)
    runner = TorchRunner(checkpoint.spec, checkpoint.tensors, num_blocks=4)
    runner.forward(batch_of(prompt, table=[3, 0]))
    for token, own_block in ((5, 1), (6, 2)):
        logits_V = runner.forward(batch_of([token], cached=32, table=[3, 0, own_block]))[0]
        np.testing.assert_allclose(logits_V, tiny_model.logits([*prompt, token])[-1], rtol=1e-3, atol=1e-4)


def test_entries_behind_a_block_table_are_ignored(tiny_model):
    checkpoint, prompt = tiny_model.open(), tiny_model.prompt(16)
    runner = TorchRunner(checkpoint.spec, checkpoint.tensors, num_blocks=1)
    logits_V = runner.forward(batch_of(prompt, table=[0, -1, 1 << 30]))[0]
    np.testing.assert_allclose(logits_V, tiny_model.logits(prompt)[-1], rtol=1e-3, atol=1e-4)
