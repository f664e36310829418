"""Models of the catalog whose digests come from the hub at the first pull."""

import hashlib
import json
from dataclasses import replace
from urllib.parse import quote

import pytest

from llmos.core.errors import BadRequest, DownloadFailed, ModelNotFound
from llmos.models import open_registry
from llmos.models.inspection import how_to_repair
from llmos.models.transfer.transfers import Transfers, is_location

COMMITS = ("c0ffee" * 6 + "c0ff", "beef" * 10)
CATALOG = """
[tiny-1b]
description = "a tiny model"
license = "Apache-2.0"
template = "own"
sampling = { temperature = 0.25 }
[[tiny-1b.sources]]
from = "hf:acme/Tiny-1B-GGUF#tiny q8.gguf"
download_size = 1000
"""


@pytest.fixture
def put(server, tiny_gguf):
    """Return a function that puts the file into the repository acme/Tiny-1B-GGUF of a hub."""

    def put(commit, content=tiny_gguf):
        name = "tiny q8.gguf"
        files = {name: content, "tiny q4.gguf": b"another"}
        siblings = [
            {"rfilename": each, "size": len(data), "lfs": {"sha256": hashlib.sha256(data).hexdigest()}}
            for each, data in files.items()
        ]
        listing = {"sha": commit, "siblings": siblings, "cardData": {"license": "other"}}
        for revision in ("main", commit):
            address = f"/api/models/acme/Tiny-1B-GGUF/revision/{revision}?blobs=true"
            server.files[address] = json.dumps(listing).encode()
        server.files[f"/acme/Tiny-1B-GGUF/resolve/{commit}/{quote(name)}"] = content

    put(COMMITS[0])
    return put


@pytest.fixture
def registry(settings, tmp_path, server):
    (tmp_path / "catalog.toml").write_text(CATALOG)
    registry = open_registry(replace(settings, catalog=tmp_path / "catalog.toml", hf_endpoint=server.url))
    yield registry
    registry.database.close()


@pytest.mark.process
def test_the_first_pull_pins_what_the_hub_lists(registry, put, tiny_gguf):
    version = Transfers(registry).pull_from_catalog("tiny-1b")
    assert version.ref == "tiny-1b@1"
    assert version.source == f"hf:acme/Tiny-1B-GGUF@{COMMITS[0]}#tiny q8.gguf"
    assert [file.digest for file in version.files] == [f"sha256:{hashlib.sha256(tiny_gguf).hexdigest()}"]
    assert (version.license, version.sampling["temperature"]) == ("Apache-2.0", 0.25)


@pytest.mark.process
def test_a_later_pull_keeps_that_version_and_asks_nobody(registry, put, server, tiny_gguf):
    first = Transfers(registry).pull_from_catalog("tiny-1b")
    put(COMMITS[1], tiny_gguf + b"\0" * 32)
    server.requests.clear()
    assert Transfers(registry).pull_from_catalog("tiny-1b:latest") == first
    assert server.requests == []


@pytest.mark.process
def test_a_later_pull_takes_the_sampling_that_a_newer_catalog_recommends(registry, put, settings, tmp_path, server):
    first = Transfers(registry).pull_from_catalog("tiny-1b")
    (tmp_path / "newer.toml").write_text(CATALOG.replace("0.25", "0.5"))
    newer = open_registry(replace(settings, catalog=tmp_path / "newer.toml", hf_endpoint=server.url))
    again = Transfers(newer).pull_from_catalog("tiny-1b")
    newer.database.close()
    assert (again.ref, again.digest, again.sampling["temperature"]) == (first.ref, first.digest, 0.5)


@pytest.mark.process
def test_a_lost_file_is_fetched_again_with_the_same_command(registry, put):
    first = Transfers(registry).pull_from_catalog("tiny-1b")
    registry.store.blob_path(first.files[0].digest).unlink()
    assert how_to_repair(registry, first) == "llmos pull tiny-1b"
    assert Transfers(registry).pull_from_catalog("tiny-1b").digest == first.digest
    assert registry.store.has(first.files[0].digest, first.files[0].size)


def test_bytes_that_the_hub_does_not_list_are_refused(registry, put, server, tiny_gguf):
    address = f"/acme/Tiny-1B-GGUF/resolve/{COMMITS[0]}/{quote('tiny q8.gguf')}"
    server.files[address] = bytes(len(tiny_gguf))
    with pytest.raises(DownloadFailed, match="the hub lists"):
        Transfers(registry).pull_from_catalog("tiny-1b")
    assert registry.list() == []


@pytest.mark.process
def test_a_repository_of_the_hub_names_its_model(registry, put):
    assert Transfers(registry).pull("hf:acme/Tiny-1B-GGUF#tiny q8.gguf").model == "tiny-1b"


def test_a_location_without_a_name_is_refused_before_anything_is_fetched(registry, server):
    with pytest.raises(BadRequest, match="--name NAME"):
        Transfers(registry).pull(f"{server.url.replace('http', 'https')}/tiny.gguf")
    assert server.requests == []


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        ("tiny", "tiny-1b"),
        ("tiny:1b", "tiny-1b"),
        ("tinny-1b", "tiny-1b"),
        ("Tiny-1B", "tiny-1b"),
        ("mistral-nemo", r"llmos pull hf:OWNER/NAME"),
        ("acme/Tiny-1B-GGUF", r"llmos pull hf:acme/Tiny-1B-GGUF$"),
        ("hf.co/acme/Tiny-1B-GGUF:Q4_K_M", r"llmos pull hf:acme/Tiny-1B-GGUF$"),
    ],
)
def test_an_unknown_name_leads_to_the_nearest_or_to_the_hub(registry, asked, named):
    assert not is_location(asked)
    with pytest.raises(ModelNotFound, match=named):
        Transfers(registry).pull_from_catalog(asked)
