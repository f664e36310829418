"""AskedVersions: versions of applications that run because somebody asks for them by their number: evals and replays.

Each runs in a process of its own beside what is deployed, from the first call until nobody has asked it for a moment.
It continues no runs, and no caller who asks for the application alone reaches it.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from llmos.core.clock import Clock, utc_now
from llmos.core.errors import AppFailed, Unavailable
from llmos.data.apps.deployments import AppDeployment
from llmos.gateway.hosted_apps.host import AppHost, Start
from llmos.gateway.hosted_apps.process import AppProcess, Continuing

MAX_ASKED = 4
"""The versions that a server runs at the same time because they are asked for."""
IDLE_SECONDS = 120.0
"""The process of a version ends when it hasn't been asked for so long."""
_NEVER_SECONDS = 10 * 365 * 86_400.0

Key = tuple[str, str]
"""(project, version)"""


class AskedHost(AppHost):
    """The host of a version that was asked for. Who asks one that doesn't start is told at once, and not to wait."""

    num_waiting = 0
    """The calls that wait for its process."""

    async def ready(self, seconds: float) -> AppProcess:
        """Return the process. Raises AppFailed for one that doesn't start: to ask again wouldn't help."""
        self.num_waiting += 1
        try:
            await self.settled(seconds)
            if self.current is None and not self.num_restarts:
                raise AppFailed(self.reason or f"{self.wanted.ref} doesn't start: it wasn't ready in time.")
            return await super().ready(seconds)
        except Unavailable as error:
            raise AppFailed(error.message) from None
        finally:
            self.num_waiting -= 1

    @property
    def is_in_use(self) -> bool:
        return bool(self.num_waiting or (self.current is not None and self.current.num_runs))


class AskedVersions:
    """Belongs to the event loop's thread."""

    def __init__(
        self,
        start: Start,
        keep: Callable[[Coroutine[Any, Any, None]], None],
        *,
        idle_seconds: float = IDLE_SECONDS,
        clock: Clock = utc_now,
    ) -> None:
        """`keep`: keeps what is still to be done for processes that end."""
        self._start, self._keep, self._clock = start, keep, clock
        self.idle_seconds = idle_seconds
        self._hosts: dict[Key, AskedHost] = {}
        self._timers: dict[Key, asyncio.TimerHandle] = {}

    def host(self, project: str, app: str, version: int) -> AppHost:
        """Return the host of a version, which is started if it doesn't run. Raises Unavailable for one too many."""
        key = (project, f"{app}@{version}")
        if key not in self._hosts:
            self._make_room()
            wanted = AppDeployment(
                project=project,
                app=app,
                version=version,
                is_stopped=False,
                changed_at=self._clock(),
                changed_by=None,
            )
            self._hosts[key] = AskedHost(wanted, self._start_alone)
        self._end_later(key)
        return self._hosts[key]

    def runs(self, project: str, app: str, version: int) -> bool:
        return (project, f"{app}@{version}") in self._hosts

    def of_app(self, project: str, app: str) -> Sequence[AppHost]:
        """Return the hosts of an application's versions."""
        return [host for (owner, _), host in self._hosts.items() if owner == project and host.wanted.app == app]

    def take(self) -> Sequence[AppHost]:
        """Give all hosts away: who takes them ends them."""
        for timer in self._timers.values():
            timer.cancel()
        hosts = [*self._hosts.values()]
        self._hosts, self._timers = {}, {}
        return hosts

    def __len__(self) -> int:
        return len(self._hosts)

    async def _start_alone(self, wanted: AppDeployment, continuing: Continuing) -> AppProcess:
        # The runs that others left belong to what is deployed.
        return await self._start(wanted, replace(continuing, after_seconds=_NEVER_SECONDS))

    def _make_room(self) -> None:
        """End a version that nobody asks now, if there are as many as may be."""
        if len(self._hosts) < MAX_ASKED:
            return
        idle = next((key for key, host in self._hosts.items() if not host.is_in_use), None)
        if idle is None:
            raise Unavailable(
                f"{MAX_ASKED} versions of applications are being evaluated. Try again when one has ended.",
                retry_after_seconds=5,
            )
        self._end(idle)

    def _end_later(self, key: Key) -> None:
        if (before := self._timers.pop(key, None)) is not None:
            before.cancel()
        self._timers[key] = asyncio.get_running_loop().call_later(self.idle_seconds, self._end_if_idle, key)

    def _end_if_idle(self, key: Key) -> None:
        if self._hosts[key].is_in_use:
            self._end_later(key)
        else:
            self._end(key)

    def _end(self, key: Key) -> None:
        with suppress(KeyError):
            self._timers.pop(key).cancel()
        self._keep(self._hosts.pop(key).drain())
