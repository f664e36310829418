"""Handoffs: questions that an application handed over to a person."""

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
    """The conversation before the question. Lists are without it."""
    run: str | None = None
    session: str | None = None
    """The session that an answer becomes a turn of."""
    taken_by: str | None = None
    answer: str | None = None
    turn: int | None = None
    """The index of the turn that the answer became; null if the session was gone, or there was none."""
    reason: str = ""
    """The reason that it was closed for."""
    ended_by: str | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None
    ended_at: datetime | None = None
    expires_at: datetime | None = None
