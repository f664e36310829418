"""The releases of applications, with blocking calls."""

import builtins
from pathlib import Path

from llmos.client import release_calls as calls
from llmos.client.control import Noun
from llmos.core.schemas.releases import (
    ReleaseCheckDescription,
    ReleaseDescription,
    ReleaseEventDescription,
    ReleasePlan,
    ReplayDescription,
)


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
        without_evals: bool = False,
    ) -> ReleaseDescription:
        """Let a Version take over, in the steps of its app.yaml unless `at_once`. The same Version in the same
        environment is the release that there is.

        `newest_release`: the one of a plan. `without_evals`: release it though it hasn't passed those that its app.yaml
        names; the history says so. Raises Conflict if another release has begun since the plan, or is taking over, and
        for a Version that hasn't passed.
        """
        call = calls.begin_release(
            name, version, environment, newest_release, at_once=at_once, without_evals=without_evals
        )
        return self._client._request(call)

    def check(self, name: str, version: int) -> ReleaseCheckDescription:
        """Run the evals that the app.yaml of a Version names to their end, and return what they came to.

        The Version answers in a process of its own, which no caller reaches. `exit_status` of what is returned: 0 for
        passed, 4 for a failed gate, 5 for undecided, 1 if nothing could be asked.
        """
        started = self.start_check(name, version)
        for job in [run.job for run in started.evals if run.job is not None]:
            for _ in self._client.jobs.follow(job):
                pass
        return self.get_check(name, version)

    def start_check(self, name: str, version: int) -> ReleaseCheckDescription:
        """Start the evals of a Version. Each of `evals` has a `job`, which can be followed."""
        return self._client._request(calls.start_check(name, version))

    def get_check(self, name: str, version: int) -> ReleaseCheckDescription:
        """Return what the newest run of each suite came to, also while they run."""
        return self._client._request(calls.get_check(name, version))

    def replay(self, name: str, version: int, *, max_runs: int = 200) -> ReplayDescription:
        """Ask a Version and the deployed one the newest recorded runs, to the end, and return how they compare.

        Only runs whose callers agreed: `consent: eval` in app.yaml. Tools are answered out of the recorded runs. Raises
        Conflict if nothing else is deployed.
        """
        started = self.start_replay(name, version, max_runs=max_runs)
        if started.job is None:
            return started
        for _ in self._client.jobs.follow(started.job):
            pass
        return self.get_replay(name, started.id)

    def start_replay(self, name: str, version: int, *, max_runs: int = 200) -> ReplayDescription:
        """Start a replay, whose `job` can be followed. The same one that hasn't finished goes on."""
        return self._client._request(calls.start_replay(name, version, max_runs))

    def get_replay(self, name: str, id: str) -> ReplayDescription:
        """Return a replay, also while it runs."""
        return self._client._request(calls.get_replay(name, id))

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
