"""The deployed applications of a server, for asyncio programs: the same calls as in hosted_apps.py, awaited."""

import builtins
from collections.abc import AsyncIterator
from typing import Any, Unpack

from llmos.client import hosting_calls as calls
from llmos.client.async_control import AsyncNoun
from llmos.client.hosting_calls import RunSettings
from llmos.core.schemas.hosted_apps import AppDeploymentDescription, RunEvent, RunResult


class AsyncHostedApps(AsyncNoun):
    """Applications that a server runs, each in a process of its own."""

    async def deploy(
        self, name: str, *, version: int | None = None, alias: str | None = None
    ) -> AppDeploymentDescription:
        """Let the server run a Version, by default the newest, in place of the one before, which ends with its last
        run. Returns when it answers, or can't: see `state` and `reason`."""
        return await self._client._request(calls.deploy_app(name, version, alias))

    async def stop(self, name: str) -> AppDeploymentDescription:
        """End an application with its last run."""
        return await self._client._request(calls.stop_app(name))

    async def deployment(self, name: str) -> AppDeploymentDescription:
        """Return what is deployed, and how it is. Raises NotFound if it never was."""
        return await self._client._request(calls.get_app_deployment(name))

    async def deployments(self) -> builtins.list[AppDeploymentDescription]:
        """Return the applications that were deployed."""
        return await self._client._request(calls.list_app_deployments())

    async def run(self, name: str, input: Any, **settings: Unpack[RunSettings]) -> RunResult:
        """Return the answer to an input, or the run that waits. `settings` are those of `RunSettings`."""
        return await self._client._request(calls.run_app(name, input, settings))

    async def stream(self, name: str, input: Any, **settings: Unpack[RunSettings]) -> AsyncIterator[RunEvent]:
        """Yield the events of a run; the last one has the run. Closing it cancels the run."""
        async for body in self._client._events(calls.stream_app(name, input, settings)):
            yield calls.read_event(body)

    async def resume(self, name: str, run: str, *value: Any) -> RunResult:
        """Continue a run. `value`: gives it what it waits for first, such as True for an approval."""
        given = {"value": value[0]} if value else {}
        return await self._client._request(calls.resume_app(name, run, given))

    async def logs(self, name: str, *, lines: int = 100, follow: bool = False) -> AsyncIterator[str]:
        """Yield the last lines that the application printed; with `follow`, those that come, until closed."""
        rest = b""
        async for chunk in self._client._download(calls.read_app_logs(name, lines, follow)):
            *complete, rest = (rest + chunk).split(b"\n")
            for line in complete:
                yield line.decode(errors="replace")
