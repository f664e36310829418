"""Opening a model: all missing or wrong tensors are named at once, and nothing is read before it is accessed."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from llmos.core.errors import BadModelFile, UnsupportedModel
from llmos.engine.checkpoint.checkpoint import open_checkpoint
from llmos.engine.formats.dequantize import dequantize
from support.tiny_models import TinyModel, make_tiny_model, write_gguf


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> TinyModel:
    return make_tiny_model("llama", tmp_path_factory.mktemp("llama"))


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory: pytest.TempPathFactory) -> TinyModel:
    return make_tiny_model("gpt2", tmp_path_factory.mktemp("gpt2"))


@pytest.fixture
def rewritten(llama: TinyModel, tmp_path: Path):
    """A function that writes a model's folder with changed tensors and config. Returns its files."""

    def rewrite(tiny=llama, *, tensors=lambda tensors: tensors, **config) -> dict[str, Path]:
        save_file(tensors(load_file(tiny.folder / "model.safetensors")), tmp_path / "model.safetensors")
        whole = json.loads((tiny.folder / "config.json").read_text()) | config
        (tmp_path / "config.json").write_text(json.dumps(whole))
        return {path.name: path for path in tmp_path.iterdir()}

    return rewrite


def test_a_folder_opens(llama):
    checkpoint = open_checkpoint(llama.files())
    assert checkpoint.family == "llama"
    assert list(checkpoint.tensors) == list(checkpoint.spec.tensor_shapes())


def test_tensors_are_views_of_the_file(llama):
    tensors = open_checkpoint(llama.files()).tensors
    assert np.shares_memory(tensors["layers.0.up.weight"].data, tensors["layers.0.up.weight"].data)


def test_files_may_have_any_path(llama, tmp_path):
    blobs = {}
    for i, (name, path) in enumerate(llama.files().items()):
        blobs[name] = tmp_path / f"{i:064x}"
        blobs[name].hardlink_to(path)
    assert open_checkpoint(blobs).spec == llama.open().spec


def test_a_sharded_folder_is_the_same_model(llama, tmp_path):
    llama.reference.save_pretrained(tmp_path, max_shard_size="40KB")
    files = {path.name: path for path in tmp_path.iterdir()}
    assert sum(name.endswith(".safetensors") for name in files) > 2
    sharded, whole = open_checkpoint(files), llama.open()
    assert sharded.spec == whole.spec
    for name in whole.tensors:
        assert np.array_equal(sharded.tensors[name].data, whole.tensors[name].data)


def test_a_half_precision_folder_keeps_its_type(llama, tmp_path, rewritten):
    files = rewritten(tensors=lambda tensors: {name: values.astype(np.float16) for name, values in tensors.items()})
    checkpoint = open_checkpoint(files)
    assert checkpoint.tensors["layers.1.q.weight"].dtype == "F16"


def test_a_checkpoint_of_the_bare_model_has_no_prefix(gpt2, rewritten):
    files = rewritten(
        gpt2, tensors=lambda tensors: {name.removeprefix("transformer."): values for name, values in tensors.items()}
    )
    bare, whole = open_checkpoint(files), gpt2.open()
    for name in whole.tensors:
        assert np.array_equal(dequantize(bare.tensors[name]), dequantize(whole.tensors[name]))


def test_all_missing_tensors_are_named_at_once_ordered_by_layer(rewritten):
    gone = ["lm_head.weight", "model.layers.0.mlp.up_proj.weight", "model.layers.1.self_attn.q_proj.weight"]
    files = rewritten(tensors=lambda tensors: {k: v for k, v in tensors.items() if k not in gone})
    with pytest.raises(BadModelFile) as refused:
        open_checkpoint(files)
    assert refused.value.message == (
        f"The files lack 3 of the 21 tensors that this llama model needs: {', '.join(gone)}."
    )


def test_many_missing_tensors_are_cut_off_with_a_count(rewritten):
    files = rewritten(num_hidden_layers=100)
    with pytest.raises(BadModelFile, match=r"lack 882 of the 903 tensors.* and 682 more\.$"):
        open_checkpoint(files)


def test_all_wrong_shapes_are_named_with_both_shapes(rewritten):
    files = rewritten(
        tensors=lambda tensors: (
            tensors | {"model.norm.weight": np.ones(47, np.float32), "lm_head.weight": np.ones((131, 96), np.float32)}
        )
    )
    with pytest.raises(BadModelFile) as refused:
        open_checkpoint(files)
    assert "model.norm.weight is [47] instead of [48]" in refused.value.message
    assert "lm_head.weight is [131, 96] instead of [131, 48]" in refused.value.message


def test_a_fused_tensor_must_have_exactly_the_rows_of_its_parts(gpt2, rewritten):
    wide = np.ones((48, 150), np.float32)
    files = rewritten(gpt2, tensors=lambda tensors: tensors | {"transformer.h.1.attn.c_attn.weight": wide})
    with pytest.raises(BadModelFile, match=r"h\.1\.attn\.c_attn\.weight is \[48, 150\] instead of \[48, 144\]"):
        open_checkpoint(files)


@pytest.mark.parametrize("shape", [(), (0, 48), (131 * 48,), (1, 131, 48)])
def test_an_embedding_of_another_rank_is_a_wrong_shape(shape, rewritten):
    files = rewritten(tensors=lambda tensors: tensors | {"model.embed_tokens.weight": np.ones(shape, np.float32)})
    with pytest.raises(BadModelFile, match=r"embed_tokens\.weight is \["):
        open_checkpoint(files)


def test_a_tensor_of_an_unsupported_type_is_named_with_its_type(rewritten):
    files = rewritten(tensors=lambda tensors: tensors | {"model.norm.weight": np.ones(48, np.int64)})
    with pytest.raises(UnsupportedModel, match=r"'model\.norm\.weight' of model\.safetensors has type I64"):
        open_checkpoint(files)


def test_unneeded_tensors_are_ignored(rewritten):
    files = rewritten(tensors=lambda tensors: tensors | {"model.rotary.inv_freq": np.ones(3, np.int64)})
    assert "model.rotary.inv_freq" not in open_checkpoint(files).tensors


def test_missing_tensors_of_a_gguf_file_are_named_as_in_the_file(llama, tmp_path):
    path = write_gguf(llama, tmp_path / "x.gguf", leave_out=["blk.0.attn_k.weight", "output_norm.weight"])
    with pytest.raises(BadModelFile, match=r"lack 2 of the 21 .*: blk\.0\.attn_k\.weight, output_norm\.weight\."):
        open_checkpoint({"x.gguf": path})


def test_a_gguf_file_without_an_embedding_is_rejected(llama, tmp_path):
    path = write_gguf(llama, tmp_path / "x.gguf", leave_out=["token_embd.weight"])
    with pytest.raises(BadModelFile, match=r"no tensor token_embd\.weight"):
        open_checkpoint({"x.gguf": path})


def test_files_that_are_not_a_model_are_rejected(tmp_path):
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(BadModelFile, match=r"neither a \.gguf file nor a config\.json"):
        open_checkpoint({"notes.txt": tmp_path / "notes.txt"})


def test_two_gguf_files_are_rejected(llama, tmp_path):
    path = write_gguf(llama, tmp_path / "a.gguf")
    with pytest.raises(BadModelFile, match=r"2 GGUF files \(a\.gguf, b\.gguf\)"):
        open_checkpoint({"a.gguf": path, "b.gguf": path})
