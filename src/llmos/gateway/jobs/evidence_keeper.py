"""Keeps the evidence of calls in the database, in the serving process; see deployments/rollouts/kept_evidence.py."""

import asyncio
import logging

from llmos.deployments.rollouts.kept_evidence import KeptEvidence

_log = logging.getLogger(__name__)

SYNC_SECONDS = 1.0
"""The evidence of so many seconds is lost if a server is killed."""


class EvidenceKeeper:
    def __init__(self, kept: KeptEvidence) -> None:
        self._kept = kept

    async def run(self) -> None:
        """Keep the evidence, until cancelled."""
        while True:
            await self.sync()
            await asyncio.sleep(SYNC_SECONDS)

    async def sync(self) -> None:
        """Keep the evidence as it is now. Called once more after the last call has ended."""
        try:
            await asyncio.to_thread(self._kept.sync)
        except Exception:  # For example, the database is unavailable for a while.
            _log.exception("The evidence of calls can't be kept; trying again")
