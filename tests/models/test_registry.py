"""The registry: resolving, pulling and removing models."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from llmos.core.errors import Conflict, DownloadFailed, ModelNotFound, StoreFailed
from llmos.models import open_registry
from llmos.models.registry import Registry
from llmos.models.transfer.transfers import Transfers

pytestmark = pytest.mark.process


@pytest.fixture
def tiny(registry, gguf_path):
    return Transfers(registry).import_path(gguf_path, "tiny")


@pytest.fixture
def second(registry, make_folder, tiny):
    return Transfers(registry).import_path(make_folder(), "tiny")


@pytest.fixture
def pulling(settings, write_catalog, server, tiny_gguf):
    """Return a function that opens a registry whose catalog has `tiny` with these sources on the server."""
    opened = []

    def pulling(*locations: str, content: bytes = tiny_gguf) -> Registry:
        catalog = write_catalog(content, *(locations or ("hf:acme/tiny",)))
        opened.append(open_registry(replace(settings, catalog=catalog, hf_endpoint=server.url)))
        return opened[-1]

    yield pulling
    for registry in opened:
        registry.database.close()


@pytest.fixture
def hub(server, tiny_gguf):
    server.files["/acme/tiny/resolve/main/tiny.gguf"] = tiny_gguf
    return server


# Resolving


def test_a_version_is_found_by_four_kinds_of_reference(registry, tiny, second):
    registry.aliases.set("tiny", "prod", "tiny@1")
    assert registry.resolve("tiny") == second
    assert registry.resolve("tiny:prod") == tiny
    assert registry.resolve("tiny@1") == tiny
    assert registry.resolve(f"tiny@{tiny.digest}") == tiny
    assert registry.resolve(f"tiny@{tiny.digest[:19]}") == tiny


def test_the_same_bytes_are_the_same_version(registry, tiny, gguf_path):
    assert Transfers(registry).import_path(gguf_path, "tiny") == tiny
    assert [version.ref for version in registry.list()] == ["tiny@1"]


def test_the_same_bytes_may_have_two_names(registry, tiny, gguf_path):
    other = Transfers(registry).import_path(gguf_path, "other")
    assert other.digest == tiny.digest
    assert len(list(registry.store.digests())) == 1


def test_the_digest_depends_on_the_files_alone(registry, make_folder, tiny):
    one, two = (
        Transfers(registry).import_path(make_folder("a"), "one"),
        Transfers(registry).import_path(make_folder("b"), "two"),
    )
    assert one.digest == two.digest != tiny.digest


@pytest.mark.parametrize(
    ("ref", "hint"),
    [
        ("tinny", r"Did you mean tiny\?"),
        ("smolm2", r"Did you mean smollm2 \(llmos pull smollm2\)"),
        ("smollm2", r"Download it with: llmos pull smollm2$"),
        ("zzz", r"On this machine: tiny\. In the catalog: .*minilm.*smollm2"),
        ("tiny@7", r"no such version\. It has tiny@1\."),
        ("tiny:prod", r"no such alias\. It has no aliases\."),
        ("tiny@sha256:000000000000", r"no such version\. It has tiny@sha256:[0-9a-f]{12}\."),
    ],
)
def test_an_unknown_version_is_reported_with_similar_names(registry, tiny, ref, hint):
    with pytest.raises(ModelNotFound, match=hint):
        registry.resolve(ref)


def test_a_version_has_the_time_of_its_import(settings, registry, gguf_path):
    noon = datetime(2026, 1, 2, 12, tzinfo=UTC)
    registry = Registry(registry.database, registry.store, clock=lambda: noon)
    assert Transfers(registry).import_path(gguf_path, "tiny").created_at == noon
    assert registry.resolve("tiny").created_at == noon


# Around a version


def test_show_returns_a_version_with_its_relations(registry, tiny, second):
    registry.aliases.set("tiny", "prod", "tiny@1")
    details = registry.show("tiny@1")
    assert (details.version, details.aliases, details.versions) == (tiny, ("prod",), ("tiny@1", "tiny@2"))
    assert details.unsupported is None


# Removing


def test_removing_a_model_removes_its_files_and_aliases(registry, tiny, second):
    registry.aliases.set("tiny", "prod", "tiny@1")
    removed = registry.remove("tiny")
    assert (removed.versions, removed.aliases) == (("tiny@1", "tiny@2"), ("prod",))
    assert removed.freed_bytes == tiny.size + second.size
    assert registry.list() == []
    assert list(registry.store.digests()) == []


def test_removing_keeps_blobs_that_another_model_uses(registry, tiny, gguf_path):
    other = Transfers(registry).import_path(gguf_path, "other")
    assert registry.remove("tiny").freed_bytes == 0
    assert all(path.exists() for path in registry.files(other).values())


def test_removing_leaves_the_imported_file(registry, tiny, gguf_path, tiny_gguf):
    registry.remove("tiny")
    assert gguf_path.read_bytes() == tiny_gguf


def test_a_version_that_an_alias_points_at_is_not_removed(registry, tiny, second):
    registry.aliases.set("tiny", "prod", "tiny@1")
    with pytest.raises(Conflict, match=r"alias tiny:prod points at tiny@1\..* remove it first: llmos rm tiny:prod"):
        registry.remove("tiny@1")
    assert registry.remove("tiny:prod").aliases == ("prod",)
    assert registry.remove("tiny@1").versions == ("tiny@1",)
    assert [version.ref for version in registry.list()] == ["tiny@2"]


def test_removing_an_unknown_version_is_an_error(registry):
    with pytest.raises(ModelNotFound):
        registry.remove("tiny")


def test_the_number_of_a_removed_version_is_not_used_again(registry, tiny, second, gguf_path, make_folder):
    registry.remove("tiny")
    third = make_folder("third")
    (third / "tokenizer_config.json").write_text('{"changed": true}')
    assert Transfers(registry).import_path(third, "tiny").ref == "tiny@3"
    assert Transfers(registry).import_path(gguf_path, "tiny").ref == "tiny@1", "the same bytes are version 1 again"


# Pulling


def test_a_pull_downloads_the_pinned_files(pulling, hub, tiny_gguf):
    registry, told = pulling(), []
    version = Transfers(registry).pull_from_catalog("tiny", lambda *progress: told.append(progress))
    assert (version.ref, version.license, version.source) == ("tiny@1", "MIT", "hf:acme/tiny")
    assert registry.files(version)["tiny.gguf"].read_bytes() == tiny_gguf
    assert told[-1][1] == told[-1][2]


def test_a_second_pull_sends_no_request(pulling, hub):
    registry = pulling()
    first = Transfers(registry).pull_from_catalog("tiny")
    num_requests = len(hub.requests)
    assert Transfers(registry).pull_from_catalog("tiny") == first
    assert len(hub.requests) == num_requests


def test_a_pull_restores_a_missing_file(pulling, hub):
    registry = pulling()
    version = Transfers(registry).pull_from_catalog("tiny")
    registry.files(version)["tiny.gguf"].unlink()
    assert Transfers(registry).pull_from_catalog("tiny") == version
    assert registry.store.verify([file.digest for file in version.files]) == []


def test_a_stored_file_is_not_downloaded(pulling, server, gguf_path):
    registry = pulling()
    Transfers(registry).import_path(gguf_path, "mine")
    assert Transfers(registry).pull_from_catalog("tiny").ref == "tiny@1"
    assert server.requests == []


def test_after_a_failed_source_the_next_one_is_tried(pulling, hub, tmp_path):
    registry, noticed = pulling("hf:acme/gone", f"file://{tmp_path}/nowhere", "hf:acme/tiny"), []
    assert Transfers(registry).pull_from_catalog("tiny", notice=noticed.append).source == "hf:acme/tiny"
    assert [sentence.split(": ")[0] for sentence in noticed] == ["hf:acme/gone", f"file://{tmp_path}/nowhere"]


def test_when_every_source_fails_each_is_named_with_its_reason(pulling, server, tmp_path):
    registry = pulling("hf:acme/gone", f"file://{tmp_path}/nowhere")
    with pytest.raises(DownloadFailed) as caught:
        Transfers(registry).pull_from_catalog("tiny")
    first, *reasons = caught.value.message.splitlines()
    assert first.startswith("tiny can't be downloaded")
    assert "hf:acme/gone: " in reasons[0]
    assert "does not exist" in reasons[0]
    assert "nowhere: " in reasons[1]
    assert "No such file" in reasons[1]
    assert registry.list() == []


def test_wrong_bytes_are_not_listed_and_the_next_source_starts_over(pulling, hub, tiny_gguf):
    hub.files["/evil/tiny/resolve/main/tiny.gguf"] = tiny_gguf[:-1] + b"!"
    registry = pulling("hf:evil/tiny", "hf:acme/tiny")
    version = Transfers(registry).pull_from_catalog("tiny")
    assert version.source == "hf:acme/tiny"
    assert registry.store.verify([file.digest for file in version.files]) == []


def test_wrong_bytes_from_the_only_source_are_an_error_with_both_digests(pulling, hub, tiny_gguf):
    hub.files["/acme/tiny/resolve/main/tiny.gguf"] = tiny_gguf[:-1] + b"!"
    registry = pulling()
    with pytest.raises(DownloadFailed, match=r"arrived with .* expected were .* bytes and"):
        Transfers(registry).pull_from_catalog("tiny")
    assert registry.list() == []
    assert list(registry.store.digests()) == []


def test_a_damaged_partial_file_is_deleted_and_downloaded_again(pulling, hub, pin, tiny_gguf):
    registry, file = pulling(), pin("tiny.gguf", tiny_gguf)
    with registry.store.receiving([file]) as parts:
        parts[file].write_bytes(b"X" * 1000)
    version = Transfers(registry).pull_from_catalog("tiny")
    assert registry.store.verify([file.digest for file in version.files]) == []
    assert [wanted for _, wanted in hub.requests] == ["bytes=1000-", None]


def test_the_next_pull_resumes_an_interrupted_one(pulling, hub):
    registry = pulling()
    hub.moods = ["cut:1000", "cut:0", "cut:0", "cut:0"]
    with pytest.raises(DownloadFailed, match="the connection broke"):
        Transfers(registry).pull_from_catalog("tiny")
    assert registry.list() == []
    hub.requests.clear()
    Transfers(registry).pull_from_catalog("tiny")
    assert [wanted for _, wanted in hub.requests] == ["bytes=1000-"]


def test_a_pinned_file_that_is_not_a_model_is_not_listed(pulling, server):
    server.files["/acme/tiny/resolve/main/tiny.gguf"] = b"pinned, but no model"
    registry = pulling(content=b"pinned, but no model")
    with pytest.raises(DownloadFailed, match="GGUF"):
        Transfers(registry).pull_from_catalog("tiny")
    assert registry.list() == []


def test_a_full_disk_is_reported_and_not_blamed_on_the_source(pulling, hub, pin, tiny_gguf):
    registry, file = pulling("hf:acme/tiny", "hf:acme/other"), pin("tiny.gguf", tiny_gguf)
    with registry.store.receiving([file]) as parts:
        parts[file].symlink_to("/dev/full")  # whoever writes to it gets the real ENOSPC
    with pytest.raises(StoreFailed, match="is full"):
        Transfers(registry).pull_from_catalog("tiny")
    assert registry.list() == []
    assert [path for path, _ in hub.requests] == ["/acme/tiny/resolve/main/tiny.gguf"], "the next source was not asked"


def test_too_little_space_is_reported_before_the_download(pulling, hub, monkeypatch):
    registry = pulling()
    monkeypatch.setattr(registry.store, "free_bytes", lambda: 10)
    with pytest.raises(StoreFailed, match=r"tiny needs [\d,]+ bytes"):
        Transfers(registry).pull_from_catalog("tiny")
    assert hub.requests == []


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("tinny", r"Did you mean tiny\?"),
        ("zzz", r"It has tiny\. .*hf:OWNER/NAME.* llmos import PATH --name zzz"),
        ("tiny@2", r"one version of tiny\. Run: llmos pull tiny"),
        ("tiny:prod", r"one version of tiny\. Run: llmos pull tiny"),
    ],
)
def test_a_model_that_the_catalog_lacks_is_reported_with_similar_names(pulling, name, hint):
    with pytest.raises(ModelNotFound, match=hint):
        Transfers(pulling()).pull_from_catalog(name)


def test_opening_twice_finds_the_same_models(settings, registry, tiny):
    again = open_registry(settings)
    assert again.list() == [tiny]
    again.database.close()


def test_the_real_default_model_is_pulled_and_described(smollm2_path: Path, registry):
    version = Transfers(registry).import_path(smollm2_path, "smollm2")
    assert (version.family, version.quantization, version.parameters) == ("llama", "Q4_1", 134_515_008)
    assert version.context_length == 8192
    pinned = registry.catalog.get("smollm2").sources[0].files[0]
    assert [file.digest for file in version.files] == [pinned.digest]
