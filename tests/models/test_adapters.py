"""Adapters: versions that adapt another version of their model, with an alias as their name."""

import json
from pathlib import Path

import msgspec
import numpy as np
import pytest
from safetensors.numpy import save_file

from llmos.core.config import load_settings
from llmos.core.encryption.sealed_path import join_keys
from llmos.core.errors import BadModelFile, BadRequest, Conflict, ModelNotFound
from llmos.core.progress import no_progress
from llmos.engine.architectures import llama
from llmos.engine.checkpoint.adapters import open_adapter
from llmos.engine.messages import AdapterFiles
from llmos.models import open_registry
from llmos.models.encrypting import encrypt_models
from llmos.models.transfer.archive import write_archive
from llmos.models.transfer.transfers import Transfers
from llmos.models.versions.records import digest_of_record
from support.tiny_gguf import TINY_CONFIG

pytestmark = pytest.mark.process

LLAMA = llama.spec_from_config(TINY_CONFIG)


@pytest.fixture
def model(registry, tiny_gguf, tmp_path):
    (tmp_path / "tiny.gguf").write_bytes(tiny_gguf)
    return Transfers(registry).import_path(tmp_path / "tiny.gguf", "tiny")


@pytest.fixture
def make_adapter(tmp_path):
    def make(name="adapter", rank=2, columns=32):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "lora_alpha": 4, "r": rank}))
        module = "base_model.model.model.layers.0.self_attn.q_proj"
        tensors = {
            f"{module}.lora_A.weight": np.full((rank, columns), 0.5, np.float32),
            f"{module}.lora_B.weight": np.full((32, rank), 0.5, np.float32),
        }
        save_file(tensors, folder / "adapter_model.safetensors")
        (folder / "tokenizer.json").write_text("{}")
        (folder / "README.md").write_text("---\nlicense: mit\n---\n")
        return folder

    return make


def test_an_adapter_is_a_version_that_adapts_another_one(registry, model, make_adapter):
    adapter = Transfers(registry).import_path(make_adapter(), "tiny:french")
    assert (adapter.ref, adapter.adapts, adapter.format, adapter.license) == ("tiny@2", 1, "lora", "mit")
    assert (adapter.parameters, adapter.quantization) == (128, "rank 2")
    assert adapter.sampling == model.sampling
    assert {file.name for file in adapter.files} == {"README.md", "adapter_config.json", "adapter_model.safetensors"}
    assert registry.resolve("tiny:french") == adapter
    assert registry.resolve("tiny") == model, "the model's own name still means the model"
    details = registry.show("tiny:french")
    assert (details.aliases, details.unsupported) == (("french",), None)


def test_an_adapter_is_served_by_its_models_replica(registry, model, make_adapter):
    adapter = Transfers(registry).import_path(make_adapter(), "tiny:french")
    loadable = registry.loadable(adapter)
    assert loadable.version == model
    assert loadable.files == registry.files(model) == registry.loadable(model).files
    assert registry.loadable(model).adapter is None
    assert loadable.adapter.digest == adapter.digest
    assert loadable.adapter.files == {name: str(path) for name, path in registry.files(adapter).items()}


def test_an_encrypted_adapter_is_read_with_the_keys_that_come_with_it(registry, model, make_adapter):
    folder = make_adapter()
    plain = open_adapter({path.name: path for path in folder.iterdir()}, LLAMA)
    adapter = Transfers(registry.encrypting()).import_path(folder, "tiny:french")
    assert (registry.is_encrypted(adapter), registry.is_encrypted(model)) == (True, False)
    assert registry.show("tiny:french").unsupported is None
    sent = msgspec.msgpack.encode(registry.loadable(adapter).adapter)
    arrived = msgspec.msgpack.decode(sent, type=AdapterFiles)
    opened = open_adapter(join_keys(arrived.files, arrived.keys), LLAMA)
    assert opened.keys() == plain.keys()
    for name, update in opened.items():
        np.testing.assert_array_equal(update.down, plain[name].down)
        np.testing.assert_array_equal(update.up, plain[name].up)
    with pytest.raises(BadModelFile):
        open_adapter({name: Path(path) for name, path in arrived.files.items()}, LLAMA)


def test_a_model_that_an_adapter_is_merged_into_is_encrypted_if_it_was(registry, make_folder, make_adapter):
    folder, adapter = make_folder(), make_adapter()
    Transfers(registry).import_path(folder, "base")
    expected = Transfers(registry).merge_adapter(adapter, "base", "merged")
    content = {name: path.read_bytes() for name, path in registry.files(expected).items()}
    encrypt_models(registry, "base")
    registry.remove("merged")
    merged = Transfers(registry).merge_adapter(adapter, "base", "merged")
    assert registry.is_encrypted(merged)
    assert merged.digest == expected.digest
    assert {name: path.read_bytes() for name, path in registry.files(merged).items()} == content


def test_the_same_adapter_is_another_one_on_another_version(registry, model, make_adapter, tmp_path, make_folder):
    first = Transfers(registry).import_path(make_adapter(), "tiny:french")
    again = Transfers(registry).import_path(tmp_path / "adapter", "tiny:again")
    assert again == first, "the same bytes on the same version"
    newer = Transfers(registry).import_path(make_folder(), "tiny")
    assert newer.number == 3
    other = Transfers(registry).import_path(tmp_path / "adapter", "tiny:french")
    assert (other.number, other.adapts) == (4, 3)
    assert other.digest != first.digest


