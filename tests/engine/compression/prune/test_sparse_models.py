"""Pruned weights: how many and which, the files, and the runners' results."""

import gguf
import numpy as np
import pytest

from llmos.core.errors import BadModelFile, BadRequest, UnsupportedModel
from llmos.engine.checkpoint.checkpoint import open_checkpoint
from llmos.engine.compression.prune import prune
from llmos.engine.compression.recipe import Recipe
from llmos.engine.formats.dequantize import dequantize
from support.tiny_encoders import make_tiny_encoder
from support.tiny_models import CASES

WIDE = "llama-tied-wide"  # the tiny model whose rows are multiples of 32
SMALL_TEXT = {"texts": 4, "length": 32}
HALF = Recipe.of("prune", "magnitude", {})
WANDA = Recipe.of("prune", "wanda", SMALL_TEXT)
PROMPT = [3, 17, 2, 99, 45, 17, 8, 120]


def is_pruned(name: str, shape: tuple[int, ...]) -> bool:
    return name.startswith("layers.") and len(shape) == 2


def size_of(files) -> int:
    return sum(path.stat().st_size for path in files.values())


@pytest.mark.parametrize("format", ["gguf", "safetensors"])
@pytest.mark.parametrize("case", [WIDE, "qwen3", "gpt2", "gemma2", "phi3", "stablelm", "gpt_neox"])
@pytest.mark.parametrize("recipe", [HALF, WANDA], ids=["magnitude", "wanda"])
def test_half_of_every_row_is_pruned_and_the_rest_is_the_parents(models, tmp_path, case, format, recipe):
    if case == "phi3":
        case = "phi3-partial"
    files = models.files(case, format)
    parent, child = open_checkpoint(files), open_checkpoint(prune(files, tmp_path, recipe))
    assert child.spec == parent.spec
    for name, shape in parent.spec.tensor_shapes().items():
        before, after = dequantize(parent.tensors[name]), dequantize(child.tensors[name])
        if is_pruned(name, shape):
            assert ((after != 0).sum(axis=1) == shape[1] - round(shape[1] / 2)).all(), name
            np.testing.assert_array_equal(after, np.where(after != 0, before, 0), err_msg=name)
        else:
            np.testing.assert_array_equal(after, before, err_msg=name)


@pytest.mark.parametrize("quantization", [None, "F16", "BF16", "Q8_0", "Q4_0", "Q4_1"])
@pytest.mark.parametrize("options", [{}, {"pattern": "2:4"}, {"sparsity": 0.7}], ids=["half", "2:4", "70 %"])
def test_a_sparse_file_is_smaller_than_the_dense_one_of_its_types(models, tmp_path, quantization, options):
    kind = None if quantization is None else gguf.GGMLQuantizationType[quantization]
    files = models.gguf(WIDE, quantize=kind)
    made = prune(files, tmp_path, Recipe.of("prune", "magnitude", options))
    parent, child = open_checkpoint(files), open_checkpoint(made)
    in_layers = 0
    for name, shape in parent.spec.tensor_shapes().items():
        if is_pruned(name, shape):
            in_layers += parent.tensors[name].data.nbytes
            before, after = dequantize(parent.tensors[name]), dequantize(child.tensors[name])
            np.testing.assert_array_equal(after, np.where(after != 0, before, 0))
            if "pattern" in options:
                assert ((after.reshape(-1, 4) != 0).sum(axis=1) <= 2).all()
    saved = size_of(files) - size_of(made)
    assert saved > 0.15 * in_layers - 4096  # the descriptors


def test_other_block_types_become_8_bit(models, tmp_path):
    files = models.gguf(WIDE, quantize=gguf.GGMLQuantizationType.Q5_1)
    parent, child = open_checkpoint(files), open_checkpoint(prune(files, tmp_path, HALF))
    for name, shape in parent.spec.tensor_shapes().items():
        before, after = dequantize(parent.tensors[name]), dequantize(child.tensors[name])
        if is_pruned(name, shape):
            assert child.tensors[name].dtype == "Q8_0"
            np.testing.assert_allclose(after, np.where(after != 0, before, 0), atol=np.abs(before).max() / 200)


