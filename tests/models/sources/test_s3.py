"""s3: downloads through s3fs, against a server with the S3 protocol."""

import hashlib

import pytest

from llmos.core.errors import BadRequest, DownloadFailed
from llmos.core.progress import no_progress
from llmos.core.sources import Access
from llmos.core.store.staging import open_staging_area
from llmos.core.store.store import Store
from llmos.models.sources import fetch_model
from support.s3_server import bucket, endpoint

__all__ = ["bucket", "endpoint"]  # fixtures

CONTENT = bytes(range(256)) * 40_000
"""Larger than one read of the copy."""


@pytest.fixture
def get(tmp_path):
    store = Store(tmp_path / "store")

    def get(location, progress=no_progress):
        with open_staging_area(store, location) as staging:
            fetched = fetch_model(location, staging, Access(), progress)
            return {name: path.read_bytes() for name, path in fetched.files.items()}

    get.store = store
    return get


@pytest.mark.thorough
def test_a_folder_is_downloaded(bucket, get):
    for name in ("config.json", "model.safetensors", "notes.pdf"):
        bucket(f"tiny/{name}", name.encode())
    assert get("s3://models/tiny") == {"config.json": b"config.json", "model.safetensors": b"model.safetensors"}


@pytest.mark.thorough
def test_a_single_file_is_downloaded(bucket, get):
    bucket("tiny/a.gguf", CONTENT)
    bucket("tiny/b.gguf", b"other")
    assert hashlib.sha256(get("s3://models/tiny/a.gguf")["a.gguf"]).digest() == hashlib.sha256(CONTENT).digest()


@pytest.mark.thorough
def test_an_interrupted_download_is_resumed(bucket, get):
    bucket("tiny/a.gguf", CONTENT)

    def break_off(label, num_done, num_total):
        if num_done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        get("s3://models/tiny", break_off)
    told = []
    assert get("s3://models/tiny", lambda *progress: told.append(progress))["a.gguf"] == CONTENT
    assert told[0][1] > 0, "it begins with what is here"


@pytest.mark.thorough
def test_a_replaced_object_is_downloaded_from_the_beginning(bucket, get):
    bucket("tiny/a.gguf", CONTENT)
    get("s3://models/tiny")
    bucket("tiny/a.gguf", CONTENT[::-1])
    assert get("s3://models/tiny")["a.gguf"] == CONTENT[::-1]


@pytest.mark.thorough
@pytest.mark.parametrize("location", ["s3://models/nothing", "s3://no-such-bucket/tiny"])
def test_a_missing_object_is_named(bucket, get, location):
    with pytest.raises(DownloadFailed, match=location):
        get(location)


def test_a_location_without_a_bucket_is_refused(get):
    with pytest.raises(BadRequest, match="s3://BUCKET/FOLDER"):
        get("s3://")
