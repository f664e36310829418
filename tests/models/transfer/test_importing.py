"""Importing models from disk: the files that are imported, and those that are refused."""

import json
import pickle

import pytest

from llmos.core.errors import BadModelFile, BadRequest, UnsupportedModel
from llmos.models.transfer.transfers import Transfers
from support.tiny_gguf import TINY_CONFIG, write_gguf_parts
from support.tiny_rerankers import make_tiny_qwen3_reranker

pytestmark = pytest.mark.process


def names(version):
    return [file.name for file in version.files]


def test_a_gguf_file_becomes_a_version_with_the_same_bytes(registry, gguf_path):
    version = Transfers(registry).import_path(gguf_path, "tiny")
    assert (version.ref, version.format, version.family) == ("tiny@1", "gguf", "llama")
    assert (version.quantization, version.context_length, version.license) == ("F32", 128, "mit")
    assert version.source == f"import:{gguf_path}"
    assert registry.files(version)["tiny.gguf"].samefile(gguf_path)


def test_a_gguf_file_needs_no_gguf_in_its_name(registry, gguf_path):
    version = Transfers(registry).import_path(gguf_path.rename(gguf_path.with_name("weights")), "tiny")
    assert names(version) == ["model.gguf"]


@pytest.mark.parametrize("named", ["a part", "the folder"])
def test_a_model_in_parts_is_imported_whole(registry, tmp_path, named):
    parts = write_gguf_parts(tmp_path / "split" / "tiny.gguf")
    version = Transfers(registry).import_path(parts[1] if named == "a part" else parts[1].parent, "tiny")
    assert names(version) == [path.name for path in parts]
    assert (version.format, version.family, version.quantization) == ("gguf", "llama", "F32")


@pytest.mark.parametrize("named", ["a part", "the folder"])
def test_missing_parts_are_named(registry, tmp_path, named):
    parts = write_gguf_parts(tmp_path / "split" / "tiny.gguf")
    parts[1].unlink()
    with pytest.raises(BadRequest, match=r"3 files, and 1 of them are missing: tiny-00002-of-00003\.gguf"):
        Transfers(registry).import_path(parts[0] if named == "a part" else parts[0].parent, "tiny")


def test_a_folder_with_two_models_in_parts_names_the_first_part_of_each(registry, tmp_path):
    for name in ("q4", "q8"):
        write_gguf_parts(tmp_path / "split" / f"{name}.gguf")
    with pytest.raises(BadRequest, match=r"2 GGUF models.*: q4-00001-of-00003\.gguf, q8-00001-of-00003\.gguf"):
        Transfers(registry).import_path(tmp_path / "split", "tiny")


def test_a_folder_becomes_a_version_with_its_names(registry, make_folder):
    folder = make_folder()
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    version = Transfers(registry).import_path(folder, "tiny")
    assert names(version) == ["README.md", "config.json", "model.safetensors", "tokenizer.json"]
    assert (version.format, version.family, version.license) == ("safetensors", "llama", "apache-2.0")
    assert {name: path.read_bytes() for name, path in registry.files(version).items()} == before


def test_recommended_sampling_of_a_folder_is_imported(registry, make_folder):
    folder = make_folder()
    (folder / "generation_config.json").write_text('{"temperature": 0.6, "top_k": 20, "top_p": 7, "eos_token_id": 2}')
    assert Transfers(registry).import_path(folder, "tiny").sampling == {"temperature": 0.6, "top_k": 20}


def test_recommended_sampling_of_a_gguf_file_is_imported(registry, gguf_path):
    assert Transfers(registry).import_path(gguf_path, "tiny").sampling == {"temperature": 0.5, "min_p": 0.125}


def test_a_sharded_folder_keeps_its_shards_and_their_index(registry, make_folder):
    version = Transfers(registry).import_path(make_folder(num_shards=3), "tiny")
    assert [name for name in names(version) if "safetensors" in name] == [
        "model-00001-of-00003.safetensors",
        "model-00002-of-00003.safetensors",
        "model-00003-of-00003.safetensors",
        "model.safetensors.index.json",
    ]


