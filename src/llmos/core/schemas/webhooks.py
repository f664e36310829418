"""Webhooks: URLs that are notified of events, and the log of their deliveries."""

from datetime import datetime

import msgspec

from llmos.core.schemas.base import Description


class WebhookDescription(Description, frozen=True, kw_only=True):
    name: str = ""
    url: str = ""
    events: list[str] = msgspec.field(default_factory=list)
    """The events that the webhook receives; empty: all."""
    allow_private: bool = False
    """http and private addresses are allowed: the receiver is your own."""
    num_pending: int = 0
    """The number of messages that aren't delivered yet."""
    old_secret_expires_at: datetime | None = None
    """The time until which messages are also signed with the secret before the last rotation."""
    created_at: datetime | None = None


class NewWebhookDescription(WebhookDescription, frozen=True, kw_only=True):
    secret: str = ""
    """The secret that signs messages. It is shown only once."""


class AttemptDescription(Description, frozen=True, kw_only=True):
    number: int = 0
    at: datetime | None = None
    status: int | None = None
    """The HTTP status of the receiver's answer; null if there was none."""
    error: str = ""
    seconds: float = 0.0


class DeliveryDescription(Description, frozen=True, kw_only=True):
    """A message to one webhook."""

    id: str = ""
    """The `webhook-id` of every attempt. A receiver should ignore a message whose id it has seen."""
    webhook: str = ""
    event: str = ""
    state: str = ""
    """pending, delivered, or failed: given up."""
    created_at: datetime | None = None
    next_attempt_at: datetime | None = None
    ended_at: datetime | None = None
    attempts: list[AttemptDescription] = msgspec.field(default_factory=list)
