"""Connection: one connection to an MCP server, from its handshake until it is closed.

All of it is in the portal's event loop, whatever loop asks: what opens a connection must close it, and a connection
serves every run of the process.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from mcp import MCPError
from mcp.client.client import Client
from mcp.client.session import IncomingMessage
from mcp.client.subscriptions import ListenNotSupportedError, SubscriptionLost
from mcp.types import (
    CONNECTION_CLOSED,
    CallToolRequest,
    CallToolRequestParams,
    CallToolResult,
    Implementation,
    Tool,
    ToolListChangedNotification,
)
from pydantic import ValidationError

Transport = Callable[[Callable[[], None]], AbstractAsyncContextManager[Any]]
"""transport(on_end): opens a pair of streams to a server, and calls on_end() if it knows that the server ended."""

_MAX_PAGES = 100
_END_SECONDS = 10.0


class ServerEnded(ConnectionError):
    """The server ended, or hung up, during a call: nobody knows whether it was done."""


class ServerError(Exception):
    """The server's own words about a call that failed."""


class Connection:
    """A connection. One that is retired takes no new calls, and closes when those that it has are done."""

    def __init__(self, transport: Transport, on_change: Callable[[], None], *, is_process: bool) -> None:
        self._transport, self._on_change, self._is_process = transport, on_change, is_process
        self._closing = asyncio.Event()
        self._holder: asyncio.Task[None] | None = None
        self._client: Client | None = None
        self._num_calls = 0
        self.is_open = False
        self.last_fault = ""
        """The last data from the server that isn't a message of the protocol."""

    async def open(self, seconds: float) -> None:
        """Connect. Raises TimeoutError, and what the transport and the handshake raise."""
        ready: asyncio.Future[Client] = asyncio.get_running_loop().create_future()
        self._holder = asyncio.create_task(self._hold(ready))
        try:
            async with asyncio.timeout(seconds):
                self._client = await asyncio.shield(ready)
        except BaseException:
            self._holder.cancel()
            await asyncio.wait([self._holder], timeout=_END_SECONDS)
            raise
        self.is_open = True

    async def tools(self) -> list[Tool]:
        """Return what the server lists. Raises MCPError, ValidationError."""
        tools, cursor = list[Tool](), None
        with self._calling() as client:
            for _ in range(_MAX_PAGES):
                page = await client.list_tools(cursor=cursor, cache_mode="refresh")
                tools += page.tools
                if (cursor := page.next_cursor) is None:
                    break
        return tools

    async def call(self, name: str, arguments: Mapping[str, Any], meta: Mapping[str, Any]) -> CallToolResult:
        """Return the server's answer. Raises ServerEnded, and ServerError for what isn't one."""
        fields: dict[str, Any] = {"name": name, "arguments": dict(arguments), "_meta": dict(meta) or None}
        request = CallToolRequest(params=CallToolRequestParams(**fields))
        with self._calling() as client:
            try:
                # Not Client.call_tool(), which checks results by schemas, and patterns, of the server.
                result: CallToolResult = await client.session.send_request(request, CallToolResult)
                return result
            except MCPError as error:
                if error.code == CONNECTION_CLOSED:
                    self.retire()
                    raise ServerEnded("the MCP server ended during the call.") from None
                if not self._is_process:  # Perhaps the session of an address that was started anew.
                    self.retire()
                raise ServerError(error.message) from None
            except ValidationError:
                raise ServerError("the MCP server answered something that is no result of a tool.") from None

    def retire(self) -> None:
        """Take no new calls."""
        self.is_open = False
        if not self._num_calls:
            self._closing.set()

    async def close(self) -> None:
        """Close now. Calls that it has end with ServerEnded."""
        self.is_open = False
        self._closing.set()
        if self._holder is not None:
            done, _ = await asyncio.wait([self._holder], timeout=_END_SECONDS)
            if not done:
                self._holder.cancel()

    @contextlib.contextmanager
    def _calling(self) -> Any:
        assert self._client is not None
        self._num_calls += 1
        try:
            yield self._client
        finally:
            self._num_calls -= 1
            if not self.is_open:
                self.retire()

    async def _hold(self, ready: "asyncio.Future[Client]") -> None:
        """Open the connection, and keep it until it is to be closed. Runs in a task of its own."""
        try:
            async with self._connected() as client, self._watching(client):
                if not ready.done():
                    ready.set_result(client)
                await self._closing.wait()
        except Exception as error:
            if not ready.done():
                ready.set_exception(_first(error))
        finally:
            self.is_open = False
            if not ready.done():
                ready.set_exception(ServerEnded("the MCP server ended."))

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[Client]:
        info = Implementation(name="llmos", version="1")
        transport = self._transport(self.retire)
        async with Client(transport, message_handler=self._on_message, client_info=info, cache=None) as client:
            yield client

    @asynccontextmanager
    async def _watching(self, client: Client) -> AsyncIterator[None]:
        """Hear of changes of the list. Older servers say it unasked, to _on_message."""

        async def watch() -> None:
            with contextlib.suppress(ListenNotSupportedError, SubscriptionLost, MCPError, TimeoutError):
                async with client.listen(tools_list_changed=True) as changes:
                    async for _ in changes:
                        self._on_change()

        watcher = asyncio.create_task(watch())
        try:
            yield
        finally:
            watcher.cancel()
            await asyncio.wait([watcher])

    async def _on_message(self, message: IncomingMessage) -> None:
        if isinstance(message, ToolListChangedNotification):
            self._on_change()
        elif isinstance(message, Exception):
            self.last_fault = str(message)


def _first(error: BaseException) -> BaseException:
    """Return the first error of a group."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
