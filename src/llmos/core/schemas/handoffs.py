"""Handoffs: questions that an application passed to a person."""

from datetime import datetime
from typing import Any

import msgspec

from llmos.core.schemas.base import Description

OPEN_STATES = ("open", "taken")


class HandoffDescription(Description, frozen=True, kw_only=True):
    id: str = ""
    app: str = ""
    state: str = ""
    """open, taken, answered or closed."""
    question: str = ""
    messages: list[dict[str, Any]] = msgspec.field(default_factory=list)
    """The conversation before the question; empty in lists of handoffs."""
    run: str | None = None
    session: str | None = None
    """The id of the session to which the answer is added as a turn."""
    taken_by: str | None = None
    answer: str | None = None
    turn: int | None = None
    """The index of the turn that the answer became; null if there was no session, or it was deleted."""
    reason: str = ""
    """The reason that it was closed."""
    ended_by: str | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None
    ended_at: datetime | None = None
    expires_at: datetime | None = None
