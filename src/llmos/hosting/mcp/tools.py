"""McpTools: the tools of one MCP server, as an application has them.

A server is started, or connected, when its tools are first asked for. One that ended is started again by the next call;
one that doesn't answer in time is left to the calls that it still has, and new calls get a new one.
"""

import asyncio
import atexit
import logging
import os
import re
import time
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from jsonschema import SchemaError  # type: ignore[import-untyped]
from jsonschema.validators import validator_for  # type: ignore[import-untyped]
from mcp import MCPError
from mcp.types import Tool as Listed
from pydantic import ValidationError

from llmos.apps.errors import AppError
from llmos.apps.functions import TookTooLong, faults_of
from llmos.apps.steps import Step
from llmos.apps.tools import MAX_NAME, Tool, ToolOptions
from llmos.core.errors import LLMOSError
from llmos.core.portal import portal
from llmos.core.schemas.mcp_servers import McpServer
from llmos.core.suggest import did_you_mean
from llmos.hosting.mcp.connect import variable
from llmos.hosting.mcp.connection import Connection, ServerEnded, ServerError
from llmos.hosting.mcp.results import data_of
from llmos.hosting.mcp.transports import http_transport, process_transport

_log = logging.getLogger(__name__)

IDEMPOTENCY_KEY = "llmos/idempotencyKey"
"""The field of `_meta` with the key of an effect."""
_OPEN_SECONDS = 30.0
_LIST_SECONDS = 15.0
_LISTED_FOR_SECONDS = 300.0
"""A list is asked for again after this time: not every server says that it changed."""
_MAX_SCHEMA_BYTES = 64 << 10
_MAX_DESCRIPTION = 4_000

_opened: "weakref.WeakSet[McpTools]" = weakref.WeakSet()


class McpFailed(AppError):
    """An MCP server can't be started, or its tools can't be listed."""

    code = "mcp_failed"


class McpTools:
    """A source of tools: docs/apps.md."""

    def __init__(self, name: str, settings: McpServer, folder: Path | None = None) -> None:
        self.name, self.settings, self._folder = name, settings, folder
        self._reset()

    async def tools(self) -> Sequence[Tool]:
        """Return the tools as they are now. Raises McpFailed if they were never known."""
        if self._is_known and time.monotonic() < self._listed_until:
            return self._tools
        return await portal.awaited(self._list())

    async def call(self, tool: str, arguments: Mapping[str, Any], key: str, seconds: float | None) -> Any:
        """Return the result of a call, as text or JSON. Raises TookTooLong, ServerEnded, ServerError, McpFailed."""
        return await portal.awaited(self._call(tool, arguments, key, seconds))

    async def close(self) -> None:
        """End the server, or the connection to it."""
        await portal.awaited(self._close())

    def _reset(self) -> None:
        self._connection: Connection | None = None
        self._opening = asyncio.Lock()
        self._tools: Sequence[Tool] = ()
        self._is_known = False
        self._listed_until = 0.0

    async def _connected(self) -> Connection:
        async with self._opening:
            if self._connection is None or not self._connection.is_open:
                self._connection = None  # One that is retired closes by itself.
                connection = Connection(self._transport, self._on_change, is_process=self.settings.url is None)
                try:
                    await connection.open(_OPEN_SECONDS)
                except TimeoutError:
                    raise self._failed(f"it didn't answer within {_OPEN_SECONDS:g} s", connection) from None
                except LLMOSError:
                    raise
                except Exception as error:
                    raise self._failed(str(error) or type(error).__name__, connection) from None
                self._connection = connection
                _opened.add(self)
            return self._connection

    def _transport(self, on_end: Any) -> Any:
        settings = self.settings
        if settings.url is not None:
            token = {} if settings.token is None else {"Authorization": f"Bearer {variable(settings.token, self.name)}"}
            return http_transport(settings.url, token)
        environment = {name: variable(name, self.name) for name in settings.environment}
        return process_transport(settings.command or [], environment, self._folder, on_end)

    def _failed(self, reason: str, connection: Connection | None = None) -> McpFailed:
        fault = connection.last_fault if connection else ""
        sent = f" (it sent {fault})" if fault else ""
        return McpFailed(f"The MCP server {self.name} can't be used: {reason.partition(chr(10))[0].rstrip('.')}{sent}.")

    def _on_change(self) -> None:
        self._listed_until = 0.0

    async def _list(self) -> Sequence[Tool]:
        """Return the tools, new if the server says them. One that was known and is gone keeps its list for a while."""
        self._listed_until = time.monotonic() + _LISTED_FOR_SECONDS
        try:
            connection = await self._connected()
            async with asyncio.timeout(_LIST_SECONDS):
                self._tools = self._made(await connection.tools())
            self._is_known = True
        except (MCPError, ValidationError, TimeoutError, McpFailed) as error:
            failed = error if isinstance(error, McpFailed) else self._failed(f"it lists no tools: {_reason_of(error)}")
            if not self._is_known:
                self._listed_until = 0.0
                raise failed from None
            _log.warning("%s", failed.message)
        return self._tools

    def _made(self, listed: Sequence[Listed]) -> Sequence[Tool]:
        if not self._is_known:
            self._check_names([each.name for each in listed])
        tools: dict[str, Tool] = {}
        for each in listed:
            if self.settings.tools is not None and each.name not in self.settings.tools:
                continue
            if fault := _fault_of(each):
                _log.warning("The tool %s of the MCP server %s is left out: %s", each.name, self.name, fault)
                continue
            tool = self._tool(each)
            tools[_free_name(tool.name, tools)] = tool
        return [tool.named(name) for name, tool in tools.items()]

    def _tool(self, listed: Listed) -> Tool:
        settings = self.settings
        options = ToolOptions(
            seconds=settings.seconds, max_chars=settings.max_chars, confirm=listed.name in settings.confirm
        )
        operation = RemoteTool(self, listed)
        if listed.name not in settings.effects:
            tool = Tool(operation, options)
        else:
            tool = Tool(Step(operation.call, effect=True, seconds=settings.seconds, operation=operation), options)
        return tool.named(re.sub(r"[^A-Za-z0-9_-]", "_", listed.name) or "tool")

    def _check_names(self, known: Sequence[str]) -> None:
        """Raise McpFailed for a name in the settings that the server doesn't have: a typo in `confirm` is dangerous."""
        settings = self.settings
        for name in [*(settings.tools or ()), *settings.confirm, *settings.effects]:
            if name not in known:
                raise self._failed(f"it has no tool {name!r}. {did_you_mean(name, known)}")

    async def _call(self, tool: str, arguments: Mapping[str, Any], key: str, seconds: float | None) -> Any:
        connection = await self._connected()
        timer = asyncio.timeout(seconds)
        try:
            async with timer:
                return data_of(await connection.call(tool, arguments, {IDEMPOTENCY_KEY: key} if key else {}))
        except TimeoutError:
            if not timer.expired():
                raise
            connection.retire()
            sent = f" It sent {connection.last_fault}." if connection.last_fault else ""
            raise TookTooLong(f"it didn't end within {seconds:g} s.{sent}") from None

    async def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()


