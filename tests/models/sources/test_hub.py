"""hf: locations that are in no catalog, against a server with the hub's protocol."""

import hashlib
import json
from urllib.parse import quote

import pytest

from llmos.core.errors import BadModelFile, BadRequest, DownloadFailed, UnsupportedModel
from llmos.core.progress import no_progress
from llmos.core.sources import Access
from llmos.core.store.staging import open_staging_area
from llmos.core.store.store import Store
from llmos.models.sources import fetch_model

pytestmark = pytest.mark.usefixtures("one_certificate")

COMMIT = "c0ffee" * 6 + "c0ff"
CONTENT = bytes(range(256)) * 40


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


@pytest.fixture
def list_files(server):
    """Return a function that puts files into the repository acme/tiny on the server."""

    def put(files, *, revision="main", large=(".gguf", ".safetensors"), license="mit"):
        siblings = []
        for name, content in files.items():
            sibling = {"rfilename": name, "size": len(content)}
            if name.endswith(large):
                sibling["lfs"] = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
            else:
                sibling["blobId"] = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
            siblings.append(sibling)
            server.files[f"/acme/tiny/resolve/{COMMIT}/{quote(name)}"] = content
        listing = {"sha": COMMIT, "siblings": siblings, "cardData": {"license": license}}
        address = f"/api/models/acme/tiny/revision/{quote(revision, safe='')}?blobs=true"
        server.files[address] = json.dumps(listing).encode()

    return put


@pytest.fixture
def get(server, store):
    def get(location="hf:acme/tiny", *, token=None):
        with open_staging_area(store, location) as staging:
            fetched = fetch_model(location, staging, Access(hf_endpoint=server.url, hf_token=token), no_progress)
            return fetched, {name: path.read_bytes() for name, path in fetched.files.items()}

    return get


def test_a_branch_is_pinned_to_its_commit(list_files, get, server):
    list_files({"tiny.gguf": CONTENT, "README.md": b"# Tiny"})
    fetched, contents = get()
    assert contents == {"tiny.gguf": CONTENT}
    assert fetched.location == f"hf:acme/tiny@{COMMIT}"
    assert fetched.license == "mit"


def test_a_revision_may_contain_a_slash(list_files, get):
    list_files({"tiny.gguf": CONTENT}, revision="refs/pr/7")
    assert get("hf:acme/tiny@refs/pr/7")[0].location == f"hf:acme/tiny@{COMMIT}"


def test_only_the_files_of_the_model_are_downloaded(list_files, get):
    files = {"config.json": b"{}", "model.safetensors": CONTENT, "tokenizer.json": b"{}"}
    list_files(files | {"pytorch_model.bin": CONTENT, "onnx/model.onnx": CONTENT, "tf_model.h5": CONTENT})
    assert get()[1] == files


def test_an_interrupted_download_resumes_also_in_the_next_attempt(list_files, get, server):
    list_files({"tiny.gguf": CONTENT})
    server.moods = ["good", "cut:1000", "cut:0", "cut:0", "cut:0"]
    with pytest.raises(DownloadFailed, match="the connection broke"):
        get()
    assert get()[1] == {"tiny.gguf": CONTENT}
    assert server.requests[-1][1] == "bytes=1000-"


def test_the_token_is_sent_and_a_missing_one_is_reported(list_files, get, server):
    list_files({"tiny.gguf": CONTENT})
    get(token="hf_secret")
    assert set(server.authorizations) == {"Bearer hf_secret"}
    server.moods = ["status:401"]
    with pytest.raises(DownloadFailed, match="set HF_TOKEN"):
        get()


@pytest.mark.parametrize("name", ["tiny.gguf", "config.json"])
def test_bytes_that_the_hub_does_not_list_are_deleted(list_files, get, server, store, name):
    list_files({"tiny.gguf": CONTENT} if name == "tiny.gguf" else {"config.json": b"{}", "model.safetensors": CONTENT})
    address = f"/acme/tiny/resolve/{COMMIT}/{name}"
    server.files[address] = bytes(len(server.files[address]))
    with pytest.raises(BadModelFile, match=f"{name} arrived as .* but the hub lists .* It was deleted"):
        get()
    kept = {path.stat().st_size for path, _ in store.unfinished()}
    assert len(server.files[address]) not in kept


