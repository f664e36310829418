"""Signs checkpoints of the audit log, in the serving process."""

import asyncio
import logging

from llmos.security.audit.checkpoints import Checkpoints

_log = logging.getLogger(__name__)

POLL_SECONDS = 30.0


async def keep_checkpoints(checkpoints: Checkpoints) -> None:
    """Make checkpoints when they are due, until cancelled."""
    while True:
        try:
            await asyncio.to_thread(checkpoints.make_if_due)
        except Exception:  # For example, the disk is full for a while.
            _log.exception("A checkpoint of the audit log can't be made; trying again")
        await asyncio.sleep(POLL_SECONDS)