@pytest.mark.parametrize("format", ["gguf", "safetensors"])
def test_both_runners_compute_the_same_for_a_sparse_model(models, tmp_path, format, logits_of):
    child = open_checkpoint(prune(models.files(WIDE, format), tmp_path, WANDA))
    np.testing.assert_allclose(logits_of(child, PROMPT), logits_of(child, PROMPT, torch=True), rtol=1e-4, atol=1e-4)


def test_wanda_has_less_error_than_magnitude_if_some_inputs_are_larger(models, tmp_path, logits_of):
    folder, errors = tmp_path, []
    files = models.files("llama-head-dim-biases", "safetensors")
    parent = open_checkpoint(files)
    exact = logits_of(parent, PROMPT)
    for i, scheme in enumerate(("wanda", "magnitude")):
        (made := folder / str(i)).mkdir()
        options = SMALL_TEXT | {"sparsity": 0.3} if scheme == "wanda" else {"sparsity": 0.3}
        child = open_checkpoint(prune(files, made, Recipe.of("prune", scheme, options)))
        errors.append(np.square(logits_of(child, PROMPT) - exact).mean())
    assert errors[0] < errors[1]


@pytest.mark.parametrize("format", ["gguf", "safetensors"])
def test_the_same_recipe_gives_the_same_bytes(models, tmp_path, format):
    made = []
    for name in ("one", "other"):
        (folder := tmp_path / name).mkdir()
        made.append(
            {name: path.read_bytes() for name, path in prune(models.files(WIDE, format), folder, WANDA).items()}
        )
    assert made[0] == made[1]


def test_progress_is_reported_up_to_the_end(models, tmp_path):
    calls = []
    prune(models.files(WIDE, "gguf"), tmp_path, WANDA, lambda *now: calls.append(now))
    last = {label: (done, total) for label, done, total in calls}
    assert "pruning" in last
    assert last["pruning"][0] == last["pruning"][1]


def test_an_interrupted_run_leaves_no_file(models, tmp_path):
    def interrupt(label: str, done: int, total: int | None) -> None:
        if label == "pruning" and done > total / 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prune(models.files(WIDE, "gguf"), tmp_path, WANDA, interrupt)
    assert list(tmp_path.iterdir()) == []


def test_a_pattern_that_does_not_divide_a_row_is_refused(models, tmp_path, monkeypatch):
    kind, values = CASES["llama"]
    monkeypatch.setitem(CASES, "llama-odd", (kind, values | {"intermediate_size": 50}))
    files = models.files("llama-odd", "safetensors")
    with pytest.raises(BadRequest, match=r"The pattern 2:4 doesn't divide the 50 values of a row of layers\.0\.down"):
        prune(files, tmp_path, Recipe.of("prune", "magnitude", {"pattern": "2:4"}))


def test_a_mixture_of_experts_is_refused(models, tmp_path):
    with pytest.raises(UnsupportedModel, match="mixture of experts"):
        prune(models.files("mixtral", "safetensors"), tmp_path, HALF)


def test_an_encoder_is_refused(models, tmp_path):
    make_tiny_encoder("bert", tmp_path / "bert")
    with pytest.raises(UnsupportedModel, match="only models that generate text"):
        prune({path.name: path for path in (tmp_path / "bert").iterdir()}, tmp_path, HALF)


def test_a_model_encoded_by_a_recipe_is_refused(models, tmp_path):
    (once := tmp_path / "once").mkdir()
    made = prune(models.files(WIDE, "gguf"), once, HALF)
    with pytest.raises(BadRequest, match="Prune the version that it was made from"):
        prune(made, tmp_path, HALF)


def test_a_nan_weight_is_an_error_that_names_the_tensor(models, tmp_path):
    path = models.gguf(WIDE)["model.gguf"]
    broken = bytearray(path.read_bytes())
    values = dequantize(open_checkpoint({"model.gguf": path}).tensors["layers.1.down.weight"])
    at = broken.index(values.tobytes()[:64])
    broken[at : at + 4] = np.float32(np.nan).tobytes()
    (tmp_path / "broken.gguf").write_bytes(broken)
    with pytest.raises(BadModelFile, match=r"layers\.1\.down\.weight"):
        prune({"model.gguf": tmp_path / "broken.gguf"}, tmp_path, HALF)
