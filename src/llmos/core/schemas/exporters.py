"""Exporters: services that are sent the entries of the ledger as events, and how far they are."""

from datetime import datetime
from typing import Any, TypedDict

import msgspec

from llmos.core.schemas.base import Description


class RefusedEntry(Description, frozen=True, kw_only=True):
    """An entry of the ledger that the receiver refused."""

    entry: str = ""
    """CALL_ID/LINE."""
    at: datetime | None = None
    """The time of the entry."""
    reason: str = ""
    """The reason that the receiver gave."""
    refused_at: datetime | None = None
    is_waiting: bool = False
    """It is sent again."""


class ExporterDescription(Description, frozen=True, kw_only=True):
    name: str = ""
    kind: str = ""
    """openmeter, lago or cloudevents."""
    url: str = ""
    has_key: bool = False
    subject: str = ""
    """The owner of an event's usage: that of a project, a key or a user."""
    type: str = ""
    """The type of the events; of Lago, the beginning of the codes."""
    source: str = ""
    """The source of the events, for receivers of several installations."""
    allow_private: bool = False
    """http and private addresses are allowed: the receiver is your own."""
    state: str = ""
    """running, waiting (for another attempt, after a failure) or paused."""
    num_delivered: int = 0
    """Entries that the receiver has taken."""
    num_pending: int = 0
    """Entries that it hasn't been sent; at most 100,000 are counted."""
    num_refused: int = 0
    """Entries that it refused."""
    oldest_pending_at: datetime | None = None
    delivered_at: datetime | None = None
    """The time of the last delivery."""
    error: str = ""
    """Why the last attempt failed."""
    next_attempt_at: datetime | None = None
    """After a failure."""
    created_at: datetime | None = None


class ExporterDetails(ExporterDescription, frozen=True, kw_only=True):
    refused: list[RefusedEntry] = msgspec.field(default_factory=list)
    """The first hundred."""


class ExporterTest(Description, frozen=True, kw_only=True):
    """The receiver's answer to an event that counts nothing."""

    is_accepted: bool = False
    status: int | None = None
    """Null if there was no answer."""
    error: str = ""
    seconds: float = 0.0
    event: dict[str, Any] = msgspec.field(default_factory=dict)
    """The event that was sent."""


class ExporterFields(TypedDict, total=False):
    """The settings of an exporter besides name, kind and URL."""

    key: str | None
    """The receiver's API key."""
    subject: str
    """project (the default), key or user."""
    type: str
    source: str
    start: datetime | None
    """Entries from this time on; by default those from now on."""
    allow_private: bool
