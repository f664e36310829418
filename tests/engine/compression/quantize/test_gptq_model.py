"""GPTQ of a whole model: which tensors stay wider, the logits' error, and files that other programs read."""

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace

import gguf
import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from safetensors.torch import load_file as torch_load
from safetensors.torch import save_file as torch_save

from llmos.core.errors import BadModelFile, BadRequest, UnsupportedModel
from llmos.engine.checkpoint.checkpoint import Checkpoint, open_checkpoint
from llmos.engine.compression.calibration import Calibration
from llmos.engine.compression.calibration.own_text import generate_text
from llmos.engine.compression.quantize import quantize
from llmos.engine.compression.recipe import Recipe
from llmos.engine.formats.dequantize import dequantize
from llmos.engine.runner import Batch
from llmos.engine.runner.native import NativeRunner
from llmos.engine.tensors import RawTensor
from support.tiny_models import TinyModel, make_tiny_model, write_gguf

WIDE = "llama-tied-wide"  # the tiny model whose rows are multiples of 32
FEW = Recipe.of("quantize", "gptq", {"texts": 8, "length": 48})


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> TinyModel:
    return make_tiny_model(WIDE, tmp_path_factory.mktemp(WIDE))


@pytest.fixture(scope="module")
def checkpoint(tiny: TinyModel) -> Checkpoint:
    return tiny.open()


@pytest.fixture(scope="module")
def quantized(tiny: TinyModel, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, RawTensor]:
    return open_checkpoint(quantize(tiny.files(), tmp_path_factory.mktemp("made"), FEW)).tensors


def logits(checkpoint: Checkpoint, tensors, tokens: np.ndarray, **options) -> np.ndarray:
    runner = NativeRunner(checkpoint.spec, tensors, num_blocks=4, kv_dtype="f32", **options)
    count = len(tokens)
    return runner.forward(
        Batch(
            tokens=tokens.astype(np.int32),
            starts=np.array([0, count], np.int32),
            context_lengths=np.zeros(1, np.int32),
            block_tables=np.arange(4, dtype=np.int32)[None],
            logit_rows=np.arange(count, dtype=np.int32),
        )
    ).copy()


def test_logits_are_nearer_to_the_float_ones_than_by_rounding(checkpoint, quantized):
    text = generate_text(
        checkpoint.spec, checkpoint.tensors, Calibration(num_texts=4, text_length=48, seed=99), threads=1
    )
    errors = np.zeros(2)
    for tokens in text:
        exact = logits(checkpoint, checkpoint.tensors, tokens, weights="f32")
        for i, (tensors, weights) in enumerate([(quantized, "auto"), (checkpoint.tensors, "int4")]):
            errors[i] += np.square(logits(checkpoint, tensors, tokens, weights=weights) - exact).mean()
    assert errors[0] < 0.9 * errors[1]


def test_layers_are_4_bit_and_the_embedding_the_head_and_v_are_8_bit(checkpoint, quantized):
    shapes = checkpoint.spec.tensor_shapes()
    assert {name: quantized[name].shape for name in shapes} == shapes
    for name in shapes:
        tensor = quantized[name]
        part = name.split(".")[-2]
        expected = "F32" if len(shapes[name]) == 1 else "Q8_0" if part in ("embed", "v") else "Q4_1"
        assert tensor.dtype == expected, name


def test_vectors_stay_exact(checkpoint, quantized):
    for name in ("final_norm.weight", "layers.1.attn_norm.weight"):
        np.testing.assert_array_equal(dequantize(quantized[name]), dequantize(checkpoint.tensors[name]))


def test_rows_that_are_not_a_multiple_of_32_stay_floats(tmp_path):
    tiny = make_tiny_model("gpt2", tmp_path / "whole")  # rows of 48, and of 192 in the feed-forward layer
    quantized = open_checkpoint(quantize(tiny.files(), tmp_path, FEW)).tensors
    assert {quantized[f"layers.0.{part}.weight"].dtype for part in ("q", "k", "v", "o", "up")} == {"F32"}
    assert quantized["layers.0.down.weight"].dtype == "Q4_1"
    assert quantized["positions.weight"].dtype == "F32"


@pytest.mark.parametrize("scheme", ["gptq", "awq"])
def test_rows_that_are_not_a_multiple_of_32_keep_their_16_bits(scheme, tmp_path):
    tiny = make_tiny_model("gpt2", tmp_path / "whole")
    path = tiny.files()["model.safetensors"]
    torch_save({name: tensor.to(torch.bfloat16) for name, tensor in torch_load(path).items()}, path, {"format": "pt"})
    made = quantize(tiny.files(), tmp_path, Recipe.of("quantize", scheme, {"texts": 8, "length": 48}))
    before, after = tiny.open().tensors["layers.0.o.weight"], open_checkpoint(made).tensors["layers.0.o.weight"]
    assert after.dtype == "BF16"
    np.testing.assert_array_equal(dequantize(after), dequantize(before))


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(tiny, tmp_path):
    other = Recipe.of("quantize", "gptq", {**FEW.options, "seed": 1})
    made = []
    for i, (recipe, threads) in enumerate([(FEW, 1), (FEW, 2), (other, 1)]):
        (tmp_path / str(i)).mkdir()
        made.append(
            quantize(tiny.files(), tmp_path / str(i), recipe, threads=threads)["model.safetensors"].read_bytes()
        )
    assert made[0] == made[1]
    assert made[0] != made[2]


def test_generated_text_ends_at_the_context_length(checkpoint):
    spec = replace(checkpoint.spec, max_positions=20)
    text = generate_text(spec, checkpoint.tensors, Calibration(num_texts=3, text_length=48, seed=0), threads=1)
    assert text.shape == (3, 20)
    assert 0 <= text.min() <= text.max() < spec.vocab_size


