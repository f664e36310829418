"""ClientAsker: the models that checks of a folder's evals ask, on the server that the settings name."""

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from llmos.client import AsyncClient

_UNCACHED = {"Cache-Control": "no-store"}


class ClientAsker:
    """Connects with the first request: most suites ask no model."""

    def __init__(self) -> None:
        self._client: AsyncClient | None = None

    async def post(self, path: str, body: Mapping[str, Any], key: str = "") -> Mapping[str, Any]:
        from llmos.client import AsyncClient
        from llmos.client.call import Call, json_object

        if self._client is None:
            self._client = AsyncClient()
        return await self._client._request(
            Call(method="POST", path=path, body=body, headers=_UNCACHED, read=json_object)
        )

    async def run_python(self, program: str) -> str:
        from llmos.applications.code.assertions import run_in_sandbox

        return await asyncio.to_thread(run_in_sandbox, program)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._client is not None:
            await self._client.close()
