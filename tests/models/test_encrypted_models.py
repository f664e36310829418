"""Encrypted models: their weights are nowhere in the clear, nothing is lost at any moment, all else is as before."""

import errno
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from llmos.core.clock import utc_now
from llmos.core.config import Settings
from llmos.core.encryption import ring as ring_module
from llmos.core.encryption.opening import open_encryption
from llmos.core.encryption.queries import object_keys
from llmos.core.encryption.sealed_path import SealedPath
from llmos.core.errors import BadModelFile, Conflict, NotFound, StoreFailed
from llmos.core.store import blob_keys
from llmos.core.store import store as store_module
from llmos.core.store.blob_files import digest_of
from llmos.engine.compression.recipe import Recipe
from llmos.models import open_registry
from llmos.models.deriving import derive
from llmos.models.encrypting import encrypt_models
from llmos.models.inspection import inspect_store
from llmos.models.policies import ENCRYPT_MODELS, Policies
from llmos.models.registry import Registry
from llmos.models.transfer.transfers import Transfers

MARKER = np.random.default_rng(7).normal(size=6).astype("<f4").tobytes()
"""Bytes of weights that nothing else has."""


@pytest.fixture
def folder(make_folder: Callable[..., Path]) -> Path:
    """A folder whose weights contain MARKER again and again."""
    folder = make_folder()
    path = folder / "model.safetensors"
    tensors = load_file(path)
    for tensor in tensors.values():
        values = tensor.reshape(-1)
        for begin in range(0, len(values) - 6, 8):
            values[begin : begin + 6] = np.frombuffer(MARKER, "<f4")
    save_file(tensors, path)
    return folder


def files_with_marker(home: Path) -> list[str]:
    paths = [path for path in home.rglob("*") if path.is_file()]
    return [str(path.relative_to(home)) for path in paths if MARKER in path.read_bytes()]


def num_keys(registry: Registry) -> int:
    with registry.database.session() as session:
        return len(object_keys(session, "blob:"))


def content(registry: Registry, ref: str) -> dict[str, bytes]:
    return {name: path.read_bytes() for name, path in registry.files(registry.resolve(ref)).items()}


# --- asking for it


def test_an_import_stores_no_weight_in_the_clear(settings: Settings, registry: Registry, folder: Path) -> None:
    plain = Transfers(registry).import_path(folder, "plain")
    assert files_with_marker(settings.home)
    expected, facts = content(registry, "plain"), registry.runnability(plain)
    registry.remove("plain")
    version = Transfers(registry.encrypting()).import_path(folder, "tiny")
    assert version.digest == plain.digest
    assert files_with_marker(settings.home) == []
    assert registry.is_encrypted(version)
    assert content(registry, "tiny") == expected
    assert registry.runnability(version) == facts
    assert registry.metadata(version).facts["llama.block_count"] == 1
    assert num_keys(registry) == len({file.digest for file in version.files})


def test_a_policy_encrypts_all_new_models(settings: Settings, registry: Registry, folder: Path) -> None:
    Policies(registry.database).set(ENCRYPT_MODELS, "on")
    assert registry.is_encrypted(Transfers(registry).import_path(folder, "tiny"))
    assert files_with_marker(settings.home) == []
    Policies(registry.database).set(ENCRYPT_MODELS, "off")
    assert registry.is_encrypted(Transfers(registry).import_path(folder, "same-files"))


def test_a_pull_stores_no_weight_in_the_clear(registry, settings, write_catalog, server, tiny_gguf):
    server.files["/acme/tiny/resolve/main/tiny.gguf"] = tiny_gguf
    registry._catalog_path = write_catalog(tiny_gguf, "hf:acme/tiny")
    registry.access = type(registry.access)(hf_endpoint=server.url)
    version = Transfers(registry.encrypting()).pull_from_catalog("tiny")
    assert registry.is_encrypted(version)
    assert content(registry, "tiny") == {"tiny.gguf": tiny_gguf}
    assert not any(tiny_gguf in path.read_bytes() for path in settings.home.rglob("*") if path.is_file())


