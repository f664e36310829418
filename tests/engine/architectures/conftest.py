"""The tiny models, each created once, and the runners to compare with transformers."""

from collections.abc import Callable, Mapping, Sequence
from functools import cache

import numpy as np
import pytest

from llmos.engine.checkpoint.checkpoint import Checkpoint
from llmos.engine.runner import BLOCK_SIZE, Batch, Runner
from llmos.engine.runner.native import NativeRunner
from llmos.engine.runner.torch import TorchRunner
from support.tiny_models import CASES, TinyModel, make_tiny_model


@pytest.fixture(scope="session")
def tiny_model_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], TinyModel]:
    """Returns the tiny model of a case, created once."""
    return cache(lambda case: make_tiny_model(case, tmp_path_factory.mktemp(case)))


@pytest.fixture(params=CASES)
def tiny_model(request: pytest.FixtureRequest, tiny_model_of: Callable[[str], TinyModel]) -> TinyModel:
    return tiny_model_of(request.param)


class Driver:
    """Drives a runner: gives each sequence its own blocks, in random order, and tracks its length."""

    def __init__(self, runner: Runner) -> None:
        self.runner = runner
        self._free_blocks = np.random.default_rng(7).permutation(runner.num_blocks).tolist()
        self._tables: dict[str, list[int]] = {}
        self._lengths: dict[str, int] = {}

    def step(self, new_tokens: Mapping[str, Sequence[int]]) -> dict[str, np.ndarray]:
        """Run these tokens of these sequences in one batch; return the logits after each token, by sequence."""
        batch = self.batch(new_tokens)
        logits_NV = self.runner.forward(batch).copy()
        return dict(zip(new_tokens, np.split(logits_NV, batch.starts[1:-1]), strict=True))

    def batch(self, new_tokens: Mapping[str, Sequence[int]]) -> Batch:
        contexts = [self._lengths.get(name, 0) for name in new_tokens]
        for name, tokens in new_tokens.items():
            self._lengths[name] = self._lengths.get(name, 0) + len(tokens)
            table = self._tables.setdefault(name, [])
            while len(table) * BLOCK_SIZE < self._lengths[name]:
                table.append(self._free_blocks.pop())
        starts = np.cumsum([0, *map(len, new_tokens.values())])
        tables = [self._tables[name] for name in new_tokens]
        longest = max(map(len, tables))
        return Batch(
            tokens=np.concatenate([np.asarray(tokens, np.int32) for tokens in new_tokens.values()]),
            starts=starts.astype(np.int32),
            context_lengths=np.array(contexts, np.int32),
            block_tables=np.array([table + [0] * (longest - len(table)) for table in tables], np.int32),
            logit_rows=np.arange(starts[-1], dtype=np.int32),
            states=np.array([list(self._tables).index(name) for name in new_tokens], np.int32),
        )

    def greedy(self, prompt: Sequence[int], num_tokens: int, name: str = "greedy") -> list[int]:
        tokens = [int(self.step({name: prompt})[name][-1].argmax())]
        while len(tokens) < num_tokens:
            tokens.append(int(self.step({name: tokens[-1:]})[name][-1].argmax()))
        return tokens


def _torch_runner(checkpoint: Checkpoint, num_blocks: int) -> Runner:
    return TorchRunner(checkpoint.spec, checkpoint.tensors, num_blocks=num_blocks)


def _native_runner(checkpoint: Checkpoint, num_blocks: int) -> Runner:
    return NativeRunner(checkpoint.spec, checkpoint.tensors, num_blocks=num_blocks, weights="f32", kv_dtype="f32")


_RUNNERS = {"torch": _torch_runner, "native": _native_runner}


@pytest.fixture(params=_RUNNERS)
def drive(request: pytest.FixtureRequest) -> Callable[..., Driver]:
    """Load a checkpoint into each runner, with an empty cache."""

    def load(checkpoint: Checkpoint, num_blocks: int = 32) -> Driver:
        return Driver(_RUNNERS[request.param](checkpoint, num_blocks))

    return load
