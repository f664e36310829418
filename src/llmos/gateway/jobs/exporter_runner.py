"""ExporterRunner: sends the entries of the ledger to the receivers of exporters."""

import asyncio

from llmos.billing.exporters.batches import ExportBatches
from llmos.core.posting import Poster
from llmos.gateway.jobs.receiver_runner import POLL_SECONDS, ReceiverRunner


class ExporterRunner:
    def __init__(
        self, batches: ExportBatches, *, poster: Poster | None = None, poll_seconds: float = POLL_SECONDS
    ) -> None:
        """`poster`: by default a new one."""
        self._batches, self._given = batches, poster
        self._runner = ReceiverRunner(
            batches.due, self._deliver, what="Entries of exporters", poll_seconds=poll_seconds
        )

    async def run(self) -> None:
        """Deliver what is due and what comes, until cancelled. What is being sent then is sent again later."""
        async with self._given or Poster() as self._poster:
            await self._runner.run()

    async def _deliver(self, exporter_id: str) -> None:
        """Send all entries that the receiver hasn't got."""
        while (claim := await asyncio.to_thread(self._batches.claim, exporter_id)) is not None:
            delivery = await claim.channel.deliver(self._poster, claim.lines)
            await asyncio.to_thread(self._batches.finish, claim, delivery)
