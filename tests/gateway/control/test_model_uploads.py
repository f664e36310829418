"""Models that are uploaded file by file, and made Versions by a job."""

import pytest
from httpx import AsyncClient

from support.datasets_over_http import digest_of, run_job
from support.tiny_gguf import write_gguf

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def gguf(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("gguf") / "tiny.gguf"
    write_gguf(path)
    return path.read_bytes()


async def put(http: AsyncClient, content: bytes, first: int, end: int) -> int:
    span = {"content-range": f"bytes {first}-{end - 1}/{len(content)}"}
    path = f"/llmos/v1/model-uploads/{digest_of(content)}"
    reply = await http.put(path, content=content[first:end], headers=span)
    assert reply.status_code == 200, reply.text
    received: int = reply.json()["received_bytes"]
    return received


@pytest.mark.process
async def test_parts_become_a_version_and_the_upload_is_gone(http: AsyncClient, gguf: bytes) -> None:
    half = len(gguf) // 2
    assert await put(http, gguf, 0, half) == half
    assert await put(http, gguf, half, len(gguf)) == len(gguf)
    files = [{"name": "tiny.gguf", "digest": digest_of(gguf)}]
    job = await run_job(http, "model_import", name="uploaded", files=files, license="mit")
    assert job["state"] == "succeeded", job
    made = job["result"]
    assert (made["version"], made["license"], made["family"]) == ("uploaded@1", "mit", "llama")
    assert (await http.get(f"/llmos/v1/model-uploads/{digest_of(gguf)}")).json()["received_bytes"] == 0


@pytest.mark.process
async def test_what_did_not_arrive_or_is_no_model_says_so(http: AsyncClient, gguf: bytes) -> None:
    files = [{"name": "lost.gguf", "digest": digest_of(b"lost")}]
    job = await run_job(http, "model_import", name="lost", files=files)
    assert job["state"] == "failed"
    assert "was not uploaded. PUT it to /llmos/v1/model-uploads/" in job["error"]["message"]
    junk = b"no model at all" * 100
    await put(http, junk, 0, len(junk))
    files = [{"name": "junk.gguf", "digest": digest_of(junk)}]
    job = await run_job(http, "model_import", name="junk", files=files)
    assert (job["state"], job["error"]["code"]) == ("failed", "bad_model_file")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": "x"}, "Upload the model's files to /llmos/v1/model-uploads"),
        ({"name": "no name!", "files": [{"name": "a.gguf", "digest": "sha256:0"}]}, "no name!"),
        ({"name": "x", "files": [{"name": "../a.gguf", "digest": "sha256:0"}]}, "is not a valid file name"),
        ({"name": "x", "files": 2 * [{"name": "a.gguf", "digest": "sha256:0"}]}, "two files with the same name"),
    ],
)
async def test_a_request_that_cannot_succeed_is_refused(http: AsyncClient, fields: dict, message: str) -> None:
    reply = await http.post("/llmos/v1/jobs", json={"kind": "model_import", **fields})
    assert reply.status_code == 400
    assert message in reply.json()["error"]["message"]
