"""Webhooks: programs of yours that are told what happens, and the log of what they were told."""

from datetime import datetime

import msgspec

from llmos.core.schemas.base import Description


class WebhookDescription(Description, frozen=True, kw_only=True):
    name: str = ""
    url: str = ""
    events: list[str] = msgspec.field(default_factory=list)
    """The events that it is told; empty: all."""
    allow_private: bool = False
    """http and private addresses are allowed: the receiver is your own."""
    num_pending: int = 0
    """Messages that aren't delivered yet."""
    old_secret_expires_at: datetime | None = None
    """Until then, messages are also signed with the secret before the last rotation."""
    created_at: datetime | None = None


class NewWebhookDescription(WebhookDescription, frozen=True, kw_only=True):
    secret: str = ""
    """What messages are signed with. It is shown this once."""


class AttemptDescription(Description, frozen=True, kw_only=True):
    number: int = 0
    at: datetime | None = None
    status: int | None = None
    """The receiver's answer; null if there was none."""
    error: str = ""
    seconds: float = 0.0


class DeliveryDescription(Description, frozen=True, kw_only=True):
    """A message to one webhook."""

    id: str = ""
    """The `webhook-id` of every attempt: a receiver that has seen it does nothing."""
    webhook: str = ""
    event: str = ""
    state: str = ""
    """pending, delivered, or failed: given up."""
    created_at: datetime | None = None
    next_attempt_at: datetime | None = None
    ended_at: datetime | None = None
    attempts: list[AttemptDescription] = msgspec.field(default_factory=list)
