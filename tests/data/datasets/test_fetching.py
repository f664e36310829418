"""Datasets from the sources that `llmos pull` knows: pinned, and gone on with after a break."""

import gzip
import hashlib
import json
from functools import partial
from urllib.parse import quote

import httpx
import pytest

from llmos.core.errors import BadModelFile, BadRequest, DownloadFailed
from llmos.core.progress import no_progress
from llmos.core.sources import Access
from llmos.data.datasets.fetching import fetched, is_location
from llmos.data.datasets.folder import DATASET_SELECTION
from llmos.data.datasets.importing import import_files
from llmos.data.datasets.records import ImportOptions
from support.file_server import server, serving
from support.s3_server import bucket, endpoint

pytestmark = pytest.mark.usefixtures("one_certificate")

__all__ = ["bucket", "endpoint", "server"]  # fixtures

COMMIT = "c0ffee" * 6 + "c0ff"
TRAIN = b"".join(json.dumps({"text": f"row {number}"}).encode() + b"\n" for number in range(50))


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch):
    """The pauses between attempts are a subject of the tests of downloads."""
    monkeypatch.setattr("llmos.core.sources._download.PAUSE_SECONDS", 0.0)


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


# --- https:


@pytest.fixture
def web(server, monkeypatch):
    """The server, as https://files.test."""

    address = httpx.URL(server.url)

    def to_server(request):
        if request.url.host == "files.test":
            request.url = request.url.copy_with(scheme="http", host=address.host, port=address.port)

    client = partial(httpx.Client, event_hooks={"request": [to_server]})
    monkeypatch.setattr("llmos.core.sources.https.httpx.Client", client)
    server.files["/train.jsonl"] = TRAIN
    return server


def test_a_file_of_a_web_server_is_pinned_to_its_digest(load, web):
    digest = hashlib.sha256(TRAIN).hexdigest()
    version = load("https://files.test/train.jsonl")
    assert version.source == f"https://files.test/train.jsonl#sha256={digest}"
    assert load(version.source).digest == version.digest


def test_other_bytes_than_the_pinned_ones_are_not_kept(load, datasets, store, web):
    with pytest.raises(BadModelFile, match=r"but sha256=0{64} was requested"):
        load(f"https://files.test/train.jsonl#sha256={'0' * 64}")
    assert not datasets.list()
    assert not list((store.path / "incoming").glob("*.part"))
    with pytest.raises(BadRequest, match="is not a valid pin"):
        load("https://files.test/train.jsonl#sha256=abc")


def test_a_web_download_that_breaks_goes_on_in_the_next_attempt(load, web):
    web.moods += ["good", "cut:20", "status:500", "status:500", "status:500"]
    with pytest.raises(DownloadFailed, match=f"after 20 of {len(TRAIN)} bytes"):
        load("https://files.test/train.jsonl")
    assert load("https://files.test/train.jsonl").num_rows == 50
    assert web.requests[-1] == ("/train.jsonl", "bytes=20-")


@pytest.mark.parametrize(
    ("mood", "reason"),
    [
        ("status:404", "does not exist"),
        ("status:403", "needs permission .* download the file yourself, and import it"),
        ("status:401", "needs permission"),
        ("status:410", "is refused"),
    ],
)
def test_a_web_server_that_refuses_is_explained(load, web, mood, reason):
    web.moods.append(mood)
    with pytest.raises(DownloadFailed, match=reason):
        load("https://files.test/train.jsonl")


def test_a_redirect_to_another_host_is_followed_without_the_token(load, hub):
    with serving() as other:
        path = f"/datasets/acme/rows/resolve/{COMMIT}/data/train.jsonl"
        other.files["/elsewhere"] = hub.files.pop(path)
        # Another name of the same machine is another host.
        hub.redirects[path] = f"{other.url.replace('127.0.0.1', 'localhost')}/elsewhere"
        version = load("hf:acme/rows#data/train.jsonl", hf_endpoint=hub.url, hf_token="secret")
        assert version.num_rows == 50
        assert other.requests[0][0] == "/elsewhere"
        assert set(other.authorizations) == {None}
        assert set(hub.authorizations) == {"Bearer secret"}


def test_redirects_without_an_end_are_explained(load, web):
    web.redirects["/train.jsonl"] = "/train.jsonl"
    with pytest.raises(DownloadFailed, match="can't be followed"):
        load("https://files.test/train.jsonl")


# --- s3:


README = b"""---
configs:
- config_name: easy
  data_files: [{split: train, path: easy/*.jsonl}]
- config_name: hard
  data_files: [{split: test, path: hard/rows.csv}]
license: mit
---
"""


@pytest.fixture
def folder(bucket):
    bucket("rows/README.md", README)
    bucket("rows/easy/a.jsonl", TRAIN)
    bucket("rows/easy/b.jsonl.gz", gzip.compress(b'{"text": "last"}\n'))
    bucket("rows/hard/rows.csv", b"text\nhard one\n")
    bucket("rows/picture.png", b"none of these")
    return bucket


@pytest.mark.process
def test_a_config_of_a_folder_in_an_object_store_is_imported(load, datasets, folder):
    easy = load("s3://models/rows", "easy")
    assert (easy.num_rows, easy.license, easy.source) == (51, "mit", "s3://models/rows")
    assert {row.split for row in datasets.rows(easy)} == {"train"}
    hard = load("s3://models/rows", "hard")
    assert [(row.texts, row.split) for row in datasets.rows(hard)] == [(["hard one"], "test")]
    assert load("s3://models/rows/easy/a.jsonl").num_rows == 50
    with pytest.raises(BadRequest, match=r"several configs. Choose one: --config easy \| hard"):
        load("s3://models/rows")


@pytest.mark.process
def test_an_object_store_that_refuses_is_explained(load, folder, monkeypatch):
    with pytest.raises(DownloadFailed, match=r"s3://models/nothing.* is empty, or these credentials can't read it"):
        load("s3://models/nothing")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", "/nonexistent")
    with pytest.raises(DownloadFailed, match="set AWS_PROFILE, or AWS_ACCESS_KEY_ID"):
        load("s3://models/rows")