def test_an_adapter_needs_a_name_beside_its_model(registry, model, make_adapter):
    with pytest.raises(BadRequest, match="tiny:ADAPTER"):
        Transfers(registry).import_path(make_adapter(), "tiny")
    with pytest.raises(ModelNotFound):
        Transfers(registry).import_path(make_adapter("other"), "nothing:french")
    registry.aliases.set("tiny", "prod", "tiny@1")
    with pytest.raises(Conflict, match="a whole model"):
        Transfers(registry).import_path(make_adapter("third"), "tiny:prod")


def test_an_adapter_of_another_model_is_not_stored(registry, model, make_adapter):
    with pytest.raises(BadModelFile, match="made for another model"):
        Transfers(registry).import_path(make_adapter(columns=48), "tiny:french")
    assert [version.ref for version in registry.list()] == ["tiny@1"]


def test_a_version_with_adapters_is_not_removed(registry, model, make_adapter):
    Transfers(registry).import_path(make_adapter(), "tiny:french")
    with pytest.raises(Conflict, match=r"llmos rm tiny@2"):
        registry.remove("tiny@1")
    registry.remove("tiny:french")
    registry.remove("tiny@2")
    assert [version.ref for version in registry.list()] == ["tiny@1"]
    Transfers(registry).import_path(make_adapter("again"), "tiny:french")
    assert registry.remove("tiny").versions == ("tiny@1", "tiny@2")


def test_an_adapter_is_merged_into_a_model_of_its_own(registry, model, make_folder, make_adapter):
    transfers, adapter = Transfers(registry), make_adapter()
    whole = transfers.import_path(make_folder(), "whole")
    merged = transfers.merge_adapter(adapter, "whole", "whole-french")
    details = registry.show("whole-french")
    assert (merged.ref, merged.parent, details.unsupported) == ("whole-french@1", whole.digest, None)
    assert merged.recipe["kind"] == "merge"
    assert merged.recipe["options"]["adapter"].startswith("sha256:")
    assert merged.parameters == whole.parameters
    assert transfers.merge_adapter(adapter, "whole", "whole-french") == merged
    with pytest.raises(BadRequest, match="Hugging Face folder only"):
        transfers.merge_adapter(adapter, "tiny", "tiny-french")
    with pytest.raises(Conflict, match="name tiny is taken"):
        transfers.merge_adapter(adapter, "whole", "tiny")


@pytest.fixture
def there(tmp_path):
    registry = open_registry(load_settings({"LLMOS_HOME": str(tmp_path / "elsewhere")}))
    yield registry
    registry.database.close()


def test_an_adapter_travels_to_where_its_model_is(registry, model, make_adapter, there, tmp_path):
    adapter = Transfers(registry).import_path(make_adapter(), "tiny:french")
    whole, small = (
        Transfers(registry).export(name, tmp_path / f"{name[-1]}.tar") for name in ("tiny@1", "tiny:french")
    )
    with pytest.raises(BadRequest, match=rf"an adapter of the version of tiny with the digest {model.digest}.*first"):
        Transfers(there).import_path(small)
    assert (there.list(), [*there.store.digests()]) == ([], [])
    Transfers(there).import_path(whole)
    arrived = Transfers(there).import_path(small)
    assert (arrived.digest, arrived.adapts, arrived.license) == (adapter.digest, 1, "mit")
    assert there.resolve("tiny:french") == arrived
    assert there.resolve("tiny").adapts is None


def test_an_adapter_that_another_server_sends_keeps_a_name_that_is_taken(registry, model, make_adapter, there):
    adapter = Transfers(registry).import_path(make_adapter(), "tiny:french")
    for version in (model, adapter):
        for path in registry.files(version).values():
            there.store.add(path)
    transfers = Transfers(there)
    transfers.accept(Transfers(registry).record_of(model), "tiny", "test")
    there.aliases.set("tiny", "french", "tiny@1")
    arrived = transfers.accept(Transfers(registry).record_of(adapter), "tiny", "test")
    assert (arrived.digest, arrived.adapts) == (adapter.digest, 1)
    assert there.resolve("tiny:french").number == 1, "an alias of the receiver stays where it is"


def test_an_adapter_in_a_record_of_a_whole_model_is_refused(registry, model, make_adapter, there, tmp_path):
    adapter = Transfers(registry).import_path(make_adapter(), "tiny:french")
    files = registry.files(adapter)
    record = Transfers(registry).record_of(adapter)
    record = msgspec.structs.replace(record, adapts=None, adapter=None)
    record = msgspec.structs.replace(record, digest=record.manifest.digest)
    record = msgspec.structs.replace(record, record_digest=digest_of_record(record))
    write_archive(record, files, tmp_path / "odd.tar", no_progress)
    with pytest.raises(BadRequest, match="is an adapter"):
        Transfers(there).import_path(tmp_path / "odd.tar")
    assert (there.list(), [*there.store.digests()]) == ([], [])
