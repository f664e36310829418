"""The webhooks of a project: programs elsewhere that are told what happens."""

import builtins
from collections.abc import Sequence

from llmos.client import webhook_calls as calls
from llmos.client.control import Noun
from llmos.core.schemas.webhooks import DeliveryDescription, NewWebhookDescription, WebhookDescription


class Webhooks(Noun):
    """Programs elsewhere that are told what happens in the project."""

    def add(
        self, name: str, url: str, *, events: Sequence[str] = (), allow_private: bool = False
    ) -> NewWebhookDescription:
        """Add a webhook. `.secret`, which messages are signed with, is in no other answer.

        events: those that it is told; by default all. allow_private: http and private addresses are allowed.
        """
        return self._client._request(calls.add_webhook(name, url, events, allow_private))

    def list(self) -> builtins.list[WebhookDescription]:
        return self._client._request(calls.list_webhooks())

    def get(self, name: str) -> WebhookDescription:
        return self._client._request(calls.get_webhook(name))

    def test(self, name: str) -> DeliveryDescription:
        """Send a test message once, and return what the receiver answered."""
        return self._client._request(calls.test_webhook(name))

    def rotate(self, name: str, *, overlap_hours: float = 24) -> NewWebhookDescription:
        """Replace the secret. For the overlap, messages are signed with both."""
        return self._client._request(calls.rotate_webhook(name, overlap_hours))

    def deliveries(
        self, name: str | None = None, *, state: str | None = None, after: str | None = None, limit: int = 100
    ) -> builtins.list[DeliveryDescription]:
        """Return the messages of one webhook, or of all, newest first. `state`: pending, delivered or failed."""
        return self._client._request(calls.list_deliveries(name, state, after, limit))

    def remove(self, name: str) -> None:
        """Remove a webhook with its messages, delivered or not."""
        self._client._request(calls.remove_webhook(name))
