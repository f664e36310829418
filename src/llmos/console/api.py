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
"""The headers by which the server identifies the visitor. API keys aren't among them, because browsers have
sessions."""

_JSON = {"content-type": "application/json"}
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
        """Call `server` on behalf of the visitor whose request has the scope `visit`. `is_poll`: nobody waits for the
        answer."""
        self._server, self._visit, self._is_poll = server, visit, is_poll
        self.csrf_token: str | None = None
        """The token of the visitor's form, which the server checks."""

    async def get(self, path: str, /, **query: Any) -> Any:
        """Return the JSON at `path`. Raises the LLMOSError that the server answers with."""
        return await self._json("GET", path, None, query)

    async def post(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        return await self._json("POST", path, body or {}, {})

    async def put(self, path: str, body: Mapping[str, Any], /, **query: Any) -> Any:
        return await self._json("PUT", path, body, query)

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

    async def send(self, method: str, path: str, body: Mapping[str, Any] | None = None, /, **query: Any) -> Reply:
        """Return the reply, whatever its status. `path`: as it is written by persons, not escaped."""
        if body is None:
            return await self._exchange(method, path, b"", {}, query)
        return await self._exchange(method, path, msgspec.json.encode(body), _JSON, query)

    async def send_bytes(
        self, method: str, path: str, body: bytes, headers: Mapping[str, str] = {}, /, **query: Any
    ) -> Any:
        """Send bytes and return the JSON of the reply. Raises the LLMOSError that the server answers with."""
        return _json_of(await self._exchange(method, path, body, headers, query))

    async def _json(self, method: str, path: str, body: Mapping[str, Any] | None, query: Mapping[str, Any]) -> Any:
        return _json_of(await self.send(method, path, body, **query))

    async def _exchange(
        self, method: str, path: str, body: bytes, headers: Mapping[str, str], query: Mapping[str, Any]
    ) -> Reply:
        given = {name.removesuffix("_"): value for name, value in query.items() if value not in (None, "")}
        passed = [(name, value) for name, value in self._visit["headers"] if name in _PASSED_ON]
        passed += [(name.encode(), value.encode()) for name, value in headers.items()]
        if self.csrf_token is not None:
            passed.append((b"x-csrf-token", self.csrf_token.encode(errors="replace")))
        scope = {
            "method": method,
            "scheme": self._visit["scheme"],
            "path": path,
            # A name that somebody has typed may have a question mark, which begins no query here.
            "raw_path": _escape(path).encode(),
            "query_string": urlencode(given, doseq=True).encode(),
            "headers": passed,
            "client": self._visit.get("client"),
            "server": self._visit.get("server"),
            # The log has one line for the page, not one for each thing that it reads.
            "state": {"is_poll": self._is_poll, "is_part": method == "GET"},
        }
        found = await exchange(self._server, scope, body)
        return Reply(found.status, Headers(raw=list(found.headers)), found.body)


def _json_of(reply: Reply) -> Any:
    """Return the JSON of a reply. Raises the LLMOSError of one that is an error."""
    if reply.status >= 400:
        raise parse_error(reply.status, reply.json())
    return reply.json()


def with_query(path: str, query: Mapping[str, Any]) -> str:
    """Return the path with those parameters that have a value."""
    given = {name: value for name, value in query.items() if value not in (None, "")}
    return f"{path}?{urlencode(given, doseq=True)}" if given else path


def quote_path(path: str) -> str:
    """Return the path with what URLs can't have escaped; a query stays as it is."""
    path, mark, query = path.partition("?")
    return _escape(path) + mark + query


def _escape(path: str) -> str:
    return _UNSAFE_IN_PATHS.sub(lambda found: "".join(f"%{byte:02X}" for byte in found[0].encode()), path)
