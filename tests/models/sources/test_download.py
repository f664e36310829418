"""hf: and https: downloads over good and failing connections, from a real server."""

import re

import httpx
import pytest

from llmos.core.errors import BadRequest, DownloadFailed
from llmos.core.sources import Access, Download
from llmos.core.sources._download import HttpDownload
from llmos.core.sources.hf import fetch_files as fetch_from_hub
from llmos.models.sources import fetch_files

pytestmark = pytest.mark.usefixtures("one_certificate")

CONTENT = bytes(range(256)) * 40
PATH = "/acme/tiny/resolve/main/tiny.gguf"


@pytest.fixture
def hub(server):
    server.files[PATH] = CONTENT
    return server


@pytest.fixture
def get(tmp_path, pin, hub):
    """Return a function that downloads tiny.gguf and returns its bytes and the progress calls."""
    part = tmp_path / "tiny.part"

    def get(location="hf:acme/tiny", *, token=None, content=CONTENT):
        told = []
        download = Download(pin("tiny.gguf", content), "tiny.gguf", part)
        access = Access(hf_endpoint=hub.url, hf_token=token)
        fetch_files(location, [download], access, lambda *progress: told.append(progress))
        return part.read_bytes(), told

    get.part = part
    return get


def test_a_file_is_downloaded_with_progress(get):
    arrived, told = get()
    assert arrived == CONTENT
    assert told[0] == ("tiny.gguf", 0, len(CONTENT))
    assert told[-1] == ("tiny.gguf", len(CONTENT), len(CONTENT))


def test_a_revision_is_part_of_the_url(get, hub):
    hub.files["/acme/tiny/resolve/refs%2Fpr%2F7/tiny.gguf"] = CONTENT
    assert get("hf:acme/tiny@refs/pr/7")[0] == CONTENT


def test_an_interrupted_connection_is_resumed(get, hub):
    hub.moods = ["cut:1000", "cut:2000"]
    arrived, told = get()
    assert arrived == CONTENT
    assert [span for _, span in hub.requests] == [None, "bytes=1000-", "bytes=3000-"]
    counts = [num_done for _, num_done, _ in told]
    assert counts == sorted(counts), "the bar never goes back"


def test_the_bytes_of_an_earlier_attempt_are_not_downloaded_again(get, hub):
    get.part.write_bytes(CONTENT[:5000])
    assert get()[0] == CONTENT
    assert hub.requests == [(PATH, "bytes=5000-")]


def test_a_complete_part_sends_no_request(get, hub):
    get.part.write_bytes(CONTENT)
    assert get()[0] == CONTENT
    assert hub.requests == []


def test_without_range_support_the_download_starts_over(get, hub):
    hub.knows_range = False
    get.part.write_bytes(b"X" * 5000)
    assert get()[0] == CONTENT


def test_a_part_longer_than_the_file_starts_over(get, hub):
    get.part.write_bytes(b"X" * (len(CONTENT) + 1))
    assert get()[0] == CONTENT
    assert hub.requests == [(PATH, None)]


def test_after_a_refusal_to_resume_the_download_starts_over(get, hub):
    get.part.write_bytes(b"X" * 5000)
    hub.moods = ["status:416"]
    assert get()[0] == CONTENT
    assert hub.requests == [(PATH, "bytes=5000-"), (PATH, None)]


def test_attempts_without_new_bytes_end_and_the_part_is_kept(get, hub):
    hub.moods = ["cut:1000", *["cut:0"] * 10]
    with pytest.raises(DownloadFailed, match=r"the connection broke.* after 1,000 of 10,240 bytes"):
        get()
    assert get.part.read_bytes() == CONTENT[:1000]
    assert len(hub.requests) == 4


def test_attempts_with_new_bytes_go_on_until_the_end(get, hub):
    hub.moods = ["cut:500"] * 20
    assert get()[0] == CONTENT


def test_a_busy_server_is_retried_after_a_pause(get, hub, tmp_path):
    hub.moods = ["status:503", "status:429"]
    pauses = []
    with httpx.Client() as client:
        HttpDownload(client, hub.url + PATH, get.part, len(CONTENT), lambda _: None).run(pause=pauses.append)
    assert get.part.read_bytes() == CONTENT
    assert pauses == [1.0, 2.0]


def test_a_server_that_stays_busy_is_named_with_its_status(get, hub):
    hub.moods = ["status:503"] * 3
    with httpx.Client() as client, pytest.raises(DownloadFailed, match="responded with status 503"):
        HttpDownload(client, hub.url + PATH, get.part, len(CONTENT), lambda _: None).run(pause=lambda _: None)


def test_a_file_of_another_size_is_not_downloaded(get, hub):
    hub.files[PATH] = CONTENT + b"more"
    with pytest.raises(DownloadFailed, match="has 10,244 bytes; 10,240 were expected"):
        get()
    assert not get.part.exists()


def test_another_digest_in_the_headers_stops_the_download(get, hub):
    hub.headers["X-Linked-Etag"] = '"' + "ab" * 32 + '"'
    with pytest.raises(DownloadFailed, match=f"sha256:{'ab' * 32} on the hub; the catalog pins sha256:"):
        get()
    assert not get.part.exists()


def test_the_pinned_digest_in_the_headers_is_accepted(get, hub, pin):
    hub.headers["X-Linked-Etag"] = pin("", CONTENT).digest.removeprefix("sha256:")
    assert get()[0] == CONTENT


def test_a_configured_token_is_sent(get, hub):
    get(token="hf_secret")
    get.part.unlink()
    get()
    assert hub.authorizations == ["Bearer hf_secret", None]


@pytest.mark.parametrize(
    ("mood", "reason"),
    [
        ("status:401", "set HF_TOKEN"),
        ("status:403", "set HF_TOKEN"),
        ("status:404", "does not exist"),
        ("status:418", "418"),
    ],
)
def test_a_refused_request_is_explained_and_not_retried(get, hub, mood, reason):
    hub.moods = [mood]
    with pytest.raises(DownloadFailed, match=reason):
        get()
    assert len(hub.requests) == 1


def test_an_unreachable_host_fails_at_once(get, tmp_path, pin):
    download = Download(pin("tiny.gguf", CONTENT), "tiny.gguf", tmp_path / "part")
    with pytest.raises(DownloadFailed, match=r"127\.0\.0\.1 can't be reached"):
        fetch_from_hub("hf:acme/tiny", [download], Access(hf_endpoint="http://127.0.0.1:9"), lambda *_: None)


@pytest.mark.parametrize("location", ["hf:tiny", "hf:a/b/c", "hf:a/b@", "hf:a/b@x y", "hf:a/../b"])
def test_an_invalid_hub_location_is_explained(get, location):
    with pytest.raises(BadRequest, match=re.escape("hf:OWNER/NAME")):
        get(location)


def test_an_unknown_kind_of_source_is_refused_with_the_known_ones(get):
    with pytest.raises(BadRequest, match="begins with file:, hf:, https:, llmos:, oci:, pypi:, s3:"):
        get("ftp:acme/tiny")


def test_the_files_of_an_https_folder_are_below_its_url(get, hub, tmp_path, pin, monkeypatch):
    hub.files["/models/a%20b/tiny.gguf"] = CONTENT
    download = Download(pin("tiny.gguf", CONTENT), "a b/tiny.gguf", tmp_path / "part")
    from llmos.core.sources.https import fetch_files as fetch_from_web

    fetch_from_web(f"{hub.url}/models/", [download], Access(), lambda *_: None)
    assert download.part.read_bytes() == CONTENT
