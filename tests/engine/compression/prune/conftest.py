"""Tiny models for the tests of this folder."""

from pathlib import Path

import numpy as np
import pytest

from llmos.engine.checkpoint.checkpoint import Checkpoint
from llmos.engine.runner import Batch
from llmos.engine.runner.native import NativeRunner
from llmos.engine.runner.torch import TorchRunner
from support.tiny_models import TinyModel, make_tiny_model, write_gguf

VOCABULARY = {"tokenizer.ggml.model": "gpt2"}


class Models:
    """Tiny models by case, each made once, as a folder and as a GGUF file."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._made = folder, {}

    def __call__(self, case: str) -> TinyModel:
        if case not in self._made:
            self._made[case] = make_tiny_model(case, self._folder / case)
        return self._made[case]

    def gguf(self, case: str, **options) -> dict[str, Path]:
        key = "-".join([case, *map(str, options.values())])
        path = self._folder / f"{key}.gguf"
        if not path.exists():
            write_gguf(self(case), path, metadata=VOCABULARY, **options)
        return {"model.gguf": path}

    def files(self, case: str, format: str) -> dict[str, Path]:
        return self.gguf(case) if format == "gguf" else self(case).files()


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    return Models(tmp_path_factory.mktemp("models"))


def logits(checkpoint: Checkpoint, tokens: list[int], *, tensors=None, torch: bool = False) -> np.ndarray:
    """The float32 run's, of the native runner or of the reference."""
    tensors = tensors or checkpoint.tensors
    if torch:
        runner = TorchRunner(checkpoint.spec, tensors, num_blocks=4)
    else:
        runner = NativeRunner(checkpoint.spec, tensors, num_blocks=4, weights="f32", kv_dtype="f32")
    batch = Batch(
        tokens=np.array(tokens, np.int32),
        starts=np.array([0, len(tokens)], np.int32),
        context_lengths=np.zeros(1, np.int32),
        block_tables=np.arange(4, dtype=np.int32)[None],
        logit_rows=np.arange(len(tokens), dtype=np.int32),
    )
    return runner.forward(batch).copy()


@pytest.fixture(scope="session")
def logits_of():
    return logits
