"""Files are uploaded and downloaded with the official client, through the disk and never in memory."""

import asyncio
import os
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from llmos.gateway.services import Services
from llmos.gateway.wires.openai.files import endpoints as file_endpoints
from support.databases import KINDS
from support.scripted import KEY, Connection

LINES = b'{"custom_id": "a"}\n' * 3


@pytest.fixture(scope="module", params=KINDS)
def database_kind(request: pytest.FixtureRequest) -> str:
    kind: str = request.param
    return kind


@pytest.fixture
def client(served: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{served}/v1", api_key=KEY, max_retries=0) as client:
        yield client


def on_disk(services: Services) -> set[str]:
    return {path.name for path in services.data.files.folder.iterdir()} - {"lock"}


def test_a_file_is_returned_unchanged(client: openai.OpenAI, services: Services, tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    path.write_bytes(LINES)
    with path.open("rb") as content:
        file = client.files.create(file=content, purpose="batch")
    assert (file.object, file.bytes, file.filename, file.purpose) == ("file", len(LINES), "lines.jsonl", "batch")
    assert client.files.retrieve(file.id) == file
    assert client.files.content(file.id).read() == LINES
    assert [each.id for each in client.files.list()] == [file.id]
    deleted = client.files.delete(file.id)
    assert (deleted.id, deleted.deleted) == (file.id, True)
    assert on_disk(services) == set()
    for look in (client.files.retrieve, client.files.content, client.files.delete):
        with pytest.raises(openai.NotFoundError, match="There is no file"):
            look(file.id)


@pytest.mark.parametrize(
    ("asked", "status", "begin", "end"),
    [
        ("bytes=0-4", 206, 0, 5),
        ("bytes=3-", 206, 3, None),
        ("bytes=-4", 206, -4, None),
        ("bytes=2-999999", 206, 2, None),
        ("bytes=-999999", 206, 0, None),
        ("bytes=5-4", 200, 0, None),
        ("bytes=0-1,3-4", 200, 0, None),
        ("lines=1-2", 200, 0, None),
        ("bytes=-", 200, 0, None),
        ("bytes=999999-", 416, 0, 0),
    ],
)
def test_a_range_of_a_file_is_read(
    client: openai.OpenAI, served: str, asked: str, status: int, begin: int, end: int | None
) -> None:
    file = client.files.create(file=("lines.jsonl", LINES), purpose="batch")
    headers = {"authorization": f"Bearer {KEY}", "range": asked}
    reply = httpx.get(f"{served}/v1/files/{file.id}/content", headers=headers)
    assert (reply.status_code, reply.content) == (status, LINES[begin:end])
    if status == 206:
        first = begin % len(LINES)
        last = first + len(reply.content) - 1
        assert reply.headers["content-range"] == f"bytes {first}-{last}/{len(LINES)}"
    later = httpx.get(f"{served}/v1/files/{file.id}/content", headers=headers | {"if-range": '"another"'})
    assert (later.status_code, later.content) == (200, LINES)


def test_a_file_that_is_deleted_at_this_moment_is_missing(client: openai.OpenAI, services: Services) -> None:
    file = client.files.create(file=("lines.jsonl", LINES), purpose="batch")
    services.data.files.path(file.id).unlink()
    with pytest.raises(openai.NotFoundError, match="There is no file"):
        client.files.content(file.id)


def test_the_asynchronous_client_does_the_same(served: str) -> None:
    async def there_and_back() -> bytes:
        async with openai.AsyncOpenAI(base_url=f"{served}/v1", api_key=KEY, max_retries=0) as client:
            file = await client.files.create(file=("lines.jsonl", LINES), purpose="batch")
            content = (await client.files.content(file.id)).read()
            assert [each.id async for each in client.files.list()] == [file.id]
            assert (await client.files.delete(file.id)).deleted
            return content

    assert asyncio.run(there_and_back()) == LINES


def test_the_client_pages_through_a_list(client: openai.OpenAI) -> None:
    made = [client.files.create(file=(f"{i}.jsonl", LINES), purpose="batch").id for i in range(5)]
    assert [file.id for file in client.files.list(limit=2)] == made[::-1]
    assert [file.id for file in client.files.list(limit=2, order="asc", purpose="batch")] == made
    assert list(client.files.list(purpose="batch_output")) == []


def test_a_filename_can_be_any_text(client: openai.OpenAI) -> None:
    file = client.files.create(file=('中文 "quoted".jsonl', LINES), purpose="batch")
    assert client.files.retrieve(file.id).filename == '中文 "quoted".jsonl'
    assert client.files.content(file.id).read() == LINES


def test_an_empty_file_is_a_file(client: openai.OpenAI) -> None:
    file = client.files.create(file=("empty.jsonl", b""), purpose="batch")
    assert (file.bytes, client.files.content(file.id).read()) == (0, b"")


@pytest.mark.parametrize("purpose", ["fine-tune", "vision", "evals", "batch_output"])
def test_an_unsupported_purpose_is_rejected_by_name(client: openai.OpenAI, services: Services, purpose: Any) -> None:
    with pytest.raises(
        openai.BadRequestError,
        match=f"'{purpose}'; this server accepts files with the purpose batch, assistants, user_data",
    ):
        client.files.create(file=("lines.jsonl", LINES), purpose=purpose)
    assert on_disk(services) == set()


def test_unsupported_fields_are_rejected_by_name(client: openai.OpenAI, services: Services) -> None:
    with pytest.raises(openai.BadRequestError, match="`expires_after` is not supported") as caught:
        client.files.create(
            file=("lines.jsonl", LINES), purpose="batch", expires_after={"anchor": "created_at", "seconds": 3600}
        )
    assert caught.value.param == "expires_after"
    with pytest.raises(openai.BadRequestError, match=r"There is no field `purpos`\. Did you mean `purpose`"):
        client.files.list(extra_query={"purpos": "batch"})
    assert on_disk(services) == set()


@pytest.mark.parametrize(
    ("query", "param"),
    [({"limit": 0}, "limit"), ({"limit": "many"}, "limit"), ({"order": "up"}, "order"), ({"purpose": "x"}, "purpose")],
)
def test_an_invalid_query_is_rejected_by_field(client: openai.OpenAI, query: dict[str, Any], param: str) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.files.list(extra_query=query)
    assert caught.value.param == param


@pytest.mark.parametrize("num_bytes", [1025, 10_000_000])
def test_a_file_over_the_limit_is_a_413_with_the_limit(
    client: openai.OpenAI, services: Services, monkeypatch: pytest.MonkeyPatch, num_bytes: int
) -> None:
    monkeypatch.setattr(file_endpoints, "MAX_FILE_BYTES", 1024)
    with pytest.raises(openai.APIStatusError, match=r"The file is larger than 1,024 bytes.*Split it") as caught:
        client.files.create(file=("lines.jsonl", b"x" * num_bytes), purpose="batch")
    assert (caught.value.status_code, caught.value.code) == (413, "request_too_large")
    assert on_disk(services) == set()
    assert client.files.create(file=("lines.jsonl", b"x" * 1024), purpose="batch").bytes == 1024


def upload_by_hand(http: str, content: bytes, content_type: str) -> httpx.Response:
    headers = {"x-api-key": KEY, "content-type": content_type}
    return httpx.post(f"{http}/v1/files", content=content, headers=headers, trust_env=False)


FILE = b'--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\nx\r\n'
PURPOSE = b'--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'


MANY_FIELDS = b"".join(PURPOSE.replace(b"purpose", b"%d" % i) for i in range(40))


@pytest.mark.parametrize(
    ("content", "content_type", "reason"),
    [
        (b"{}", "application/json", "must be a form"),
        (b"{}", "multipart/form-data", "must be a form"),
        (b"", "multipart/form-data; boundary=b", "not a valid form"),
        (b"nothing of the kind", "multipart/form-data; boundary=b", "not a valid form"),
        (FILE + PURPOSE, "multipart/form-data; boundary=b", "not a valid form"),
        (FILE + b"--b--", "multipart/form-data; boundary=b", "`purpose` is missing"),
        (PURPOSE + b"--b--", "multipart/form-data; boundary=b", "`file` is missing"),
        (FILE + FILE + PURPOSE + b"--b--", "multipart/form-data; boundary=b", "`file` is given twice"),
        (FILE + PURPOSE + PURPOSE + b"--b--", "multipart/form-data; boundary=b", "`purpose` is given twice"),
        (FILE.replace(b"filename", b"filenam") + b"--b--", "multipart/form-data; boundary=b", "`file` must be a file"),
        (PURPOSE.replace(b"batch", b"\xff") + b"--b--", "multipart/form-data; boundary=b", "not valid UTF-8"),
        (PURPOSE.replace(b"batch", b"x" * 20_000) + b"--b--", "multipart/form-data; boundary=b", "more than 16,384"),
        (MANY_FIELDS, "multipart/form-data; boundary=b", "not a valid form"),
    ],
)
def test_an_invalid_form_is_rejected_with_the_reason(
    served: str, services: Services, content: bytes, content_type: str, reason: str
) -> None:
    reply = upload_by_hand(served, content, content_type)
    assert reply.status_code == 400
    assert reason in reply.json()["error"]["message"]
    assert on_disk(services) == set()


@pytest.mark.thorough
@pytest.mark.anyio
async def test_a_large_file_is_never_held_in_memory(http: httpx.AsyncClient, services: Services) -> None:
    num_pieces, piece = 64, b"x" * 2**20

    async def body() -> Any:
        yield PURPOSE + FILE[:-3]
        for _ in range(num_pieces):
            yield piece
        yield b"\r\n--b--\r\n"

    headers = {"content-type": "multipart/form-data; boundary=b"}
    tracemalloc.start()
    try:
        reply = await http.post("/v1/files", content=body(), headers=headers)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert reply.json()["bytes"] == num_pieces * len(piece)
    assert peak < 16 * len(piece)
    with services.data.files.open(reply.json()["id"]) as content:
        assert content.seek(0, os.SEEK_END) == num_pieces * len(piece)


@pytest.mark.anyio
async def test_hanging_up_during_an_upload_leaves_no_file(app: Any, services: Services) -> None:
    caller = Connection(app, "/v1/files", None)
    caller._scope["headers"] = [(b"x-api-key", KEY.encode()), (b"content-type", b"multipart/form-data; boundary=b")]
    call = caller.start()
    caller.hang_up()
    await call
    assert on_disk(services) == set()
    assert caller.sent == []
