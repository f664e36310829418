"""Sender: one attempt to deliver a message, signed. See core/posting.py for what addresses it goes to."""

from llmos.core.clock import Clock, utc_now
from llmos.core.posting import TIMEOUT_SECONDS, Poster
from llmos.core.webhooks.outbox import Claimed, Outcome
from llmos.core.webhooks.signing import headers_of


class Sender:
    """Belongs to one event loop. `async with` closes its connections."""

    def __init__(self, *, timeout_seconds: float = TIMEOUT_SECONDS, clock: Clock = utc_now) -> None:
        self._clock, self._poster = clock, Poster(timeout_seconds=timeout_seconds, clock=clock)

    async def send(self, message: Claimed) -> Outcome:
        """Return what the receiver answered. Raises nothing."""
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "llmos-webhooks/1",
            **headers_of(message.secrets, message.id, int(self._clock().timestamp()), message.body),
        }
        reply = await self._poster.post(message.url, message.body, headers, allow_private=message.allow_private)
        return Outcome(
            status=reply.status,
            error=reply.error,
            seconds=reply.seconds,
            retry_after_seconds=reply.retry_after_seconds,
        )

    async def close(self) -> None:
        await self._poster.close()

    async def __aenter__(self) -> "Sender":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
