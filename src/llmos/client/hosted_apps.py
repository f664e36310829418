"""The deployed applications of a server, with blocking calls."""

import builtins
from collections.abc import Iterator
from typing import Any, Unpack

from llmos.client import hosting_calls as calls
from llmos.client.control import Noun
from llmos.client.hosting_calls import RunSettings
from llmos.core.schemas.hosted_apps import AppDeploymentDescription, RunEvent, RunResult


class HostedApps(Noun):
    """Applications that a server runs, each in a process of its own."""

    def deploy(self, name: str, *, version: int | None = None, alias: str | None = None) -> AppDeploymentDescription:
        """Let the server run a Version, by default the newest, in place of the one before, which ends with its last
        run. Returns when it answers, or can't: see `state` and `reason`."""
        return self._client._request(calls.deploy_app(name, version, alias))

    def stop(self, name: str) -> AppDeploymentDescription:
        """End an application with its last run."""
        return self._client._request(calls.stop_app(name))

    def deployment(self, name: str) -> AppDeploymentDescription:
        """Return what is deployed, and how it is. Raises NotFound if it never was."""
        return self._client._request(calls.get_app_deployment(name))

    def deployments(self) -> builtins.list[AppDeploymentDescription]:
        """Return the applications that were deployed."""
        return self._client._request(calls.list_app_deployments())

    def run(self, name: str, input: Any, **settings: Unpack[RunSettings]) -> RunResult:
        """Return the answer to an input, or the run that waits. `settings` are those of `RunSettings`."""
        return self._client._request(calls.run_app(name, input, settings))

    def stream(self, name: str, input: Any, **settings: Unpack[RunSettings]) -> Iterator[RunEvent]:
        """Yield the events of a run; the last one has the run. Closing it cancels the run."""
        for body in self._client._events(calls.stream_app(name, input, settings)):
            yield calls.read_event(body)

    def resume(self, name: str, run: str, *value: Any) -> RunResult:
        """Continue a run. `value`: gives it what it waits for first, such as True for an approval."""
        given = {"value": value[0]} if value else {}
        return self._client._request(calls.resume_app(name, run, given))

    def logs(self, name: str, *, lines: int = 100, follow: bool = False) -> Iterator[str]:
        """Yield the last lines that the application printed; with `follow`, those that come, until closed."""
        rest = b""
        for chunk in self._client._download(calls.read_app_logs(name, lines, follow)):
            *complete, rest = (rest + chunk).split(b"\n")
            yield from (line.decode(errors="replace") for line in complete)
