"""WebhookRunner: delivers the messages of the outbox, those of one webhook one after another."""

import asyncio

from llmos.core.webhooks.outbox import Outbox
from llmos.core.webhooks.sending import Sender
from llmos.gateway.jobs.receiver_runner import POLL_SECONDS, ReceiverRunner


class WebhookRunner:
    def __init__(self, outbox: Outbox, *, sender: Sender | None = None, poll_seconds: float = POLL_SECONDS) -> None:
        """`sender`: by default a new one."""
        self._outbox, self._given = outbox, sender
        self._runner = ReceiverRunner(
            outbox.webhooks_with_due, self._deliver, what="Messages of webhooks", poll_seconds=poll_seconds
        )

    async def run(self) -> None:
        """Deliver what is due and what comes, until cancelled. What is being sent then is sent again later."""
        async with self._given or Sender() as self._sender:
            self._outbox.on_change = self._runner.notify
            try:
                await self._runner.run()
            finally:
                self._outbox.on_change = None

    async def _deliver(self, webhook_id: str) -> None:
        """Send all messages of a webhook that are due."""
        while (message := await asyncio.to_thread(self._outbox.claim, webhook_id)) is not None:
            await asyncio.to_thread(self._outbox.finish, message, await self._sender.send(message))
