"""Exporters: metering services that receive the entries of the ledger as events, and the progress of each."""

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
    """It will be sent again."""


class ExporterDescription(Description, frozen=True, kw_only=True):
    name: str = ""
    kind: str = ""
    """openmeter, lago or cloudevents."""
    url: str = ""
    has_key: bool = False
    subject: str = ""
    """The subject of events: project, key or user."""
    type: str = ""
    """The type of the events; for Lago, the prefix of the metric codes."""
    source: str = ""
    """The source of the events, which tells installations apart that share a receiver."""
    allow_private: bool = False
    """http and private addresses are allowed: the receiver is your own."""
    state: str = ""
    """running, waiting (for another attempt, after a failure) or paused."""
    num_delivered: int = 0
    """The number of entries that the receiver accepted."""
    num_pending: int = 0
    """The number of entries that haven't been sent yet; at most 100,000 are counted."""
    num_refused: int = 0
    """The number of entries that the receiver refused."""
    oldest_pending_at: datetime | None = None
    delivered_at: datetime | None = None
    """The time of the last delivery."""
    error: str = ""
    """The reason that the last attempt failed."""
    next_attempt_at: datetime | None = None
    """The time of the next attempt after a failure."""
    created_at: datetime | None = None


class ExporterDetails(ExporterDescription, frozen=True, kw_only=True):
    refused: list[RefusedEntry] = msgspec.field(default_factory=list)
    """The first hundred refused entries."""


class ExporterTest(Description, frozen=True, kw_only=True):
    """The receiver's answer to a test event, which carries no usage."""

    is_accepted: bool = False
    status: int | None = None
    """The HTTP status; null if there was no answer."""
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
    """The time from which entries are exported; by default now."""
    allow_private: bool
