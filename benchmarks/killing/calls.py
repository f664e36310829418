"""Calls on every wire format, and what each must cost."""

import asyncio
import json
import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

CHAT = "/v1/chat/completions"
SLOW_TOKENS = 400
"""A call for so many tokens gets them one after another, so that its caller can hang up in the middle."""

_MESSAGES = [{"role": "user", "content": "Hi"}]
_TEXT = {"input_tokens": 5, "output_tokens": 3}


@dataclass(frozen=True, kw_only=True, slots=True)
class Kind:
    """A kind of call. Its whole answer has `end` in it."""

    path: str
    body: Mapping[str, Any]
    end: str
    costs: Mapping[str, int]


def _chat(path: str, end: str, **body: Any) -> Kind:
    named = {} if path.startswith("/v2/") else {"model": "dialogue"}
    return Kind(path=path, body={**named, **body}, end=end, costs=_TEXT)


KINDS: dict[str, Kind] = {
    "chat": _chat(CHAT, '"finish_reason":"stop"', messages=_MESSAGES),
    "chat, streamed": _chat(CHAT, "data: [DONE]", messages=_MESSAGES, stream=True),
    "completions": _chat("/v1/completions", '"finish_reason":"stop"', prompt="Hi"),
    "completions, streamed": _chat("/v1/completions", "data: [DONE]", prompt="Hi", stream=True),
    "responses": _chat("/v1/responses", '"status":"completed"', input="Hi", store=False),
    "responses, streamed": _chat("/v1/responses", "response.completed", input="Hi", store=False, stream=True),
    "messages": _chat("/v1/messages", '"end_turn"', messages=_MESSAGES, max_tokens=9),
    "messages, streamed": _chat("/v1/messages", "message_stop", messages=_MESSAGES, max_tokens=9, stream=True),
    "ollama chat": _chat("/api/chat", '"done":true', messages=_MESSAGES, stream=False),
    "ollama chat, streamed": _chat("/api/chat", '"done":true', messages=_MESSAGES),
    "ollama": _chat("/api/generate", '"done":true', prompt="Hi"),
    "open inference": _chat("/v2/models/dialogue/generate", "text_output", text_input="Hi"),
    "open inference, streamed": _chat("/v2/models/dialogue/generate_stream", "text_output", text_input="Hi"),
    "llmos": _chat("/llmos/v1/generate", "finish_reason", prompt="Hi"),
    "llmos, streamed": _chat("/llmos/v1/generate", '"finish_reason":"stop"', prompt="Hi", stream=True),
    "choices": Kind(
        path=CHAT,
        body={"model": "dialogue", "messages": _MESSAGES, "n": 3},
        end='"index":2',
        costs={"input_tokens": 5, "output_tokens": 9},
    ),
    "prompts": Kind(
        path="/v1/completions",
        body={"model": "dialogue", "prompt": ["One", "Two"]},
        end='"index":1',
        costs={"input_tokens": 10, "output_tokens": 6},
    ),
    "embeddings": Kind(
        path="/v1/embeddings",
        body={"model": "minilm", "input": ["12345", "123"]},
        end='"usage"',
        costs={"embedding_tokens": 8},
    ),
    "ollama embed": Kind(
        path="/api/embed",
        body={"model": "minilm", "input": ["12345", "123"]},
        end='"embeddings"',
        costs={"embedding_tokens": 8},
    ),
    "likelihood": Kind(
        path="/llmos/v1/likelihood",
        body={"model": "dialogue", "prompt": "hello", "continuations": ["abc"]},
        end='"usage"',
        costs={"rated_tokens": 8},
    ),
}

HANG_UP = "hang-up"
SLOW = {"model": "dialogue", "messages": _MESSAGES, "stream": True, "max_tokens": SLOW_TOKENS}


@dataclass(frozen=True, slots=True)
class Arrived:
    """An answer that a caller got whole, or as far as `num_pieces` before it hung up."""

    id: str
    kind: str
    num_pieces: int = 0


class Caller:
    """One connection after another to a server that may die at any moment."""

    def __init__(self, port: int, key: str) -> None:
        self._port, self._key = port, key
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def call(self, user: str) -> Arrived | None:
        """Make a call of some kind; None if its answer didn't arrive. Raises OSError if the server dies."""
        if random.random() < 0.1:
            return await self._hang_up(user)
        name = random.choice([*KINDS])
        kind = KINDS[name]
        status, headers, body = await self.post(
            kind.path, {**kind.body, "user": user} if "v1" in kind.path else kind.body
        )
        if status != 200 or kind.end not in body.decode():
            return None
        return Arrived(_id(headers), name)

    async def post(self, path: str, body: Any) -> tuple[int, dict[str, str], bytes]:
        status, headers = await self._ask("POST", path, json.dumps(body).encode())
        return status, headers, await self._read_body(headers)

    async def get(self, path: str) -> tuple[int, bytes]:
        status, headers = await self._ask("GET", path, b"")
        return status, await self._read_body(headers)

    async def upload(self, name: str, content: bytes) -> Any:
        """Upload a file for a batch, and return the JSON of the answer."""
        edge = "----chaos"
        fields = f'--{edge}\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
        file = f'--{edge}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'
        body = f"{fields}{file}".encode() + content + f"\r\n--{edge}--\r\n".encode()
        _, headers = await self._ask("POST", "/v1/files", body, f"multipart/form-data; boundary={edge}")
        return json.loads(await self._read_body(headers))

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self._reader = self._writer = None

    async def _hang_up(self, user: str) -> Arrived | None:
        status, headers = await self._ask("POST", CHAT, json.dumps({**SLOW, "user": user}).encode())
        if status != 200:
            await self._read_body(headers)
            return None
        assert self._reader is not None
        wanted, found = random.randint(0, 20), 0
        while found < wanted:
            found += (await self._reader.readline()).count(b'"content":"x ')
            if self._reader.at_eof():
                raise ConnectionError
        self.close()
        return Arrived(_id(headers), HANG_UP, found)

    async def _ask(
        self, method: str, path: str, body: bytes, content_type: str = "application/json"
    ) -> tuple[int, dict[str, str]]:
        if self._writer is None:
            self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        assert self._reader is not None
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: llmos\r\nAuthorization: Bearer {self._key}\r\n"
            f"Content-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        self._writer.write(head.encode() + body)
        lines = (await _until(self._reader, b"\r\n\r\n")).decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines[1:] if ": " in line)
        return int(lines[0].split()[1]), headers

    async def _read_body(self, headers: Mapping[str, str]) -> bytes:
        assert self._reader is not None
        try:
            if "content-length" in headers:
                return await self._reader.readexactly(int(headers["content-length"]))
            body = b""
            while size := int(await _until(self._reader, b"\r\n"), 16):
                body += (await self._reader.readexactly(size + 2))[:-2]
            await _until(self._reader, b"\r\n")
            return body
        except asyncio.IncompleteReadError as error:
            raise ConnectionError from error


async def _until(reader: asyncio.StreamReader, end: bytes) -> bytes:
    try:
        return await reader.readuntil(end)
    except asyncio.IncompleteReadError as error:
        raise ConnectionError from error


def _id(headers: Mapping[str, str]) -> str:
    return headers["x-llmos-receipt"].split("/")[4]
