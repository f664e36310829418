"""Datasets from the sources that `llmos pull` knows: pinned, and gone on with after a break."""

import hashlib
import json
from urllib.parse import quote

import pytest

from llmos.core.errors import BadRequest, DownloadFailed
from llmos.core.progress import no_progress
from llmos.core.sources import Access
from llmos.data.datasets.fetching import fetched, is_location
from llmos.data.datasets.folder import DATASET_SELECTION
from llmos.data.datasets.importing import import_files
from llmos.data.datasets.records import ImportOptions
from support.file_server import server

__all__ = ["server"]  # fixtures

COMMIT = "c0ffee" * 6 + "c0ff"
TRAIN = b"".join(json.dumps({"text": f"row {number}"}).encode() + b"\n" for number in range(50))


@pytest.fixture
def load(datasets, store):
    def load(location, config=None, **access):
        with fetched(store, location, config, Access(**access), no_progress) as (layout, pinned):
            return import_files(datasets, "fetched", layout, ImportOptions(), source=pinned)

    return load


@pytest.fixture
def hub(server):
    """The repository acme/rows on a hub."""
    files = {"data/train.jsonl": TRAIN, "data/test.jsonl": b'{"text": "last"}\n', "model.safetensors": b"no data"}
    siblings = []
    for name, content in files.items():
        blob = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
        siblings.append({"rfilename": name, "size": len(content), "blobId": blob})
        server.files[f"/datasets/acme/rows/resolve/{COMMIT}/{quote(name)}"] = content
    listing = {"sha": COMMIT, "siblings": siblings, "cardData": {"license": "cc0-1.0"}}
    server.files["/api/datasets/acme/rows/revision/main?blobs=true"] = json.dumps(listing).encode()
    return server


def test_a_dataset_of_the_hub_is_pinned_to_its_commit(load, datasets, store, hub):
    version = load("hf:acme/rows", hf_endpoint=hub.url)
    assert (version.source, version.license) == (f"hf:acme/rows@{COMMIT}", "cc0-1.0")
    assert [row.split for row in datasets.rows(version)] == ["test", *["train"] * 50]
    assert not list((store.path / "incoming").glob("*.part"))


def test_a_download_that_breaks_goes_on_in_the_next_attempt(load, hub):
    hub.moods += ["good", "cut:20", "status:500", "status:500", "status:500"]
    with pytest.raises(DownloadFailed):
        load("hf:acme/rows#data/train.jsonl", hf_endpoint=hub.url)
    del hub.requests[:]
    assert load("hf:acme/rows#data/train.jsonl", hf_endpoint=hub.url).num_rows == 50
    assert hub.requests[-1][1] == "bytes=20-"


def test_a_folder_of_this_machine_is_a_location_too(load, tmp_path):
    (tmp_path / "train.jsonl").write_bytes(TRAIN)
    assert load(f"file://{tmp_path}").num_rows == 50


def test_a_folder_or_a_file_of_an_archive_is_chosen():
    paths = ["pkg/data/a.jsonl", "pkg/data/b/c.csv", "pkg/module.py", "pkg-1.0.dist-info/RECORD.txt"]
    assert DATASET_SELECTION.archive_folder(paths, "pkg/data") == "pkg/data/"
    assert DATASET_SELECTION.archive_folder(paths, "pkg/data/a.jsonl") == "pkg/data/"
    assert DATASET_SELECTION.archive_folder(paths, None) == ""
    assert DATASET_SELECTION.select(paths, "x.whl") == ["pkg/data/a.jsonl", "pkg/data/b/c.csv"]
    assert DATASET_SELECTION.select(["a.jsonl", "b/c.csv"], "x.whl", "b") == ["b/c.csv"]


def test_a_location_without_data_says_so(load, hub, tmp_path):
    with pytest.raises(BadRequest, match=r"no data files in model\.safetensors in hf:acme/rows"):
        load("hf:acme/rows#model.safetensors", hf_endpoint=hub.url)
    with pytest.raises(BadRequest, match="is no data file"):
        load("https://example.com/model.gguf")
    assert is_location("hf:acme/rows")
    assert not is_location(str(tmp_path))