def test_weights_that_a_folder_has_twice_are_imported_once(registry, make_folder):
    folder = make_folder(num_shards=2)
    (folder / "consolidated.safetensors").write_bytes((folder / "model-00001-of-00002.safetensors").read_bytes())
    assert "consolidated.safetensors" not in names(Transfers(registry).import_path(folder, "tiny"))


def test_a_folder_of_symbolic_links_is_imported(registry, make_folder, tmp_path):
    folder, snapshot = make_folder(), tmp_path / "snapshot"
    snapshot.mkdir()
    for path in folder.iterdir():
        (snapshot / path.name).symlink_to(path)
    assert (
        Transfers(registry).import_path(snapshot, "tiny").digest
        == Transfers(registry).import_path(folder, "tiny").digest
    )


def test_pickles_beside_safetensors_are_not_imported(registry, make_folder):
    folder = make_folder()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps({}))
    assert "pytorch_model.bin" not in names(Transfers(registry).import_path(folder, "tiny"))


def test_hidden_files_and_other_folders_are_not_imported(registry, make_folder):
    folder = make_folder()
    (folder / ".git").mkdir()
    (folder / ".git" / "config").write_text("")
    (folder / "onnx").mkdir()
    (folder / "onnx" / "config.json").write_text("{}")
    (folder / "train.py").write_text("")
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text("{}")
    assert [name for name in names(Transfers(registry).import_path(folder, "tiny")) if "/" in name] == [
        "1_Pooling/config.json"
    ]


def test_the_given_license_replaces_that_in_the_files(registry, make_folder):
    assert Transfers(registry).import_path(make_folder(), "tiny", license="MIT").license == "MIT"


def test_a_folder_with_one_gguf_file_imports_that_file(registry, gguf_path):
    assert names(Transfers(registry).import_path(gguf_path.parent, "tiny")) == ["tiny.gguf"]


def test_an_unsupported_encoder_can_be_imported(registry, make_folder):
    config = {"model_type": "t5", "max_position_embeddings": 512}
    version = Transfers(registry).import_path(make_folder(config=config), "embedder")
    assert (version.family, version.context_length) == ("t5", 512)
    assert "t5" in registry.show("embedder").unsupported


def test_an_ignored_key_is_kept_with_the_version(registry, make_folder, tmp_path):
    folder = make_folder(config=TINY_CONFIG | {"attn_logit_softcapping": 5.0, "odd": True})
    refused = Transfers(registry).import_path(folder, "tiny")
    assert "--ignore attn_logit_softcapping --ignore odd" in registry.show(refused.ref).unsupported
    version = Transfers(registry).import_path(folder, "tiny", ignored_keys=["odd", "attn_logit_softcapping"])
    assert version.ref == "tiny@2"
    assert registry.show("tiny@2").unsupported is None
    archive = Transfers(registry).export("tiny@2", tmp_path / "tiny.tar")
    assert Transfers(registry).import_path(archive, "copy").digest == version.digest
    assert registry.show("copy").unsupported is None
    with pytest.raises(BadRequest, match="is an archive"):
        Transfers(registry).import_path(archive, "copy", ignored_keys=["odd"])


def test_a_pulled_model_can_ignore_keys_as_well(registry, make_folder):
    folder = make_folder(config=TINY_CONFIG | {"odd": True})
    refused = Transfers(registry).pull(f"file:{folder}", "tiny")
    assert "--ignore odd" in registry.show(refused.ref).unsupported
    version = Transfers(registry).pull(f"file:{folder}", "tiny", ignored_keys=["odd"])
    assert version.ref == "tiny@2"
    assert registry.show("tiny@2").unsupported is None


def test_a_pulled_model_can_be_told_that_it_is_a_reranker(registry, make_folder, tmp_path):
    folder = make_tiny_qwen3_reranker(tmp_path / "qwen").folder
    assert registry.runnability(Transfers(registry).pull(f"file:{folder}", "chats")).task == "generate"
    version = Transfers(registry).pull(f"file:{folder}", "ranks", task="rerank")
    assert registry.runnability(version).task == "rerank"
    with pytest.raises(BadModelFile, match="no token 'yes'"):
        Transfers(registry).pull(f"file:{make_folder()}", "tiny", task="rerank")
    with pytest.raises(BadRequest, match="no task 'sing'"):
        Transfers(registry).pull(f"file:{folder}", "tiny", task="sing")
    assert not registry.has("tiny")


