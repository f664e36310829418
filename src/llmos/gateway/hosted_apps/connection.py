"""AppConnection: the requests to the process of an application, over its socket."""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import msgspec

from llmos.client.events import EventDecoder
from llmos.client.server_errors import parse_error
from llmos.core.errors import AppFailed, LLMOSError, error_of_code
from llmos.core.schemas.base import read_description
from llmos.core.schemas.hosted_apps import RunEvent, RunResult

_APP_STATUS = 422
"""The status of a run that has failed by itself."""
_LIMITS = httpx.Limits(max_connections=None, max_keepalive_connections=20)


class AppConnection:
    """Speaks to one process. Belongs to the event loop's thread."""

    def __init__(self, app: str, socket_path: Path) -> None:
        self._app = app
        transport = httpx.AsyncHTTPTransport(uds=str(socket_path), limits=_LIMITS)
        # A run may take long: the process ends it, or whoever asks hangs up.
        self._http = httpx.AsyncClient(transport=transport, base_url="http://app", timeout=httpx.Timeout(None))

    async def health(self) -> dict[str, Any]:
        """Return what the process says about itself, as soon as it serves."""
        facts: dict[str, Any] = (await self._http.get("/health")).json()
        return facts

    async def continue_runs(self) -> None:
        """Tell the process that a run may be ready to be continued."""
        with suppress(httpx.HTTPError):
            await self._http.post("/continue")

    async def events(self, body: Mapping[str, Any]) -> AsyncGenerator[RunEvent, None]:
        """Run an input, and yield its events. Closing it cancels the run. Raises what the run fails with."""
        async with self._streamed("/runs", {**body, "stream": True}) as response:
            decoder = EventDecoder()
            async for chunk in response.aiter_bytes():
                for data in decoder.feed(chunk):
                    event = read_description(RunEvent, msgspec.json.decode(data))
                    if event.error is not None:
                        raise self._failure(event.error.code, event.error.message)
                    yield event

    async def resume(self, run_id: str) -> RunResult:
        """Continue a run."""
        async with self._streamed(f"/runs/{run_id}/resume", {}) as response:
            return read_description(RunResult, msgspec.json.decode(await response.aread()))

    async def close(self) -> None:
        await self._http.aclose()

    @asynccontextmanager
    async def _streamed(self, path: str, body: Mapping[str, Any]) -> AsyncIterator[httpx.Response]:
        headers = {"content-type": "application/json"}
        try:
            async with self._http.stream("POST", path, content=msgspec.json.encode(body), headers=headers) as response:
                if response.status_code != 200:
                    raise self._error(response.status_code, await response.aread())
                yield response
        except httpx.HTTPError:
            raise self._died() from None

    def _error(self, status: int, body: bytes) -> LLMOSError:
        error = parse_error(status, msgspec.json.decode(body))
        return AppFailed(error.message) if status == _APP_STATUS else error

    def _failure(self, code: str, message: str) -> LLMOSError:
        error = error_of_code(code, message)
        return error if error.status and type(error) is not LLMOSError else AppFailed(message)

    def _died(self) -> AppFailed:
        return AppFailed(
            f"The process of the app {self._app} ended in the middle of this run. It is started again, and continues"
            " the run from its journal."
        )
