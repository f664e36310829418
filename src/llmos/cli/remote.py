"""Whose models a command is about: this machine's, or those of the server that LLMOS_ENDPOINT names."""

from typing import Any
from urllib.parse import quote

import httpx

from llmos.client.endpoint import resolve_endpoint
from llmos.core.config import Settings
from llmos.core.errors import BadRequest, ConnectionFailed, error_from_body

_TIMEOUT = httpx.Timeout(30, connect=5)


class Remote:
    """The control plane of a server on another machine."""

    def __init__(self, url: str, api_key: str | None, transport: httpx.BaseTransport | None = None) -> None:
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._http = httpx.Client(base_url=url, headers=headers, timeout=_TIMEOUT, transport=transport)
        self.url = url

    def ask(self, method: str, noun: str, name: str | None = None, body: dict[str, Any] | None = None) -> Any:
        """Return the decoded answer, None for an empty one. Raises the error that the server answered with."""
        path = f"/llmos/v1/{noun}" + (f"/{quote(name, safe=':@')}" if name is not None else "")
        try:
            response = self._http.request(method, path, json=body)
            answer = response.json() if response.content else None
        except httpx.TransportError as error:
            raise ConnectionFailed(
                f"No server answers at {self.url} ({error}). Start it there, or unset LLMOS_ENDPOINT."
            ) from error
        except ValueError as error:
            raise ConnectionFailed(f"What answers at {self.url} is no LLMOS server. Check LLMOS_ENDPOINT.") from error
        if response.is_error:
            raise error_from_body(response.status_code, answer)
        return answer


def remote_server(settings: Settings) -> Remote | None:
    """The server to ask, None where the files of this machine are meant."""
    if not settings.endpoint_is_set:
        return None
    server = resolve_endpoint()
    return None if server.is_loopback else Remote(server.url, server.api_key)


def refuse_remote(settings: Settings, command: str) -> None:
    """Raise BadRequest where the owner means a server on another machine and the command can only work on this one."""
    if remote_server(settings) is not None:
        raise BadRequest(
            f"`llmos {command}` works on the models of this machine, but LLMOS_ENDPOINT names {settings.endpoint}."
            " Run it there, or unset LLMOS_ENDPOINT."
        )
