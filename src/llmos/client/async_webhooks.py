"""The webhooks of a project, for asyncio programs: the same calls as in webhooks.py, awaited."""

import builtins
from collections.abc import Sequence

from llmos.client import webhook_calls as calls
from llmos.client.async_control import AsyncNoun
from llmos.core.schemas.webhooks import DeliveryDescription, NewWebhookDescription, WebhookDescription


class AsyncWebhooks(AsyncNoun):
    """Programs elsewhere that are told what happens in the project."""

    async def add(
        self, name: str, url: str, *, events: Sequence[str] = (), allow_private: bool = False
    ) -> NewWebhookDescription:
        """Add a webhook. `.secret`, which messages are signed with, is in no other answer.

        events: those that it is told; by default all. allow_private: http and private addresses are allowed.
        """
        return await self._client._request(calls.add_webhook(name, url, events, allow_private))

    async def list(self) -> builtins.list[WebhookDescription]:
        return await self._client._request(calls.list_webhooks())

    async def get(self, name: str) -> WebhookDescription:
        return await self._client._request(calls.get_webhook(name))

    async def test(self, name: str) -> DeliveryDescription:
        """Send a test message once, and return what the receiver answered."""
        return await self._client._request(calls.test_webhook(name))

    async def rotate(self, name: str, *, overlap_hours: float = 24) -> NewWebhookDescription:
        """Replace the secret. For the overlap, messages are signed with both."""
        return await self._client._request(calls.rotate_webhook(name, overlap_hours))

    async def deliveries(
        self, name: str | None = None, *, state: str | None = None, after: str | None = None, limit: int = 100
    ) -> builtins.list[DeliveryDescription]:
        """Return the messages of one webhook, or of all, newest first. `state`: pending, delivered or failed."""
        return await self._client._request(calls.list_deliveries(name, state, after, limit))

    async def remove(self, name: str) -> None:
        """Remove a webhook with its messages, delivered or not."""
        await self._client._request(calls.remove_webhook(name))