def test_a_stored_file_is_downloaded_only_if_it_is_damaged(list_files, get, server, store, tmp_path):
    list_files({"tiny.gguf": CONTENT, "README.md": b"# Tiny"})
    (tmp_path / "tiny.gguf").write_bytes(CONTENT)
    digest, _ = store.add(tmp_path / "tiny.gguf")
    assert get()[1] == {"tiny.gguf": CONTENT}
    assert not any("/resolve/" in path for path, *_ in server.requests)
    store.blob_path(digest).write_bytes(bytes(len(CONTENT)))
    assert get()[1] == {"tiny.gguf": CONTENT}
    assert any("/resolve/" in path for path, *_ in server.requests)


def test_one_of_several_models_has_to_be_chosen(list_files, get):
    list_files({"tiny-q4.gguf": CONTENT, "tiny-q8.gguf": CONTENT[:-1]})
    with pytest.raises(BadRequest, match=r"2 GGUF models.*tiny-q4\.gguf, tiny-q8\.gguf"):
        get()
    fetched, contents = get("hf:acme/tiny#tiny-q8.gguf")
    assert contents == {"tiny-q8.gguf": CONTENT[:-1]}
    assert fetched.location == f"hf:acme/tiny@{COMMIT}#tiny-q8.gguf"


PARTS = {f"Q4/tiny-0000{i}-of-00003.gguf": CONTENT[i:] for i in (1, 2, 3)}


@pytest.mark.parametrize("number", [1, 3])
def test_all_parts_of_a_model_are_downloaded(list_files, get, number):
    list_files(PARTS | {"tiny-q8.gguf": CONTENT})
    fetched, contents = get(f"hf:acme/tiny#Q4/tiny-0000{number}-of-00003.gguf")
    assert contents == PARTS
    assert fetched.location == f"hf:acme/tiny@{COMMIT}#Q4/tiny-0000{number}-of-00003.gguf"


def test_a_repository_with_one_model_in_parts_needs_no_choice(list_files, get):
    parts = {name.removeprefix("Q4/"): content for name, content in PARTS.items()}
    list_files(parts)
    assert get()[1] == parts


def test_a_missing_part_is_named_before_anything_is_downloaded(list_files, get, server):
    names = sorted(PARTS)
    list_files({name: PARTS[name] for name in names[::2]})
    with pytest.raises(BadRequest, match=rf"3 files, and 1 of them are missing: {names[1]}"):
        get(f"hf:acme/tiny#{names[0]}")
    assert not any("/resolve/" in path for path, *_ in server.requests)


def test_a_url_of_one_part_is_refused_before_the_download(get, server):
    with pytest.raises(BadRequest, match=r"one of 3 parts .*hf:OWNER/NAME#tiny-00001-of-00003\.gguf"):
        get("https://example.org/tiny-00002-of-00003.gguf")
    assert server.requests == []


def test_a_repository_with_only_pickles_is_refused(list_files, get):
    list_files({"config.json": b"{}", "pytorch_model.bin": CONTENT})
    with pytest.raises(UnsupportedModel, match="pickle"):
        get()


def test_a_missing_repository_is_named(get):
    with pytest.raises(DownloadFailed, match=r"acme/tiny.* does not exist"):
        get()


def test_a_listed_path_outside_the_folder_is_refused(list_files, get, server):
    list_files({"../../evil.gguf": CONTENT})
    with pytest.raises(BadRequest, match="not a valid file name"):
        get()


@pytest.mark.parametrize("location", ["hf:acme", "hf:acme/tiny@", "hf:acme/tiny@a b", "hf:/acme/tiny"])
def test_an_invalid_location_is_refused(get, location):
    with pytest.raises(BadRequest, match="not a hub location"):
        get(location)
