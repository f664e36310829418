"""Pruned layers, heads and channels: sizes, kept weights, and nothing else changed."""

from collections.abc import Mapping
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch

from llmos.core.errors import BadRequest, UnsupportedModel
from llmos.engine.checkpoint.checkpoint import Checkpoint, open_checkpoint
from llmos.engine.checkpoint.model_files import open_model_files
from llmos.engine.compression.prune import prune
from llmos.engine.compression.prune.shape import gguf_metadata, with_layers
from llmos.engine.compression.recipe import Recipe
from llmos.engine.formats.dequantize import dequantize
from llmos.engine.formats.gguf import GGUFFile
from llmos.engine.formats.json_file import read_json_object
from llmos.engine.tensors import RawTensor

WIDE = "llama-tied-wide"  # the tiny model whose rows are multiples of 32
PROMPT = [3, 17, 2, 99, 45, 17, 8, 120]
BOTH_FORMATS = pytest.mark.parametrize("format", ["gguf", "safetensors"])


def recipe(**options) -> Recipe:
    return Recipe.of("prune", "structured", {"texts": 4, "length": 32, **options})


def made(files: Mapping[str, Path], folder: Path, **options) -> Checkpoint:
    folder.mkdir(exist_ok=True)
    return open_checkpoint(prune(files, folder, recipe(**options)))


def raw(values: np.ndarray) -> RawTensor:
    values = np.ascontiguousarray(values, np.float32)
    return RawTensor("F32", values.shape, values.view(np.uint8).reshape(values.shape[0] if values.ndim > 1 else 1, -1))


def rows_of(child: np.ndarray, parent: np.ndarray) -> list[int]:
    """Return the parent's indices of the child's rows, which are equal to the bit."""
    number = {row.tobytes(): i for i, row in enumerate(parent)}
    return [number[row.tobytes()] for row in child]


