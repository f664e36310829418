"""Feedback: what persons think of answers: a rating, a correction, or a vote for one of several."""

from datetime import datetime
from typing import Any, Literal

import msgspec

from llmos.core.schemas.base import Description

FeedbackKind = Literal["rating", "vote"]
Rating = Literal["up", "down", ""]
ExportKind = Literal["preference", "chat"]


class RejectedAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """An answer that a vote went against, or that was as good."""

    answer: str = ""
    """Its id."""
    version: str = ""
    """The version, route or application that gave the answer."""
    text: str = ""


class FeedbackContent(msgspec.Struct, frozen=True, kw_only=True):
    """Feedback with the texts that make it a row of a dataset."""

    messages: list[dict[str, Any]] = msgspec.field(default_factory=list)
    """The conversation before the answer."""
    text: str = ""
    """The answer."""
    version: str = ""
    """The version, route or application that gave the answer."""
    correction: str = ""
    """The text that the answer should have had."""
    comment: str = ""
    rejected: list[RejectedAnswer] = msgspec.field(default_factory=list)
    """The other answers of a vote."""
    is_tie: bool = False
    """A vote for all: they are equally good."""
    is_blind: bool = False
    """A vote of somebody who wasn't told what gave which answer."""


class FeedbackDescription(Description, frozen=True, kw_only=True):
    id: str = ""
    kind: FeedbackKind = "rating"
    answer: str = ""
    """The id of the answer; of a vote, of the best one."""
    rating: Rating = ""
    actor: str = ""
    """The key, or `user:NAME`, that gave it."""
    content: FeedbackContent = FeedbackContent()
    created_at: datetime | None = None
    expires_at: datetime | None = None


class FeedbackPage(Description, frozen=True, kw_only=True):
    data: list[FeedbackDescription] = msgspec.field(default_factory=list)
    """Newest first."""
    next: str | None = None
    """Send it as `after` for the next page; null on the last one."""
