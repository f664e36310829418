"""The releases of applications, with blocking calls."""

import builtins
from pathlib import Path

from llmos.client import release_calls as calls
from llmos.client.control import Noun
from llmos.core.schemas.releases import ReleaseDescription, ReleaseEventDescription, ReleasePlan


class ReleasedApps(Noun):
    """Versions that take over in an environment, at once or in steps."""

    def plan(self, folder: Path | str, *, environment: str = "") -> ReleasePlan:
        """Return what a release of a folder would change, in words. Nothing is changed or kept."""
        return self._client._request(calls.plan_release(folder, environment))

    def release(
        self,
        name: str,
        version: int,
        *,
        environment: str = "",
        newest_release: int | None = None,
        at_once: bool = False,
    ) -> ReleaseDescription:
        """Let a Version take over, in the steps of its app.yaml unless `at_once`. The same Version in the same
        environment is the release that there is.

        `newest_release`: the one of a plan. Raises Conflict if another one has begun since, or is taking over.
        """
        call = calls.begin_release(name, version, environment, newest_release, at_once=at_once)
        return self._client._request(call)

    def releases(self, name: str) -> builtins.list[ReleaseDescription]:
        """Return the last releases of an application, newest first."""
        return self._client._request(calls.list_releases(name))

    def release_events(self, name: str) -> builtins.list[ReleaseEventDescription]:
        """Return what happened to them, oldest first, each with who did it."""
        return self._client._request(calls.list_release_events(name))

    def roll_back(self, name: str, *, reason: str = "") -> ReleaseDescription:
        """End the release that is taking over, or go back from the active one to the one before.

        Returns the release that is active then. Raises Conflict if there is nothing to go back to.
        """
        return self._client._request(calls.roll_back_release(name, reason))