@pytest.mark.parametrize(
    ("case", "format"),
    [
        ("llama", "gguf"),
        ("llama", "safetensors"),
        ("smollm3-window", "safetensors"),
        ("gemma3-layer-types", "safetensors"),
    ],
)
def test_a_model_without_a_layer_equals_the_reference_without_it(models, tmp_path, case, format, logits_of):
    tiny = models(case)
    parent, child = tiny.open(), made(models.files(case, format), tmp_path, layers=1)
    assert child.spec.num_layers == parent.spec.num_layers - 1
    norms = [dequantize(parent.tensors[f"layers.{i}.attn_norm.weight"]) for i in range(parent.spec.num_layers)]
    left = [
        next(
            i
            for i, norm in enumerate(norms)
            if (norm == dequantize(child.tensors[f"layers.{j}.attn_norm.weight"])).all()
        )
        for j in range(child.spec.num_layers)
    ]
    reference = tiny.open_reference()
    layers = reference.model.layers
    reference.model.layers = torch.nn.ModuleList([layers[i] for i in left])
    reference.config.num_hidden_layers = len(left)
    for name in ("layer_types", "no_rope_layers"):
        if getattr(reference.config, name, None):
            setattr(reference.config, name, [getattr(reference.config, name)[i] for i in left])
    for number, layer in enumerate(reference.model.layers):
        layer.self_attn.layer_idx = number
    with torch.inference_mode():
        expected = reference(torch.tensor([PROMPT]), use_cache=False).logits[0].numpy()
    np.testing.assert_allclose(logits_of(child, PROMPT), expected, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(logits_of(child, PROMPT, torch=True), expected, rtol=1e-3, atol=1e-3)


@BOTH_FORMATS
@pytest.mark.parametrize("case", [WIDE, "qwen2", "gpt2", "gemma2", "phi3-partial", "stablelm-parallel", "gpt_neox"])
def test_fewer_channels_equal_the_whole_model_with_the_others_masked(models, tmp_path, case, format, logits_of):
    files = models.files(case, format)
    parent, child = open_checkpoint(files), made(files, tmp_path, ffn_share=0.4)
    size = child.spec.intermediate_size
    assert size % 32 == 0
    assert size < parent.spec.intermediate_size
    masked = dict(parent.tensors)
    for i in range(parent.spec.num_layers):
        up, down = f"layers.{i}.up.weight", f"layers.{i}.down.weight"
        kept = rows_of(dequantize(child.tensors[up]), dequantize(parent.tensors[up]))
        assert kept == sorted(set(kept))
        values = np.zeros(parent.tensors[down].shape, np.float32)
        values[:, kept] = dequantize(child.tensors[down])
        masked[down] = raw(values)
    expected = logits_of(parent, PROMPT, tensors=masked, torch=True)
    np.testing.assert_allclose(logits_of(child, PROMPT), expected, rtol=2e-3, atol=2e-3)
    np.testing.assert_allclose(logits_of(child, PROMPT, torch=True), expected, rtol=2e-3, atol=2e-3)


@BOTH_FORMATS
@pytest.mark.parametrize("case", [WIDE, "qwen2", "qwen3-tied-biases", "gemma2", "granite", "stablelm-parallel"])
def test_fewer_heads_equal_the_whole_model_with_the_others_masked(models, tmp_path, case, format, logits_of):
    files = models.files(case, format)
    parent, child = open_checkpoint(files), made(files, tmp_path, kv_heads=1)
    spec, smaller = parent.spec, child.spec
    assert smaller.num_kv_heads == spec.num_kv_heads - 1
    assert smaller.num_heads * spec.num_kv_heads == smaller.num_kv_heads * spec.num_heads
    assert smaller.head_dim == spec.head_dim
    masked = dict(parent.tensors)
    for i in range(spec.num_layers):
        q, o = f"layers.{i}.q.weight", f"layers.{i}.o.weight"
        kept = rows_of(dequantize(child.tensors[q]), dequantize(parent.tensors[q]))
        assert kept == sorted(set(kept))
        values = np.zeros(parent.tensors[o].shape, np.float32)
        values[:, kept] = dequantize(child.tensors[o])
        masked[o] = raw(values)
    expected = logits_of(parent, PROMPT, tensors=masked, torch=True)
    np.testing.assert_allclose(logits_of(child, PROMPT), expected, rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize(
    ("quantization", "of_rows", "of_columns"),
    [(None, "F32", "F32"), ("F16", "F16", "F16"), ("BF16", "BF16", "BF16"), ("Q8_0", "Q8_0", "Q8_0"),
     ("Q4_0", "Q4_0", "Q4_1"), ("Q4_1", "Q4_1", "Q4_1"), ("Q5_1", "Q5_1", "Q8_0")],
)  # fmt: skip
def test_rows_keep_their_type_and_cut_columns_get_the_narrowest_one(
    models, tmp_path, quantization, of_rows, of_columns
):
    kind = None if quantization is None else gguf.GGMLQuantizationType[quantization]
    child = made(models.gguf(WIDE, quantize=kind), tmp_path, ffn_share=0.4)
    assert child.tensors["layers.0.up.weight"].dtype == child.tensors["layers.0.o.weight"].dtype == of_rows
    assert child.tensors["layers.0.down.weight"].dtype == of_columns


def test_the_metadata_of_a_smaller_model_have_its_sizes(models, tmp_path):
    files = models.gguf(WIDE)
    (folder := tmp_path / "gguf").mkdir()
    metadata = GGUFFile(prune(files, folder, recipe(layers=1, ffn_share=0.4, kv_heads=1))["model.gguf"]).metadata
    before = GGUFFile(files["model.gguf"]).metadata
    assert metadata == before | {
        "llama.block_count": 1, "llama.feed_forward_length": 96, "llama.attention.head_count": 3,
        "llama.attention.head_count_kv": 1, "llama.attention.key_length": 16, "llama.attention.value_length": 16,
    }  # fmt: skip
    (folder := tmp_path / "hf").mkdir()
    made = prune(models(WIDE).files(), folder, recipe(layers=1, ffn_share=0.4, kv_heads=1))
    config, whole = (read_json_object(files["config.json"], "") for files in (made, models(WIDE).files()))
    assert config == whole | {
        "num_hidden_layers": 1, "intermediate_size": 96, "num_attention_heads": 3, "num_key_value_heads": 1,
        "head_dim": 16,
    }  # fmt: skip


def test_the_same_recipe_gives_the_same_bytes(models, tmp_path):
    bytes_of = []
    for name in ("one", "other"):
        (folder := tmp_path / name).mkdir()
        files = prune(models.gguf(WIDE), folder, recipe(layers=1, ffn_share=0.4, kv_heads=1))
        bytes_of.append(files["model.gguf"].read_bytes())
    assert bytes_of[0] == bytes_of[1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layers": 2}, r"layers is 2, and this model has 2 layers, one of which must be kept\. Use at most 1"),
        ({"kv_heads": 2}, r"kv_heads is 2, and this model has 2 key-value heads"),
        ({"ffn_share": 0.95}, r"at least 32 of this model's \d+ channels must be kept"),
        ({"ffn_share": 0.01}, r"less than 32 of this model's \d+ channels, which are pruned 32 at a time"),
    ],
)
def test_pruning_nothing_or_everything_is_refused(models, tmp_path, options, message):
    with pytest.raises(BadRequest, match=message):
        made(models.files(WIDE, "gguf"), tmp_path, **options)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("case", "format", "options", "message"),
    [
        ("olmo2", "gguf", {"kv_heads": 1}, "normalizes all its heads together"),
        ("phi3-partial", "gguf", {"kv_heads": 1}, "queries, keys and values in one tensor"),
        ("gpt_neox", "safetensors", {"kv_heads": 1}, None),
        ("gpt2", "safetensors", {"kv_heads": 1}, "The metadata of a gpt2 model can't describe"),
        ("mixtral", "safetensors", {"layers": 1}, "mixture of experts"),
    ],
)
def test_what_the_metadata_cannot_describe_is_refused(models, tmp_path, case, format, options, message):
    files = models.files(case, format)
    if message is None:
        assert made(files, tmp_path, **options).spec.num_heads == open_checkpoint(files).spec.num_heads - 1
        return
    labels: list[str] = []
    with pytest.raises(UnsupportedModel, match=message):
        prune(files, tmp_path, recipe(**options), lambda label, *_: labels.append(label))
    assert not labels, "before the work"


def test_layers_whose_pattern_gguf_metadata_cannot_describe_are_refused_by_name(models):
    parent = open_model_files(models.gguf("gemma2"))  # every other layer has a window, whatever a file says
    spec, _ = parent.spec_and_sources()
    changes, _ = gguf_metadata(parent, spec, with_layers(spec, [0, 1]), [0, 1])
    assert changes["gemma2.block_count"] == 2
    with pytest.raises(UnsupportedModel, match="can't describe the pruned one: window would differ"):
        gguf_metadata(parent, spec, with_layers(spec, [0, 2]), [0, 2])