def test_text_is_sampled_from_the_models_distribution(checkpoint):
    # All draws after the same token and from the same logits: the second tokens of texts that begin alike.
    text = generate_text(
        checkpoint.spec, checkpoint.tensors, Calibration(num_texts=6000, text_length=2, seed=0), threads=1
    )
    first = np.bincount(text[:, 0]).argmax()
    drawn = np.bincount(text[text[:, 0] == first, 1], minlength=checkpoint.spec.vocab_size)
    given = logits(checkpoint, checkpoint.tensors, np.array([first]))[0].astype(np.float64)
    expected = np.exp(given - given.max()) / np.exp(given - given.max()).sum() * drawn.sum()
    chi_square = (np.square(drawn - expected) / expected).sum()
    assert chi_square < len(drawn) + 5 * (2 * len(drawn)) ** 0.5


@pytest.mark.parametrize("name", ["model.layers.1.mlp.down_proj.weight", "model.embed_tokens.weight"])
def test_a_nan_weight_is_an_error_that_names_the_tensor(tiny, tmp_path, name):
    weights = load_file(tiny.folder / "model.safetensors")
    weights[name].reshape(-1)[5] = np.nan
    save_file(weights, tmp_path / "model.safetensors")
    with pytest.raises(BadModelFile, match=r"Tensor .*(down|embed).weight has values that are NaN or infinite"):
        quantize(tiny.files() | {"model.safetensors": tmp_path / "model.safetensors"}, tmp_path, FEW)


@pytest.mark.parametrize("scheme", ["gptq", "awq", "q4_1", "q4_0"])
def test_a_weight_beyond_16_bit_floats_is_refused_except_by_minmax(tiny, tmp_path, scheme):
    weights = load_file(tiny.folder / "model.safetensors")
    weights["model.layers.1.mlp.down_proj.weight"][3, 5] = -1e6
    save_file(weights, tmp_path / "model.safetensors")
    files = tiny.files() | {"model.safetensors": tmp_path / "model.safetensors"}
    (folder := tmp_path / "made").mkdir()
    with pytest.raises(BadRequest, match=r"Tensor layers.1.down.weight has values up to 1,000,000, .* Use minmax"):
        quantize(files, folder, Recipe.of("quantize", scheme, {}))
    assert not list(folder.iterdir())
    made = open_checkpoint(quantize(files, folder, Recipe.of("quantize", "minmax", {}))).tensors
    assert dequantize(made["layers.1.down.weight"])[3, 5] == -1e6


def test_q8_0_holds_a_weight_of_127_times_the_largest_16_bit_float(tiny, tmp_path):
    weights = load_file(tiny.folder / "model.safetensors")
    files = tiny.files() | {"model.safetensors": tmp_path / "model.safetensors"}
    for size in (1e6, 8.3e6):
        weights["model.layers.1.mlp.down_proj.weight"][3, 5] = -size
        save_file(weights, tmp_path / "model.safetensors")
        (folder := tmp_path / f"made-{size:g}").mkdir()
        made = open_checkpoint(quantize(files, folder, Recipe.of("quantize", "q8_0", {}))).tensors
        np.testing.assert_allclose(dequantize(made["layers.1.down.weight"])[3, 5], -size, rtol=1e-3)
    weights["model.layers.1.mlp.down_proj.weight"][3, 5] = 8.4e6
    save_file(weights, tmp_path / "model.safetensors")
    with pytest.raises(BadRequest, match=r"values up to 8,400,000, and q8_0 holds values up to 8,319,008"):
        quantize(files, tmp_path, Recipe.of("quantize", "q8_0", {}))


def test_a_mixture_of_experts_is_refused_by_name(tmp_path):
    with pytest.raises(UnsupportedModel, match="don't support a mixture of experts"):
        quantize(make_tiny_model("mixtral", tmp_path / "folder").files(), tmp_path, FEW)


def test_the_gguf_package_reads_the_same_values(tiny, tmp_path):
    source = write_gguf(tiny, tmp_path / "whole.gguf")
    quantize({"model.gguf": source}, tmp_path, FEW)
    whole = {tensor.name: tensor for tensor in gguf.GGUFReader(source).tensors}
    for tensor in gguf.GGUFReader(tmp_path / "model.gguf").tensors:
        values, exact = gguf.dequantize(tensor.data, tensor.tensor_type), whole[tensor.name].data
        # With another order of rows this would be about zero.
        assert np.corrcoef(values.ravel(), exact.ravel())[0, 1] > 0.98, tensor.name


WITH_BLAS_THREADS = """
import hashlib, sys
from pathlib import Path
from llmos.engine.compression.quantize import quantize
from llmos.engine.compression.recipe import Recipe

folder, out = map(Path, sys.argv[1:])
files = {path.name: path for path in folder.iterdir()}
made = quantize(files, out, Recipe.of("quantize", "gptq", {"length": 128}))
print(hashlib.sha256(made["model.safetensors"].read_bytes()).hexdigest())
"""


def test_the_bytes_do_not_depend_on_the_number_of_blas_threads(tiny, tmp_path):
    digests = {
        subprocess.run(
            [sys.executable, "-c", WITH_BLAS_THREADS, str(tiny.folder), str(tmp_path)],
            env=os.environ | {"OPENBLAS_NUM_THREADS": threads},
            capture_output=True,
            text=True,
            check=True,
            timeout=300,
        ).stdout
        for threads in ("1", "2")
    }
    assert len(digests) == 1