def test_a_key_to_ignore_must_be_in_the_model(registry, gguf_path):
    with pytest.raises(BadModelFile, match=r"'llama\.vocab' is to be ignored, but .* Nearest: llama\.vocab_size"):
        Transfers(registry).import_path(gguf_path, "tiny", ignored_keys=["llama.vocab"])
    assert registry.list() == []
    assert Transfers(registry).import_path(gguf_path, "tiny", ignored_keys=["llama.vocab_size"]).ref == "tiny@1"


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "model.pth", "model.ckpt", "model.pkl"])
@pytest.mark.parametrize("as_folder", [True, False])
def test_a_pickle_is_refused_with_the_reason(registry, tmp_path, name, as_folder):
    folder = tmp_path / "pickled"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / name).write_bytes(pickle.dumps({}))
    with pytest.raises(UnsupportedModel, match=f"{name}.*can run any code"):
        Transfers(registry).import_path(folder if as_folder else folder / name, "tiny")


def test_a_pickle_with_another_suffix_is_refused_with_the_reason(registry, tmp_path):
    (tmp_path / "model").write_bytes(pickle.dumps({"weights": [1, 2]}))
    with pytest.raises(UnsupportedModel, match="can run any code"):
        Transfers(registry).import_path(tmp_path / "model", "tiny")


def test_a_single_safetensors_file_is_refused_with_advice(registry, make_folder):
    folder = make_folder()
    with pytest.raises(BadRequest, match=f"Import the folder.*llmos import {folder}"):
        Transfers(registry).import_path(folder / "model.safetensors", "tiny")


def test_a_safetensors_file_whose_header_begins_like_a_pickle_is_called_no_pickle(registry, tmp_path):
    (tmp_path / "weights").write_bytes((640).to_bytes(8, "little") + b"{}".ljust(640))
    with pytest.raises(BadModelFile, match="neither a GGUF file nor a Hugging Face folder"):
        Transfers(registry).import_path(tmp_path / "weights", "tiny")


def test_one_of_two_gguf_files_has_to_be_chosen(registry, gguf_path):
    (gguf_path.parent / "other.gguf").write_bytes(gguf_path.read_bytes())
    with pytest.raises(BadRequest, match=r"2 GGUF models.*other\.gguf, tiny\.gguf"):
        Transfers(registry).import_path(gguf_path.parent, "tiny")


def test_missing_shards_are_named(registry, make_folder):
    folder = make_folder(num_shards=3)
    (folder / "model-00002-of-00003.safetensors").unlink()
    with pytest.raises(BadModelFile, match=r"missing: .*model-00002-of-00003\.safetensors"):
        Transfers(registry).import_path(folder, "tiny")


def test_an_index_without_its_shards_is_refused(registry, make_folder):
    folder = make_folder(num_shards=2)
    for path in folder.glob("*.safetensors"):
        path.unlink()
    with pytest.raises(BadModelFile, match="none of the weight files"):
        Transfers(registry).import_path(folder, "tiny")


@pytest.mark.parametrize("shard", ["../../../etc/passwd", "/etc/passwd", ".git/config"])
def test_an_index_with_a_path_outside_its_folder_is_refused(registry, make_folder, shard):
    folder = make_folder(num_shards=2)
    index = folder / "model.safetensors.index.json"
    weight_map = json.loads(index.read_text())["weight_map"]
    index.write_text(json.dumps({"weight_map": dict.fromkeys(weight_map, shard)}))
    with pytest.raises(BadModelFile, match="missing"):
        Transfers(registry).import_path(folder, "tiny")


@pytest.mark.parametrize("num_bytes", [4, 24, 200, -1])
def test_a_truncated_gguf_file_is_refused(registry, gguf_path, num_bytes):
    gguf_path.write_bytes(gguf_path.read_bytes()[:num_bytes])
    with pytest.raises(BadModelFile):
        Transfers(registry).import_path(gguf_path, "tiny")


@pytest.mark.parametrize(
    ("content", "complaint"), [(b"", "is empty"), (b"hello, world", "neither a GGUF file nor a Hugging Face folder")]
)
def test_a_file_that_is_not_a_model_is_refused(registry, tmp_path, content, complaint):
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(BadModelFile, match=complaint):
        Transfers(registry).import_path(tmp_path / "file", "tiny")