def test_a_pull_of_a_model_that_is_here_encrypts_it(registry, write_catalog, server, tiny_gguf):
    server.files["/acme/tiny/resolve/main/tiny.gguf"] = tiny_gguf
    registry._catalog_path = write_catalog(tiny_gguf, "hf:acme/tiny")
    registry.access = type(registry.access)(hf_endpoint=server.url)
    version = Transfers(registry).pull_from_catalog("tiny")
    assert not registry.is_encrypted(version)
    Transfers(registry.encrypting()).pull_from_catalog("tiny")
    assert registry.is_encrypted(version)
    assert len(server.requests) == 1


def test_wrong_bytes_are_neither_stored_nor_kept(registry: Registry, tmp_path: Path, pin) -> None:
    part = tmp_path / "part"
    part.write_bytes(b"other bytes")
    store = registry.encrypting().store
    with store.publishing(), pytest.raises(BadModelFile, match="arrived with 11 bytes"):
        store.publish(part, pin("a.gguf", b"the bytes"))
    assert not part.exists()
    assert list(store.digests()) == []


# --- encrypting what is stored


def test_stored_models_are_encrypted(settings: Settings, registry: Registry, folder: Path, gguf_path: Path) -> None:
    tiny, other = (Transfers(registry).import_path(path, name) for path, name in ((folder, "tiny"), (gguf_path, "g")))
    expected = content(registry, "tiny")
    reports: list[tuple[str, int, int | None]] = []
    done = encrypt_models(registry, "tiny", lambda *report: reports.append(report))
    assert done.versions == ["tiny@1"]
    assert done.num_files == len(tiny.files)
    assert done.size_bytes == tiny.size == reports[-1][1] == reports[-1][2]
    assert files_with_marker(settings.home) == []
    assert content(registry, "tiny") == expected
    assert not registry.is_encrypted(other)
    assert (encrypt_models(registry, "tiny").num_files, encrypt_models(registry, None).num_files) == (0, 1)
    assert registry.is_encrypted(other)
    assert inspect_store(registry).damaged == {}


def test_the_name_of_a_model_means_all_its_versions(registry: Registry, make_folder: Callable[..., Path]) -> None:
    for number in (1, 2):
        Transfers(registry).import_path(make_folder(f"folder{number}", num_shards=number), "tiny")
    assert encrypt_models(registry, "tiny@2").versions == ["tiny@2"]
    assert not registry.is_encrypted(registry.resolve("tiny@1"))
    assert encrypt_models(registry, "tiny").versions == ["tiny@1", "tiny@2"]
    assert registry.is_encrypted(registry.resolve("tiny@1"))


def test_a_damaged_file_is_named_and_all_others_are_encrypted(registry: Registry, folder: Path) -> None:
    version = Transfers(registry).import_path(folder, "tiny")
    damaged = registry.files(version)["model.safetensors"]
    whole = damaged.read_bytes()
    damaged.unlink()
    damaged.write_bytes(whole[:-1] + b"x")
    with pytest.raises(BadModelFile, match=r"model.safetensors: sha256:\w+ is damaged, and was not encrypted"):
        encrypt_models(registry, "tiny")
    assert {file.name for file in version.files if not registry.store.is_encrypted(file.digest)} == {
        "model.safetensors"
    }
    assert damaged.read_bytes() == whole[:-1] + b"x"


