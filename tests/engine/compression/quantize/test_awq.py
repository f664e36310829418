"""AWQ: columns with large inputs are rounded finer, and folded scales don't change the model."""

import numpy as np
import pytest

from llmos.engine.checkpoint.checkpoint import Checkpoint, open_checkpoint
from llmos.engine.compression.quantize import quantize
from llmos.engine.compression.quantize.affine import round_affine
from llmos.engine.compression.quantize.awq import best_scale
from llmos.engine.compression.recipe import Recipe
from llmos.engine.formats.dequantize import dequantize
from llmos.engine.formats.encodings import Affine
from llmos.engine.runner import Batch
from llmos.engine.runner.native import NativeRunner
from support.tiny_models import make_tiny_model, write_gguf

FEW = {"texts": 4, "length": 32}


def awq(bits: int, group: int | None) -> Recipe:
    return Recipe.of("quantize", "awq", {"bits": bits, "group": group, **FEW})


def logits(checkpoint: Checkpoint) -> np.ndarray:
    tokens = np.random.default_rng(4).integers(0, checkpoint.spec.vocab_size, 40, dtype=np.int32)
    runner = NativeRunner(checkpoint.spec, checkpoint.tensors, num_blocks=4, kv_dtype="f32", weights="f32")
    return runner.forward(
        Batch(
            tokens=tokens,
            starts=np.array([0, 40], np.int32),
            context_lengths=np.zeros(1, np.int32),
            block_tables=np.arange(4, dtype=np.int32)[None],
            logit_rows=np.arange(40, dtype=np.int32),
        )
    ).copy()


def test_a_scale_reduces_the_error_if_some_inputs_are_large():
    rng = np.random.default_rng(2)
    weights = rng.normal(size=(40, 64)).astype(np.float32)
    inputs = rng.normal(size=(500, 64)).astype(np.float32)
    inputs[:, ::16] *= 30
    moments, encoding = inputs.T @ inputs / 500, Affine(3, 32)
    scale = best_scale(weights, moments, np.abs(inputs).mean(axis=0), encoding)

    def error(scale: np.ndarray) -> float:
        rows = round_affine(weights * scale, np.ones(64, np.float32), encoding)
        return float(np.square(inputs @ (dequantize(encoding.decode(rows, 64)) / scale - weights).T).mean())

    assert scale[::16].min() > 1.5 * np.delete(scale, np.s_[::16]).max()
    assert error(scale) < 0.7 * error(np.ones(64, np.float32))


def test_zero_inputs_get_no_scale():
    zeros = np.zeros(32, np.float32)
    scale = best_scale(np.ones((4, 32), np.float32), np.zeros((32, 32), np.float32), zeros, Affine(4, 32))
    np.testing.assert_array_equal(scale, np.ones(32))


def test_inputs_may_be_as_small_as_floats_are():
    magnitudes = np.geomspace(1e-36, 1e-33, 32, dtype=np.float32)
    scale = best_scale(np.ones((4, 32), np.float32), np.zeros((32, 32), np.float32), magnitudes, Affine(4, 32))
    assert np.isfinite(scale).all()
    assert scale.min() > 0


FOLDED = [
    "llama", "llama-tied-wide", "qwen2", "qwen3", "mistral-window", "gpt2", "gemma2", "phi3", "olmo2", "granite",
    "stablelm", "stablelm-parallel", "gpt_neox", "gpt_neox-serial",
]  # fmt: skip


@pytest.mark.parametrize("case", FOLDED)
def test_folded_scales_do_not_change_the_logits(case, tmp_path):
    # With 8 bits in groups of 8 next to nothing is lost: a scale that was folded into the wrong place would show.
    tiny = make_tiny_model(case, tmp_path / "folder")
    for files in (tiny.files(), {"model.gguf": write_gguf(tiny, tmp_path / "whole.gguf")}):
        whole = open_checkpoint(files)
        small = open_checkpoint(quantize(files, tmp_path, awq(8, 8)))
        exact, made = logits(whole), logits(small)
        assert np.abs(made - exact).max() < 0.05 * np.abs(exact).max(), files


def test_scales_are_really_folded(tmp_path):
    files = make_tiny_model("llama-tied-wide", tmp_path / "folder").files()
    whole, small = open_checkpoint(files), open_checkpoint(quantize(files, tmp_path, awq(3, None)))
    name = "layers.0.mlp_norm.weight"
    ratio = dequantize(small.tensors[name]) / dequantize(whole.tensors[name])
    assert np.ptp(ratio) > 0.01
    assert small.tensors["layers.0.up.weight"].dtype == "Q4_1"


def test_the_result_is_deterministic(tmp_path):
    files = make_tiny_model("llama-tied-wide", tmp_path / "folder").files()
    made = [quantize(files, tmp_path, awq(4, None), threads=n)["model.safetensors"].read_bytes() for n in (1, 2)]
    assert made[0] == made[1]