class RemoteTool:
    """One tool of an MCP server, as an operation of `llmos.apps`."""

    def __init__(self, source: McpTools, listed: Listed) -> None:
        self.name = f"{source.name}.{listed.name}"
        self.description = (listed.description or listed.title or "")[:_MAX_DESCRIPTION]
        self.parameters: Mapping[str, Any] = listed.input_schema
        self._source, self._tool = source, listed.name

    def parse(self, arguments: str) -> dict[str, Any]:
        """Return the arguments. Those of a model of this server follow the schema; the MCP server checks the others."""
        parsed = msgspec.json.decode(arguments)
        if not isinstance(parsed, dict):
            raise ValueError("they are no JSON object")
        return parsed

    def bind(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        return dict(kwargs)

    async def call(self, arguments: Mapping[str, Any], *, key: str = "", seconds: float | None = None) -> Any:
        return await self._source.call(self._tool, arguments, key, seconds)

    def dump(self, value: Any) -> Any:
        return value

    def load(self, value: Any) -> Any:
        return value


def _fault_of(listed: Listed) -> str:
    """Return why a model can't be given a tool."""
    if len(msgspec.json.encode(listed.input_schema)) > _MAX_SCHEMA_BYTES:
        return f"its schema is longer than {_MAX_SCHEMA_BYTES >> 10} KiB."
    try:
        validator_for(listed.input_schema).check_schema(listed.input_schema)
    except SchemaError as error:
        return f"its schema is wrong: {error.message}."
    return ""


def _reason_of(error: Exception) -> str:
    return faults_of(error) if isinstance(error, ValidationError) else str(error) or "it didn't answer in time"


def _free_name(name: str, taken: Mapping[str, Any]) -> str:
    """Return a name that no other tool of the server has."""
    number, free = 1, name[:MAX_NAME]
    while free in taken:
        number += 1
        free = f"{name[: MAX_NAME - 4]}_{number}"
    return free


def _close_all() -> None:
    """End the servers that this process started."""
    for source in [*_opened]:
        portal.call(source.close())


def _forget_all() -> None:
    """Leave the connections to the parent process."""
    for source in [*_opened]:
        source._reset()
    _opened.clear()


atexit.register(_close_all)
os.register_at_fork(after_in_child=_forget_all)
__all__ = ["McpFailed", "McpTools", "ServerEnded", "ServerError"]
