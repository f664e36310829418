"""A model of every family and format is read back with the values of its scheme."""

import re
from pathlib import Path

import numpy as np
import pytest

from llmos.core.errors import BadRequest, UnsupportedModel
from llmos.engine.checkpoint.checkpoint import Checkpoint, open_checkpoint
from llmos.engine.checkpoint.description import describe
from llmos.engine.compression.prune import prune
from llmos.engine.compression.quantize import quantize
from llmos.engine.compression.quantize.blocks import round_to_q8_0
from llmos.engine.compression.quantize.plan import is_quantized
from llmos.engine.compression.recipe import Recipe
from llmos.engine.formats.dequantize import dequantize
from llmos.engine.formats.gguf import GGUFFile
from support.tiny_encoders import make_tiny_encoder
from support.tiny_models import make_tiny_model, write_gguf

Q8_0 = Recipe.of("quantize", "q8_0", {})
WIDE = "llama-tied-wide"  # the tiny model whose rows are multiples of 32

EVERY_WAY_OF_STORING = [
    WIDE, "llama-llama3-rope-8192", "qwen2", "qwen3", "gpt2", "gpt2-untied-inner", "gemma2", "gemma3", "phi3-long",
    "olmo2", "smollm3", "granite", "stablelm", "stablelm-parallel", "gpt_neox", "mixtral",
    "gemma4-shared", "gemma4-experts", "gemma3n-all-tokens",
]  # fmt: skip


WIDE_MATRICES = ("embed", "head", "layer_embed_projection", "stream_projection", "stream_output")


def minmax(bits: int, **options) -> Recipe:
    return Recipe.of("quantize", "minmax", {"bits": bits, **options})


def check_minmax(whole: Checkpoint, small: Checkpoint, bits: int) -> None:
    """Assert that every quantized value is within half a step of its row, and all others are unchanged."""
    for name, shape in whole.spec.tensor_shapes().items():
        exact, made = dequantize(whole.tensors[name]), dequantize(small.tensors[name])
        if not is_quantized(name, shape):
            np.testing.assert_array_equal(made, exact, err_msg=name)
            continue
        steps = 2 ** (8 if name.split(".")[0] in WIDE_MATRICES else bits) - 1
        bound = np.ptp(exact, axis=1, keepdims=True) / steps / 2
        assert (np.abs(made - exact) <= bound * 1.0001).all(), name
        assert bits == 8 or len(np.unique(made[0])) <= steps + 1


@pytest.mark.parametrize("case", EVERY_WAY_OF_STORING)
def test_a_gguf_file_keeps_names_and_order_and_a_folder_gets_the_specs_names(case, tmp_path):
    tiny = make_tiny_model(case, tmp_path / "folder")
    source = write_gguf(tiny, tmp_path / "whole.gguf", metadata={"tokenizer.ggml.model": "gpt2"})
    for files in ({"model.gguf": source}, tiny.files()):
        whole = open_checkpoint(files)
        small = open_checkpoint(quantize(files, tmp_path, Q8_0))
        assert small.spec == whole.spec
        for name, shape in whole.spec.tensor_shapes().items():
            exact, made = dequantize(whole.tensors[name]), dequantize(small.tensors[name])
            if is_quantized(name, shape) and shape[1] % 32 == 0:
                np.testing.assert_array_equal(made, dequantize(round_to_q8_0(exact)), err_msg=name)
            else:
                np.testing.assert_array_equal(made, exact, err_msg=name)
        check_minmax(whole, open_checkpoint(quantize(files, tmp_path, minmax(3))), 3)
    kept = GGUFFile(source).metadata
    made = GGUFFile(tmp_path / "model.gguf").metadata
    assert made == {**kept, "general.quantization_version": 2}


def test_the_file_type_follows_the_scheme(tmp_path):
    source = write_gguf(make_tiny_model(WIDE, tmp_path / "folder"), tmp_path / "whole.gguf")
    types = {"q8_0": 7, "q4_0": 2, "q4_1": 3, "minmax": None}
    for scheme, number in types.items():
        made = quantize({"model.gguf": source}, tmp_path, Recipe.of("quantize", scheme, {}))
        assert GGUFFile(made["model.gguf"]).metadata.get("general.file_type") == number


