"""Images in a real registry: push and pull, images of other tools, passwords, interrupted connections."""

import gzip
import hashlib
import io
import json
import tarfile

import pytest

from llmos.core.errors import BadModelFile, BadRequest, DownloadFailed
from llmos.core.progress import no_progress
from llmos.core.sources import Access
from llmos.core.store.staging import open_staging_area
from llmos.core.store.store import Store
from llmos.models.sources import fetch_model
from llmos.models.sources.oci.client import MANIFEST, Repository
from llmos.models.sources.oci.image_reference import ImageReference, parse_image_reference
from llmos.models.transfer.pushing import push
from llmos.models.transfer.transfers import Transfers
from llmos.models.versions.records import read_record, record_of

PASSWORD = "open sesame"
HTPASSWD = "llmos:$2a$04$KV4muRYpLKslI/R2lOw6hew8LEQh4eiycUiD1R62qZpzZ6gMitIvi"
"""The output of htpasswd -nbB -C 4 for it."""


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@pytest.fixture
def version(registry, make_folder):
    return Transfers(registry).import_path(make_folder(), "tiny")


@pytest.fixture
def push_tiny(registry, version):
    """Return a function that pushes the version and returns the result."""

    def push_it(target, access=None, base=None):
        return push(record_of(version), registry.files(version), target, access or Access(), no_progress, base)

    return push_it


@pytest.fixture
def pull_files(tmp_path):
    """Return a function that fetches a location into an empty store and returns the model and the files' contents."""

    def pull(location, access=None):
        store = Store(tmp_path / "elsewhere")
        with open_staging_area(store, location) as staging:
            fetched = fetch_model(location, staging, access or Access(), no_progress)
            return fetched, {name: path.read_bytes() for name, path in fetched.files.items()}

    return pull


@pytest.fixture
def push_blobs(registry_host):
    """Return a function that pushes an image with the given layers and returns its location."""

    def push_them(repository, *layers, media_type="application/vnd.oci.image.layer.v1.tar"):
        config = b"{}"
        with Repository(ImageReference(registry_host, repository)) as there:
            for blob in (config, *layers):
                there.push_blob(digest_of(blob), len(blob), lambda blob=blob: iter([blob]))
            described = [
                {"mediaType": media_type, "digest": digest_of(blob), "size": len(blob)} for blob in (config, *layers)
            ]
            described[0]["mediaType"] = "application/vnd.oci.image.config.v1+json"
            manifest = {
                "schemaVersion": 2,
                "mediaType": MANIFEST,
                "config": described[0],
                "layers": described[1:],
            }
            there.put_manifest("v1", json.dumps(manifest).encode())
        return f"oci:{registry_host}/{repository}:v1"

    return push_them