def test_packed_weights_of_a_model_that_is_encrypted_are_removed(
    settings: Settings, registry: Registry, gguf_path: Path
) -> None:
    from llmos.engine.config import EngineConfig
    from llmos.engine.loading import load_engine

    version = Transfers(registry).import_path(gguf_path, "tiny")
    config = EngineConfig(packed_folder=str(settings.packed_path), threads=1)
    _, ready = load_engine(registry.files(version), config)
    assert ready.shares_weights
    assert list(settings.packed_path.glob("*.packed"))
    encrypt_models(registry, "tiny")
    assert list(settings.packed_path.glob("*.packed")) == []
    _, ready = load_engine(registry.files(version), config)
    assert not ready.shares_weights
    assert list(settings.packed_path.glob("*.packed")) == []


def test_a_full_disk_leaves_the_model_as_it_was(
    registry: Registry, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Transfers(registry).import_path(folder, "tiny")
    expected = content(registry, "tiny")

    def full(*arguments: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(store_module.os, "fsync", full)
        with pytest.raises(StoreFailed, match="is full"):
            encrypt_models(registry, "tiny")
    assert content(registry, "tiny") == expected
    assert list((registry.store.path / "incoming").iterdir()) == []
    encrypt_models(registry, "tiny")
    assert content(registry, "tiny") == expected


ENCRYPT = """
import os
from pathlib import Path
from llmos.core.config import load_settings
from llmos.core.store import blob_keys, store as store_module
from llmos.models import encrypting, open_registry
registry = open_registry(load_settings())
calls = 0
def dying(real, is_before):
    def call(*arguments, **options):
        global calls
        calls += 1
        if calls == {count} and is_before:
            os._exit(9)
        result = real(*arguments, **options)
        if calls == {count}:
            os._exit(9)
        return result
    return call
{where}
encrypting.encrypt_models(registry, None)
"""

pytestmark = pytest.mark.process

DEATHS = {
    "before a key is kept": ("blob_keys.BlobKeys.find_or_make = dying(blob_keys.BlobKeys.find_or_make, True)", 2),
    "after a key is kept": ("blob_keys.BlobKeys.find_or_make = dying(blob_keys.BlobKeys.find_or_make, False)", 2),
    "before a copy is on the disk": ("store_module.os.fsync = dying(os.fsync, True)", 1),
    "before a copy has its name": ("store_module.os.replace = dying(os.replace, True)", 2),
    "after a copy has its name": ("store_module.os.replace = dying(os.replace, False)", 2),
    "before a plain file is deleted": ("Path.unlink = dying(Path.unlink, True)", 2),
    "after a plain file is deleted": ("Path.unlink = dying(Path.unlink, False)", 2),
    "before packed weights are removed": (
        "registry.remove_unused_packed = dying(registry.remove_unused_packed, True)",
        1,
    ),
}
"""By moment: the function that dies, and in which of its calls."""


@pytest.mark.process
@pytest.mark.parametrize("moment", DEATHS)
def test_a_kill_at_any_moment_loses_nothing_and_the_next_run_completes_it(
    settings: Settings, registry: Registry, folder: Path, moment: str
) -> None:
    Transfers(registry).import_path(folder, "tiny")
    expected = content(registry, "tiny")
    environ = os.environ | {"LLMOS_HOME": str(settings.home), "LLMOS_DATABASE_URL": settings.database_url}
    where, count = DEATHS[moment]
    script = ENCRYPT.format(where=where, count=count)
    assert subprocess.run([sys.executable, "-c", script], env=environ, check=False).returncode == 9
    assert content(registry, "tiny") == expected
    assert inspect_store(registry).damaged == {}
    encrypt_models(registry, None)
    assert content(registry, "tiny") == expected
    registry.collect()
    assert files_with_marker(settings.home) == []
    assert content(registry, "tiny") == expected
    assert num_keys(registry) == len(expected)
    registry.remove("tiny")
    assert [path.name for path in settings.store_path.rglob("*") if path.is_file()] == ["lock"]
    assert num_keys(registry) == 0


def test_a_plain_file_that_a_kill_left_beside_the_encrypted_one_is_deleted(
    settings: Settings, registry: Registry, folder: Path
) -> None:
    version = Transfers(registry.encrypting()).import_path(folder, "tiny")
    sealed = registry.files(version)["model.safetensors"]
    plain = Path(str(sealed).removesuffix(".sealed"))
    for end in (lambda: encrypt_models(registry, "tiny"), registry.collect):
        shutil.copy(folder / "model.safetensors", plain)
        assert len(list(registry.store.digests())) == len(version.files)
        assert isinstance(registry.store.blob_path(digest_of(plain)), SealedPath)
        end()
        assert files_with_marker(settings.home) == []


# --- keys


def test_removing_a_model_destroys_its_keys(registry: Registry, folder: Path, gguf_path: Path) -> None:
    transfers = Transfers(registry.encrypting())
    transfers.import_path(folder, "tiny")
    transfers.import_path(gguf_path, "other")
    assert num_keys(registry) > 1
    registry.remove("tiny")
    assert num_keys(registry) == 1
    assert content(registry, "other")
    registry.remove("other")
    assert num_keys(registry) == 0


def test_a_key_that_a_killed_process_left_is_destroyed_when_it_is_old(registry: Registry, folder: Path) -> None:
    version = Transfers(registry.encrypting()).import_path(folder, "tiny")
    keys = registry.store._keys
    assert keys is not None
    keys.find_or_make(f"sha256:{'0' * 64}")
    registry.collect()
    assert num_keys(registry) == len(version.files) + 1
    keys._clock = lambda: utc_now() + blob_keys._ABANDONED + timedelta(minutes=1)
    registry.collect()
    assert num_keys(registry) == len(version.files)
    assert content(registry, "tiny")


def test_a_rotation_wraps_the_keys_anew_and_rewrites_no_file(
    settings: Settings, registry: Registry, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = Transfers(registry.encrypting()).import_path(folder, "tiny")
    expected = content(registry, "tiny")
    before = [(path, path.stat().st_mtime_ns) for path in registry.files(version).values()]
    monkeypatch.setattr(ring_module, "GRACE", timedelta(0))
    encryption = open_encryption(settings, registry.database)
    assert encryption.rotate_project(blob_keys.PROJECT) == len(version.files)
    encryption.ring.rotate_master()
    with open_again(settings) as reopened:
        assert content(reopened, "tiny") == expected
    assert content(registry, "tiny") == expected
    assert [(path, path.stat().st_mtime_ns) for path in registry.files(version).values()] == before


class open_again:
    """Open the registry as another process does."""

    def __init__(self, settings: Settings) -> None:
        self._registry = open_registry(settings)

    def __enter__(self) -> Registry:
        return self._registry

    def __exit__(self, *_: object) -> None:
        self._registry.database.close()


def test_without_its_keys_a_model_is_unreadable_and_doctor_says_why(
    settings: Settings, registry: Registry, folder: Path
) -> None:
    version = Transfers(registry.encrypting()).import_path(folder, "tiny")
    open_encryption(settings, registry.database).ring.destroy_project(blob_keys.PROJECT)
    with open_again(settings) as reopened:
        with pytest.raises(NotFound, match="was erased: the key"):
            content(reopened, "tiny")
        (damage,) = inspect_store(reopened).damages
        assert set(damage.reasons) == {file.name for file in version.files}
        assert "can't be decrypted: The content of blob:sha256:" in damage.reasons["model.safetensors"]


def test_a_store_that_is_opened_without_keys_says_so(settings: Settings, registry: Registry, folder: Path) -> None:
    version = Transfers(registry.encrypting()).import_path(folder, "tiny")
    store = store_module.Store(settings.store_path)
    (problem, *_) = store.verify([file.digest for file in version.files])
    assert "was opened without the keys of this installation" in problem.reason


# --- damage


def test_a_blob_that_was_changed_or_moved_is_named_and_can_be_replaced(registry: Registry, folder: Path) -> None:
    version = Transfers(registry.encrypting()).import_path(folder, "tiny")
    files = registry.files(version)
    first, second = (Path(files[name]) for name in ("config.json", "model.safetensors"))
    first.chmod(0o600)
    first.write_bytes(second.read_bytes())
    (damage,) = inspect_store(registry).damages
    digest = next(file.digest for file in version.files if file.name == "config.json")
    assert list(damage.reasons) == ["config.json"]
    assert f"blob:{digest} was modified on the disk" in damage.reasons["config.json"]
    assert registry.runnability(version).unsupported is not None
    registry.store.set_aside([digest])
    Transfers(registry).import_path(folder, "tiny")
    assert inspect_store(registry).damages == []


# --- what is made from it, and what leaves


RECIPES = [
    Recipe.of("quantize", "minmax", {"bits": 4}),
    Recipe.of("quantize", "q8_0", {}),
    Recipe.of("quantize", "gptq", {"texts": 2, "length": 16}),
    Recipe.of("prune", "magnitude", {"sparsity": 0.5}),
    Recipe.of("prune", "structured", {"ffn_share": 0.34, "texts": 2, "length": 16}),
]


@pytest.mark.parametrize("recipe", RECIPES, ids=Recipe.label)
def test_what_is_made_from_an_encrypted_model_is_encrypted_at_every_moment(
    settings: Settings, registry: Registry, folder: Path, recipe: Recipe
) -> None:
    plain = Transfers(registry).import_path(folder, "plain")
    expected = derive(registry, "plain", recipe, name="made").version
    expected_content = content(registry, "made")
    weights = expected_content["model.safetensors"]
    windows = [weights[begin : begin + 24] for begin in range(len(weights) // 2, len(weights) - 24, 1024)]
    for name in ("made", "plain"):
        registry.remove(name)
    Transfers(registry.encrypting()).import_path(folder, "plain")
    seen: list[str] = []

    def watch(*_: object) -> None:
        for path in settings.store_path.rglob("*"):
            if path.is_file():
                stored = path.read_bytes()
                if MARKER in stored or any(window in stored for window in windows):
                    seen.append(path.name)

    made = derive(registry, plain.ref.replace("@1", ""), recipe, name="made", progress=watch).version
    watch()
    assert seen == []
    assert made.digest == expected.digest
    assert registry.is_encrypted(made)
    assert content(registry, "made") == expected_content
    assert list((registry.store.path / "incoming").iterdir()) == []


def test_an_archive_of_an_encrypted_model_must_be_asked_for(registry: Registry, folder: Path, tmp_path: Path) -> None:
    Transfers(registry.encrypting()).import_path(folder, "tiny")
    archive = tmp_path / "tiny.tar"
    with pytest.raises(Conflict, match=r"would be sent unencrypted. To allow that: llmos export tiny@1 --decrypt"):
        Transfers(registry).export("tiny", archive)
    assert not archive.exists()
    Transfers(registry).export("tiny", archive, decrypts=True)
    with tarfile.open(archive) as opened:
        weights = opened.extractfile("files/model.safetensors")
        assert weights is not None
        assert weights.read() == (folder / "model.safetensors").read_bytes()
    assert Transfers(registry).import_path(archive, "again").digest == registry.resolve("tiny").digest
    with pytest.raises(Conflict, match=r"llmos push tiny@1 llmos:http://127.0.0.1:1 --decrypt"):
        Transfers(registry).push("tiny", "llmos:http://127.0.0.1:1")


def test_an_encrypted_archive_is_none_of_ours(registry: Registry, folder: Path, tmp_path: Path) -> None:
    """An unencrypted export is encrypted again when it is imported with encryption."""
    Transfers(registry.encrypting()).import_path(folder, "tiny")
    archive = Transfers(registry).export("tiny", tmp_path / "tiny.tar", decrypts=True)
    registry.remove("tiny")
    version = Transfers(registry.encrypting()).import_path(archive)
    assert registry.is_encrypted(version)