def test_an_encoder_is_quantized_by_schemes_that_need_no_text(tmp_path):
    files = make_tiny_encoder("bert", tmp_path / "folder").files()
    whole = open_checkpoint(files)
    check_minmax(whole, open_checkpoint(quantize(files, tmp_path, minmax(4))), 4)
    with pytest.raises(UnsupportedModel, match="Quantize it with q8_0, minmax or absmax"):
        quantize(files, tmp_path, Recipe.of("quantize", "gptq", {}))


@pytest.mark.parametrize("options", [{"per": "tensor"}, {"per": "channel"}, {"group": 16}])
def test_a_scale_may_be_per_tensor_row_or_group(options, tmp_path):
    files = make_tiny_model("llama", tmp_path / "folder").files()
    whole = open_checkpoint(files)
    small = open_checkpoint(quantize(files, tmp_path, minmax(4, **options)))
    name = "layers.0.down.weight"
    exact, made = dequantize(whole.tensors[name]), dequantize(small.tensors[name])
    groups = {"tensor": (1, -1), "channel": (48, -1)}.get(options.get("per", ""), (48 * 5, 16))
    grouped, error = exact.reshape(groups), np.abs(made - exact).reshape(groups)
    bound = np.ptp(grouped, axis=1, keepdims=True) / 15 / 2
    assert (error <= bound * 1.0001).all()
    assert error.max() > 0.8 * bound.max()  # and no finer than that


def test_a_quantized_model_can_be_quantized_again(tmp_path):
    files = make_tiny_model(WIDE, tmp_path / "folder").files()
    for number, recipe in enumerate([minmax(6), minmax(3), Recipe.of("quantize", "absmax", {"bits": 4}), Q8_0]):
        (tmp_path / str(number)).mkdir()
        files = quantize(files, tmp_path / str(number), recipe)
    assert open_checkpoint(files).tensors["layers.0.down.weight"].dtype == "Q8_0"


@pytest.mark.parametrize(
    ("scheme", "options", "message"),
    [
        ("minmax", {"group": 20}, "A group of 20 doesn't divide the 96 values of a row of embed.weight."),
        ("gptq", {"group": 64}, "Groups that divide all rows of this model: 8, 16, 32."),
        ("minmax", {"group": 32, "per": "tensor"}, "A group of 32 goes with --per group, not with --per tensor."),
    ],
)
def test_a_group_that_does_not_divide_the_rows_is_refused_listing_those_that_do(scheme, options, message, tmp_path):
    files = make_tiny_model(WIDE, tmp_path / "folder").files()
    with pytest.raises(BadRequest) as error:
        quantize(files, tmp_path, Recipe.of("quantize", scheme, options))
    assert message in error.value.message
    assert not list(tmp_path.glob("model.*"))


def test_a_failure_leaves_no_file(tmp_path, monkeypatch):
    files = make_tiny_model(WIDE, tmp_path / "folder").files()

    def interrupted(label: str, num_done: int, num_total: int | None) -> None:
        if label == "quantizing":
            raise KeyboardInterrupt

    made: list[Path] = []
    with pytest.raises(KeyboardInterrupt):
        quantize(files, tmp_path, Q8_0, interrupted)
    made = [path for path in tmp_path.iterdir() if path.name != "folder"]
    assert made == []


@pytest.mark.parametrize(
    ("recipe", "said"),
    [
        (
            minmax(5),
            r"Its minmax 5 bits weights are \d.* MB in the file and \d.* MB in memory, where they run as Q8_0",
        ),
        (Recipe.of("prune", "magnitude", {"sparsity": 0.9}), r"Its sparse F32 weights are .* MB in memory"),
        (Q8_0, None),
        (Recipe.of("quantize", "absmax", {"bits": 4}), None),
    ],
    ids=["minmax", "sparse", "q8_0", "absmax"],
)
def test_a_model_whose_weights_take_more_memory_than_disk_space_says_so(tmp_path, recipe, said):
    files = make_tiny_model(WIDE, tmp_path / "folder").files()
    make = quantize if recipe.kind == "quantize" else prune
    warnings = describe(make(files, tmp_path, recipe)).warnings
    if said is None:
        assert warnings == ()
    else:
        (warning,) = warnings
        assert re.match(said, warning)
