"""Transports to MCP servers that bound what a server can send: a process with pipes, and HTTP.

The `mcp` package has both without a limit of their own for a message that never ends.
"""

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx2
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.client.stdio import get_default_environment
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.message import SessionMessage
from mcp.types import jsonrpc_message_adapter

_log = logging.getLogger(__name__)

MAX_MESSAGE_BYTES = 8 << 20
"""The longest message that a server may send."""
_END_SECONDS = 2.0
"""The time for a process to end by itself, and then again behind SIGTERM."""
_POLL_SECONDS = 0.01

Incoming = SessionMessage | Exception


@asynccontextmanager
async def process_transport(
    command: Sequence[str], environment: Mapping[str, str], folder: Path | None, on_end: Callable[[], None]
) -> AsyncIterator[tuple[MemoryObjectReceiveStream[Incoming], MemoryObjectSendStream[SessionMessage]]]:
    """Start a command, and speak with it over its standard input and output. Its errors go where ours do.

    It gets PATH, HOME and the like, and of the other environment variables only those in `environment`.
    `on_end`: called when it closes its output. Raises OSError if it can't be started.
    """
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env=get_default_environment() | dict(environment),
        cwd=folder,
        limit=MAX_MESSAGE_BYTES,
        start_new_session=True,
    )
    arriving, arrived = anyio.create_memory_object_stream[Incoming](0)
    leaving, left = anyio.create_memory_object_stream[SessionMessage](0)
    pipes = [asyncio.create_task(_read(process, arriving, on_end)), asyncio.create_task(_write(process, left))]
    try:
        yield arrived, leaving
    finally:
        for stream in (arriving, arrived, leaving, left):
            stream.close()
        await _end(process)
        for pipe in pipes:
            pipe.cancel()
        await asyncio.gather(*pipes, return_exceptions=True)


def http_transport(url: str, headers: Mapping[str, str]) -> AbstractAsyncContextManager[Any]:
    """Return the transport to an address (streamable HTTP)."""

    @asynccontextmanager
    async def connect() -> AsyncIterator[Any]:
        timeout = httpx2.Timeout(30.0, read=300.0)  # A stream of events may be silent for long.
        transport = _LimitedTransport(httpx2.AsyncHTTPTransport())
        given = {"Accept-Encoding": "identity", **headers}
        async with (
            httpx2.AsyncClient(headers=given, timeout=timeout, transport=transport) as client,
            streamable_http_client(url, http_client=client, max_sse_event_size=MAX_MESSAGE_BYTES) as streams,
        ):
            yield streams

    return connect()


async def _read(
    process: asyncio.subprocess.Process, arriving: MemoryObjectSendStream[Incoming], on_end: Callable[[], None]
) -> None:
    """Pass on what a process writes, line by line, until it ends or a line is too long."""
    assert process.stdout is not None
    closed = (anyio.ClosedResourceError, anyio.BrokenResourceError)
    try:
        with arriving, contextlib.suppress(*closed, ConnectionError):
            while line := await _line_of(process.stdout):
                await arriving.send(_message_of(line))
    finally:
        on_end()


async def _line_of(stdout: asyncio.StreamReader) -> bytes:
    """Return a line; nothing at the end, which is also what a line that is too long counts as."""
    try:
        return await stdout.readline()
    except ValueError:
        _log.warning("An MCP server sent a message of more than %d MiB, and is ended.", MAX_MESSAGE_BYTES >> 20)
        return b""


def _message_of(line: bytes) -> Incoming:
    try:
        return SessionMessage(jsonrpc_message_adapter.validate_json(line, by_name=False))
    except ValueError:
        return ValueError(f"a line that is no message of MCP: {line[:80].decode(errors='replace')!r}")


async def _write(process: asyncio.subprocess.Process, left: MemoryObjectReceiveStream[SessionMessage]) -> None:
    assert process.stdin is not None
    with contextlib.suppress(ConnectionError):
        async for message in left:
            process.stdin.write(message.message.model_dump_json(by_alias=True, exclude_unset=True).encode() + b"\n")
            await process.stdin.drain()


async def _end(process: asyncio.subprocess.Process) -> None:
    """Close the pipe of a process, which tells it to end. One that doesn't is ended, with the processes it started."""
    assert process.stdin is not None
    process.stdin.close()
    for number in (signal.SIGTERM, getattr(signal, "SIGKILL", signal.SIGTERM), None):
        if await _has_ended(process) or number is None:
            break
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number) if hasattr(os, "killpg") else process.send_signal(number)
    # Nothing public closes the pipe to a grandchild that left the group and still has it.
    process._transport.close()  # type: ignore[attr-defined]


async def _has_ended(process: asyncio.subprocess.Process) -> bool:
    """Wait for the end of a process for a while. `process.wait()` also waits for whoever inherited its pipes."""
    deadline = asyncio.get_running_loop().time() + _END_SECONDS
    while process.returncode is None and asyncio.get_running_loop().time() < deadline:
        await asyncio.sleep(_POLL_SECONDS)
    return process.returncode is not None


class _LimitedTransport(httpx2.AsyncBaseTransport):
    """Bounds the bodies of responses, but those of event streams, whose events are bounded one by one."""

    def __init__(self, transport: httpx2.AsyncBaseTransport) -> None:
        self._transport = transport

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        response = await self._transport.handle_async_request(request)
        if not response.headers.get("content-type", "").startswith("text/event-stream"):
            assert isinstance(response.stream, httpx2.AsyncByteStream)
            response.stream = _LimitedStream(response.stream, response.headers.get("content-encoding", "identity"))
        return response

    async def aclose(self) -> None:
        await self._transport.aclose()


class _LimitedStream(httpx2.AsyncByteStream):
    def __init__(self, stream: httpx2.AsyncByteStream, encoding: str) -> None:
        self._stream, self._encoding = stream, encoding

    async def __aiter__(self) -> AsyncIterator[bytes]:
        if self._encoding != "identity":
            raise httpx2.StreamError("the server compressed its answer, which it wasn't asked for")
        num_bytes = 0
        async for chunk in self._stream:
            num_bytes += len(chunk)
            if num_bytes > MAX_MESSAGE_BYTES:
                raise httpx2.StreamError(f"a message of more than {MAX_MESSAGE_BYTES >> 20} MiB")
            yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()