def test_a_missing_path_or_device_is_refused(registry, tmp_path):
    with pytest.raises(BadRequest, match=r"There is no .*/nothing\."):
        Transfers(registry).import_path(tmp_path / "nothing", "tiny")
    with pytest.raises(BadRequest, match="neither a file nor a folder"):
        Transfers(registry).import_path(type(tmp_path)("/dev/null"), "tiny")
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadModelFile, match="has no model"):
        Transfers(registry).import_path(tmp_path / "empty", "tiny")


def test_an_invalid_name_is_refused_before_anything_is_read(registry, tmp_path):
    with pytest.raises(BadRequest, match="not a valid name for a model"):
        Transfers(registry).import_path(tmp_path / "nothing", "a/b")


def test_a_refused_import_stores_nothing(registry, make_folder, gguf_path):
    gguf_path.write_bytes(gguf_path.read_bytes()[:200])
    folder = make_folder(num_shards=2)
    next(folder.glob("*00002.safetensors")).unlink()
    for path in (gguf_path, folder):
        with pytest.raises(BadModelFile):
            Transfers(registry).import_path(path, "tiny")
    assert registry.list() == []
    assert list(registry.store.digests()) == []


def in_hub_cache(folder, cache, *commits):
    """Lay a folder out as the hub's cache does: blobs, and snapshots of symbolic links to them."""
    (cache / "blobs").mkdir(parents=True)
    for commit in commits:
        snapshot = cache / "snapshots" / commit
        snapshot.mkdir(parents=True)
        for path in folder.iterdir():
            blob = cache / "blobs" / path.name
            blob.write_bytes(path.read_bytes())
            (snapshot / path.name).symlink_to(blob)
    return cache


def test_a_models_folder_of_the_hubs_cache_imports_the_snapshot_of_main(registry, make_folder, tmp_path):
    folder = make_folder()
    expected = Transfers(registry).import_path(folder, "tiny")
    cache = in_hub_cache(folder, tmp_path / "models--acme--tiny", "0123", "4567")
    with pytest.raises(BadRequest, match=r"Import one of its snapshots: .*0123, .*4567\."):
        Transfers(registry).import_path(cache, "cached")
    (cache / "refs").mkdir()
    (cache / "refs" / "main").write_text("4567")
    assert Transfers(registry).import_path(cache, "cached").digest == expected.digest
    only = in_hub_cache(folder, tmp_path / "models--acme--only", "89ab")
    assert Transfers(registry).import_path(only, "only").digest == expected.digest


def test_a_byte_order_mark_at_the_beginning_of_a_json_file_is_skipped(registry, make_folder):
    folder = make_folder(num_shards=2)
    for name in ("config.json", "tokenizer.json", "model.safetensors.index.json"):
        (folder / name).write_bytes(b"\xef\xbb\xbf" + (folder / name).read_bytes())
    version = Transfers(registry).import_path(folder, "tiny")
    assert registry.show(version.ref).unsupported is None
    (folder / "config.json").write_text((folder / "config.json").read_text("utf-8-sig"), encoding="utf-16")
    with pytest.raises(BadModelFile, match=r"config\.json is UTF-16 text\. Save it as UTF-8\."):
        Transfers(registry).import_path(folder, "other")


def test_a_reranker_that_looks_like_a_chat_model_is_imported_with_its_task(registry, make_folder):
    folder = make_folder()
    assert registry.show(Transfers(registry).import_path(folder, "chat").ref).task == "generate"
    file = folder / "tokenizer.json"
    content = json.loads(file.read_text())
    content["model"]["vocab"] |= {"yes": 30, "no": 31}
    file.write_text(json.dumps(content))
    template = "{% for message in messages %}{{ message.role }}: {{ message.content }}{% endfor %}"
    (folder / "chat_template.jinja").write_text(template)
    version = Transfers(registry).import_path(folder, "judge", task="rerank")
    shown = registry.show(version.ref)
    assert (version.family, shown.task, shown.unsupported) == ("llama_reranker", "rerank", None)
    assert not (folder / "modules.json").exists(), "the folder stays as it is"
    with pytest.raises(BadRequest, match="no task 'embed'"):
        Transfers(registry).import_path(folder, "judge", task="embed")