def tar_of(**contents: bytes) -> bytes:
    """Return a tar archive of files. In their names, __ stands for / and _ for a dot."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in contents.items():
            member = tarfile.TarInfo(name.replace("__", "/").replace("_", "."))
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def names_in(layer: bytes) -> list[str]:
    with tarfile.open(fileobj=io.BytesIO(layer)) as archive:
        return archive.getnames()


@pytest.mark.process
def test_a_version_comes_back_with_its_files_and_its_record(registry, version, push_tiny, pull_files, registry_host):
    pushed = push_tiny(f"oci:{registry_host}/models/tiny:v1")
    fetched, contents = pull_files(f"oci:{registry_host}/models/tiny:v1")
    assert contents == {name: path.read_bytes() for name, path in registry.files(version).items()}
    assert read_record(fetched.record) == record_of(version)
    assert fetched.location == pushed.location, "pinned to the digest of what was pushed"


def test_stored_files_are_not_downloaded_again(registry, push_tiny, registry_host, monkeypatch):
    pushed = push_tiny(f"oci:{registry_host}/models/here:v1")
    pulled = []
    monkeypatch.setattr(Repository, "pull_blob", lambda *arguments: pulled.append(arguments))
    with open_staging_area(registry.store, pushed.location) as staging:
        fetched = fetch_model(pushed.location, staging, Access(), no_progress)
    assert not pulled
    assert set(fetched.files) == {file["name"] for file in fetched.record["files"]}


def test_the_same_version_is_the_same_image_and_is_sent_once(push_tiny, registry_host):
    first = push_tiny(f"oci:{registry_host}/models/twice:v1")
    again = push_tiny(f"oci:{registry_host}/models/twice:v2")
    assert first.num_bytes > 0
    assert again.num_bytes == 0
    assert again.location == first.location


def test_a_pull_by_digest_gives_what_was_pushed(push_tiny, pull_files, registry_host):
    pushed = push_tiny(f"oci:{registry_host}/models/pinned:v1")
    assert pull_files(pushed.location)[0].location == pushed.location


def test_the_layout_is_what_modelcars_and_image_volumes_mount(version, push_tiny, registry_host):
    image = parse_image_reference(push_tiny(f"oci:{registry_host}/models/layout:v1").location)
    with Repository(image) as repository:
        _, manifest = repository.manifest(image.digest)
        config = json.loads(b"".join(repository.read_blob(manifest["config"]["digest"])))
        layers = [b"".join(repository.read_blob(layer["digest"])) for layer in manifest["layers"]]
    assert manifest["config"]["mediaType"] == "application/vnd.oci.image.config.v1+json"
    assert config["rootfs"]["diff_ids"] == [digest_of(layer) for layer in layers], "an uncompressed layer is its own"
    names = [name for layer in layers for name in names_in(layer)]
    assert names == [f"models/{file.name}" for file in version.files]


def test_the_layers_of_a_base_come_below_the_models(push_tiny, push_blobs, pull_files, registry_host):
    shell = tar_of(bin__sh=b"#!")
    config = json.dumps(
        {"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [digest_of(shell)]}}
    ).encode()
    with Repository(ImageReference(registry_host, "library/busybox")) as there:
        for blob in (shell, config):
            there.push_blob(digest_of(blob), len(blob), lambda blob=blob: iter([blob]))
        layer = {
            "mediaType": "application/vnd.oci.image.layer.v1.tar",
            "digest": digest_of(shell),
            "size": len(shell),
        }
        described = {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": digest_of(config),
            "size": len(config),
        }
        manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "config": described, "layers": [layer]}
        there.put_manifest("latest", json.dumps(manifest).encode())
    base = f"oci:{registry_host}/library/busybox"
    image = parse_image_reference(push_tiny(f"oci:{registry_host}/models/car:v1", base=base).location)
    with Repository(image) as repository:
        _, manifest = repository.manifest(image.digest)
    assert manifest["layers"][0] == layer
    assert "config.json" in pull_files(f"oci:{registry_host}/models/car:v1")[1]


def test_the_model_in_another_tools_modelcar_is_extracted(push_blobs, pull_files, tiny_gguf):
    shell = tar_of(bin__sh=b"#!", etc__models__x_gguf=b"not here")
    model = gzip.compress(tar_of(models__tiny_gguf=tiny_gguf))
    fetched, contents = pull_files(push_blobs("others/car", shell, model))
    assert contents == {"tiny.gguf": tiny_gguf}
    assert fetched.record is None


def test_a_layer_with_a_path_outside_its_folder_is_refused(push_blobs, pull_files, tiny_gguf):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        member = tarfile.TarInfo("models/../../evil.gguf")
        member.size = len(tiny_gguf)
        archive.addfile(member, io.BytesIO(tiny_gguf))
    with pytest.raises(BadRequest, match="not a valid file name"):
        pull_files(push_blobs("others/evil", buffer.getvalue()))


def test_links_in_a_layer_are_ignored(push_blobs, pull_files):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        member = tarfile.TarInfo("models/tiny.gguf")
        member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(member)
    with pytest.raises(BadModelFile, match="has no model"):
        pull_files(push_blobs("others/link", buffer.getvalue()))


def test_a_layer_that_is_not_an_archive_is_refused(push_blobs, pull_files):
    with pytest.raises(BadModelFile, match="not a valid tar archive"):
        pull_files(push_blobs("others/noise", b"noise" * 1000))


def test_a_missing_tag_is_named(pull_files, registry_host):
    with pytest.raises(DownloadFailed, match="has no models/none:v9"):
        pull_files(f"oci:{registry_host}/models/none:v9")


@pytest.mark.process
def test_a_password_is_sent_when_the_registry_requires_it(start_registry, docker_config, push_tiny, pull_files):
    host = start_registry(htpasswd=HTPASSWD)
    target = f"oci:{host}/models/secret:v1"
    with pytest.raises(DownloadFailed, match=f"needs permission .* docker login {host}"):
        push_tiny(target)
    access = Access(docker_config=docker_config(host, "llmos", PASSWORD))
    push_tiny(target, access)
    assert "config.json" in pull_files(target, access)[1]
    with pytest.raises(DownloadFailed, match="needs permission"):
        pull_files(target, Access(docker_config=docker_config(host, "llmos", "wrong")))


def test_an_unreachable_registry_is_named(pull_files):
    with pytest.raises(DownloadFailed, match=r"127\.0\.0\.1:9 can't be reached"):
        pull_files("oci:127.0.0.1:9/models/tiny:v1")


@pytest.mark.parametrize(
    "location", ["oci:", "oci:host", "oci:host/UPPER:v1", "oci:host/a:tag with space", "oci:host/a@sha256:12"]
)
def test_an_invalid_image_reference_is_refused(location):
    with pytest.raises(BadRequest, match="not an image reference"):
        parse_image_reference(location)


def test_only_loopback_registries_are_contacted_without_tls():
    assert parse_image_reference("oci:localhost:5000/a").url == "http://localhost:5000"
    assert parse_image_reference("oci:127.0.0.1.example.com/a").url == "https://127.0.0.1.example.com"
    assert parse_image_reference("oci:registry.example.com/a").url == "https://registry.example.com"
