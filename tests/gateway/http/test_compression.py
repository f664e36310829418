"""Compressed bodies: every endpoint reads them, within the limit that plain bodies have."""

import gzip
import json
import zlib
from collections.abc import Callable
from functools import partial
from typing import Any

import brotli
import httpx
import pytest
from backports import zstd
from hypothesis import given
from hypothesis import strategies as st

from llmos.core.errors import BadRequest, UnsupportedMediaType
from llmos.gateway.http.compression import DECOMPRESSORS, find_encoding, unpack
from llmos.gateway.http.requests import MAX_BODY_BYTES
from support.scripted import FakePool

pytestmark = [pytest.mark.anyio, pytest.mark.shared_gateway]


def raw_deflate(data: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return compressor.compress(data) + compressor.flush()


COMPRESSORS: list[tuple[str, Callable[[bytes], bytes]]] = [
    ("gzip", partial(gzip.compress, compresslevel=1)),
    ("deflate", zlib.compress),
    ("deflate", raw_deflate),
    ("br", partial(brotli.compress, quality=1)),
    ("zstd", zstd.compress),
]
FORMATS = pytest.mark.parametrize(("encoding", "compress"), COMPRESSORS, ids=["gzip", "zlib", "raw", "br", "zstd"])
SPELLINGS = [("x-gzip", gzip.compress), ("GZip", gzip.compress), ("identity, gzip", gzip.compress), ("identity", bytes)]
HELLO = [{"role": "user", "content": "Hello"}]
POSTS: list[tuple[str, dict[str, Any]]] = [
    ("/v1/chat/completions", {"model": "dialogue", "messages": HELLO}),
    ("/v1/responses", {"model": "dialogue", "input": "Hello"}),
    ("/v1/completions", {"model": "dialogue", "prompt": "Hello"}),
    ("/v1/messages", {"model": "dialogue", "messages": HELLO, "max_tokens": 9}),
    ("/v1/messages/count_tokens", {"model": "dialogue", "messages": HELLO}),
    ("/api/chat", {"model": "dialogue", "messages": HELLO, "stream": False}),
    ("/api/generate", {"model": "dialogue", "prompt": "Hello", "stream": False}),
    ("/api/show", {"model": "dialogue"}),
    ("/v2/models/dialogue/generate", {"text_input": "Hello"}),
    (
        "/v2/models/dialogue/infer",
        {"inputs": [{"name": "text_input", "shape": [1], "datatype": "BYTES", "data": ["Hello"]}]},
    ),
    ("/llmos/v1/generate", {"model": "dialogue", "prompt": "Hello"}),
]


async def post(http: httpx.AsyncClient, path: str, encoding: str, body: bytes) -> httpx.Response:
    return await http.post(path, content=body, headers={"content-encoding": encoding})


async def unpacked(data: bytes, encoding: str, size: int = 65536) -> bytes:
    async def chunks() -> Any:
        for start in range(0, len(data), size):
            yield data[start : start + size]

    return b"".join([piece async for piece in unpack(chunks(), encoding)])


@pytest.mark.parametrize(("path", "body"), POSTS, ids=[path for path, _ in POSTS])
async def test_every_format_reads_every_compression(http: httpx.AsyncClient, path: str, body: dict[str, Any]) -> None:
    for encoding, compress in [*COMPRESSORS, *SPELLINGS]:
        reply = await post(http, path, encoding, compress(json.dumps(body).encode()))
        assert reply.status_code == 200, (encoding, reply.text)


async def test_a_compressed_form_is_read(http: httpx.AsyncClient) -> None:
    line = json.dumps({"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": POSTS[0][1]})
    form = httpx.Request("POST", "http://x", files={"file": ("a.jsonl", line)}, data={"purpose": "batch"})
    headers = {"content-type": form.headers["content-type"], "content-encoding": "gzip"}
    reply = await http.post("/v1/files", content=gzip.compress(form.read()), headers=headers)
    assert (reply.status_code, reply.json()["bytes"]) == (200, len(line))


@pytest.mark.parametrize("encoding", ["compress", "snappy", "gzip, br", "gzip, gzip", "aes128gcm"])
async def test_another_encoding_is_a_415_that_names_it_and_those_that_are_read(
    http: httpx.AsyncClient, encoding: str
) -> None:
    reply = await post(http, "/v1/chat/completions", encoding, b"data")
    assert (reply.status_code, reply.json()["error"]["code"]) == (415, "unsupported_media_type")
    assert reply.headers["accept-encoding"] == "gzip, deflate, br, zstd"
    assert encoding in reply.json()["error"]["message"]
    assert "zstd" in reply.json()["error"]["message"]


@FORMATS
async def test_a_body_that_unpacks_to_more_than_the_limit_is_refused(
    http: httpx.AsyncClient, pool: FakePool, encoding: str, compress: Callable[[bytes], bytes]
) -> None:
    bomb = compress(b" " * (MAX_BODY_BYTES + 1))
    reply = await post(http, "/v1/chat/completions", encoding, bomb)
    assert (reply.status_code, reply.json()["error"]["code"]) == (413, "request_too_large")
    assert pool.requests == []


@FORMATS
async def test_a_bomb_is_unpacked_in_small_pieces(encoding: str, compress: Callable[[bytes], bytes]) -> None:
    async def chunks() -> Any:
        yield compress(bytes(8 * 2**20))

    async for piece in unpack(chunks(), encoding):
        assert 0 < len(piece) <= 2**20
        break


async def test_a_zstd_body_can_not_ask_for_a_huge_window() -> None:
    options = {zstd.CompressionParameter.window_log: 27, zstd.CompressionParameter.content_size_flag: 0}
    compressor = zstd.ZstdCompressor(options=options)
    data = compressor.compress(b"x" * 99) + compressor.compress(b"y") + compressor.flush()
    with pytest.raises(BadRequest, match="zstd"):
        await unpacked(data, "zstd")


@given(data=st.binary(max_size=3000), size=st.integers(1, 99))
@FORMATS
async def test_a_body_is_unpacked_however_it_is_cut(
    encoding: str, compress: Callable[[bytes], bytes], data: bytes, size: int
) -> None:
    assert await unpacked(compress(data), encoding, size) == data


@FORMATS
async def test_incomplete_and_wrong_data_are_refused(
    http: httpx.AsyncClient, encoding: str, compress: Callable[[bytes], bytes]
) -> None:
    whole = compress(json.dumps(POSTS[0][1]).encode() + bytes(range(256)) * 20)
    for data in [whole[:-1], whole[: len(whole) // 2], b"{}" + whole, b'{"model": "dialogue"}']:
        reply = await post(http, "/v1/chat/completions", encoding, data)
        assert (reply.status_code, reply.json()["error"]["code"]) == (400, "invalid_request"), data[:20]


@pytest.mark.parametrize("encoding", DECOMPRESSORS)
async def test_an_empty_body_is_called_empty(http: httpx.AsyncClient, encoding: str) -> None:
    reply = await post(http, "/v1/chat/completions", encoding, b"")
    assert "empty" in reply.json()["error"]["message"]


@pytest.mark.parametrize(("encoding", "compress"), [("gzip", gzip.compress), ("zstd", zstd.compress)])
async def test_several_compressed_parts_are_one_body(encoding: str, compress: Callable[[bytes], bytes]) -> None:
    assert await unpacked(compress(b"one ") + compress(b"") + compress(b"two"), encoding) == b"one two"


@pytest.mark.parametrize(("encoding", "compress"), [("deflate", zlib.compress), ("br", brotli.compress)])
async def test_data_behind_a_single_compressed_part_are_refused(
    encoding: str, compress: Callable[[bytes], bytes]
) -> None:
    with pytest.raises(BadRequest, match=encoding):
        await unpacked(compress(b"one") + b"more", encoding)


async def test_an_upload_of_a_blob_is_not_unpacked(http: httpx.AsyncClient) -> None:
    headers = {"content-encoding": "gzip", "content-range": "bytes 0-8/9"}
    reply = await http.put(f"/llmos/v1/blobs/sha256:{'0' * 64}", content=b"123456789", headers=headers)
    assert reply.status_code == 415


def test_several_encodings_are_not_undone() -> None:
    with pytest.raises(UnsupportedMediaType, match="gzip, zstd"):
        find_encoding("gzip, zstd")
    assert find_encoding("") is find_encoding("identity, identity") is None


@pytest.mark.parametrize(("path", "body"), POSTS, ids=[path for path, _ in POSTS])
async def test_a_byte_order_mark_before_json_is_skipped(
    http: httpx.AsyncClient, path: str, body: dict[str, Any]
) -> None:
    reply = await http.post(path, content=b"\xef\xbb\xbf" + json.dumps(body).encode())
    assert reply.status_code == 200, reply.text
