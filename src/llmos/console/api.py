"""Api: requests to the server that the console is mounted in, on behalf of one visitor, without a socket.

They pass the same door as any other request, with the visitor's cookie and address and nothing else.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlencode

import msgspec
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Scope

from llmos.client.server_errors import parse_error
from llmos.core.in_process import exchange
from llmos.core.schemas.base import Description, read_description

D = TypeVar("D", bound=Description)

_PASSED_ON = (b"cookie", b"host", b"origin", b"x-forwarded-proto", b"traceparent")
"""What the door needs to know the visitor. A key isn't among them: browsers have sessions."""

_UNSAFE_IN_PATHS = re.compile(r"[^A-Za-z0-9._~@:,/!$&'()*+;=-]")


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    headers: Headers
    body: bytes

    def json(self) -> Any:
        try:
            return msgspec.json.decode(self.body)
        except msgspec.DecodeError:
            return None


class Api:
    def __init__(self, server: ASGIApp, visit: Scope, *, is_poll: bool = False) -> None:
        """Ask `server` for whom sent the request with the scope `visit`. `is_poll`: nobody waits for the answer."""
        self._server, self._visit, self._is_poll = server, visit, is_poll
        self.csrf_token: str | None = None
        """What the visitor's form had. The server checks it."""

    async def get(self, path: str, /, **query: Any) -> Any:
        """Return the JSON at `path`. Raises the LLMOSError that the server answers with."""
        return await self._json("GET", path, None, query)

    async def post(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        return await self._json("POST", path, body or {}, {})

    async def put(self, path: str, body: Mapping[str, Any]) -> Any:
        return await self._json("PUT", path, body, {})

    async def patch(self, path: str, body: Mapping[str, Any]) -> Any:
        return await self._json("PATCH", path, body, {})

    async def delete(self, path: str) -> Any:
        return await self._json("DELETE", path, None, {})

    async def read(self, kind: type[D], path: str, /, **query: Any) -> D:
        """Return the description at `path`."""
        return read_description(kind, await self.get(path, **query))

    async def list(self, kind: type[D], path: str, /, **query: Any) -> list[D]:
        """Return the descriptions of the list at `path`."""
        return [read_description(kind, each) for each in (await self.get(path, **query))["data"]]

    async def send(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, *, headers: Mapping[str, str] = {}
    ) -> Reply:
        """Return the reply, whatever its status."""
        payload = b"" if body is None else msgspec.json.encode(body)
        reply = await exchange(self._server, self._scope(method, path, headers, body), payload)
        return Reply(reply.status, Headers(raw=list(reply.headers)), reply.body)

    async def put_bytes(self, path: str, body: bytes, headers: Mapping[str, str]) -> Any:
        """Send bytes. Raises the LLMOSError that the server answers with."""
        found = await exchange(self._server, self._scope("PUT", path, headers, None), body)
        reply = Reply(found.status, Headers(raw=list(found.headers)), found.body)
        if reply.status >= 400:
            raise parse_error(reply.status, reply.json())
        return reply.json()

    async def _json(self, method: str, path: str, body: Mapping[str, Any] | None, query: Mapping[str, Any]) -> Any:
        given = {name.removesuffix("_"): value for name, value in query.items()}
        reply = await self.send(method, with_query(path, given), body)
        if reply.status >= 400:
            raise parse_error(reply.status, reply.json())
        return reply.json()

    def _scope(
        self, method: str, path: str, headers: Mapping[str, str], body: Mapping[str, Any] | None
    ) -> dict[str, Any]:
        path, _, query = path.partition("?")
        passed = [(name, value) for name, value in self._visit["headers"] if name in _PASSED_ON]
        passed += [(name.encode(), value.encode()) for name, value in headers.items()]
        if self.csrf_token is not None:
            passed.append((b"x-csrf-token", self.csrf_token.encode(errors="replace")))
        if body is not None:
            passed.append((b"content-type", b"application/json"))
        return {
            "method": method,
            "scheme": self._visit["scheme"],
            "path": path,
            "raw_path": quote_path(path).encode(),
            "query_string": query.encode(),
            "headers": passed,
            "client": self._visit.get("client"),
            "server": self._visit.get("server"),
            # The log has one line for the page, not one for each thing that it reads.
            "state": {"is_poll": self._is_poll, "is_part": method == "GET"},
        }


def with_query(path: str, query: Mapping[str, Any]) -> str:
    """Return the path with those parameters that have a value."""
    given = {name: value for name, value in query.items() if value not in (None, "")}
    return f"{path}?{urlencode(given, doseq=True)}" if given else path


def quote_path(path: str) -> str:
    """Return the path with what URLs can't have escaped; a query stays as it is."""
    path, mark, query = path.partition("?")
    return (
        _UNSAFE_IN_PATHS.sub(lambda found: "".join(f"%{byte:02X}" for byte in found[0].encode()), path) + mark + query
    )
