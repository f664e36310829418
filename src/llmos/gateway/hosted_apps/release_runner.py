"""Runs releases of applications, in the serving process: waits for the new version's process, and judges its runs.

Decisions are in the database, so the next server continues where a killed one stopped. Several servers on one database
may all judge: the first whose gate holds advances, the first whose gate fails rolls back.
"""

import asyncio
import logging

from llmos.core.clock import Clock, utc_now
from llmos.core.names import APP_PREFIX
from llmos.core.schemas.routes import TargetEvidence
from llmos.deployments.releases.evidence import evidence_key, evidence_target
from llmos.deployments.releases.release import Release
from llmos.deployments.releases.releases import AppReleases
from llmos.deployments.rollouts.decision import carry_out, decide, has_enough
from llmos.deployments.rollouts.evidence import Evidence
from llmos.deployments.rollouts.gates import Judgement, metrics_of
from llmos.gateway.hosted_apps.supervisor import AppSupervisor

_log = logging.getLogger(__name__)

POLL_SECONDS = 1.0
_ANSWERS = Judgement("holds", "its process answers")


class ReleaseRunner:
    def __init__(
        self, releases: AppReleases, supervisor: AppSupervisor, evidence: Evidence, *, clock: Clock = utc_now
    ) -> None:
        self._releases, self._supervisor, self._evidence, self._clock = releases, supervisor, evidence, clock
        self._idle_state: int | None = None
        """The state of the database in which no release was taking over."""

    async def run(self) -> None:
        """Judge releases until cancelled."""
        while True:
            try:
                await self.run_once()
            except Exception:  # Such as a database that is gone for a moment.
                _log.exception("The releases of apps can't be judged; trying again")
            await asyncio.sleep(POLL_SECONDS)

    async def run_once(self) -> None:
        """Look at every release that is taking over, and take the next step of those that may."""
        state = self._releases.state()
        if state is not None and state == self._idle_state:
            return
        found = await asyncio.to_thread(self._releases.taking_over)
        self._idle_state = None if found else state
        for release in found:
            if await asyncio.to_thread(self._releases.end_taken_over, release):
                continue
            if release.state == "starting":
                await self._start(release)
            else:
                await self._judge(release)

    async def _start(self, release: Release) -> None:
        """Take the first step when the process answers; roll back when it doesn't start."""
        host = self._supervisor.candidate(release.project, release.app)
        if host is None or host.wanted.ref != release.ref or host.state == "starting":
            return
        if host.state == "failed":
            await asyncio.to_thread(self._releases.roll_back, release, host.reason or "its process doesn't start")
            return
        before = self._window(release, release.ref_before, whole=True)
        # If the first step leaves no callers to the version before, its earlier runs are compared with.
        baseline = metrics_of(before) if has_enough(before, release) else None
        await asyncio.to_thread(self._releases.advance, release, _ANSWERS, baseline)

    async def _judge(self, release: Release) -> None:
        window, before = (self._window(release, ref) for ref in (release.ref, release.ref_before))
        decision = decide(release, window, before, self._clock())
        await asyncio.to_thread(carry_out, decision, release, self._releases)

    def _window(self, release: Release, ref: str | None, *, whole: bool = False) -> TargetEvidence:
        """Return the outcomes of a version's runs since the step began; `whole`: of all that are kept."""
        key = evidence_key(release.project, f"{APP_PREFIX}{release.app}")
        since = None if whole else release.step_began_at
        return self._evidence.window(key, evidence_target(ref or ""), since)
