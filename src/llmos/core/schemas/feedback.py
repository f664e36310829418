"""Feedback: a person's rating or correction of an answer, or vote for one of several answers."""

from datetime import datetime
from typing import Any, Literal

import msgspec

from llmos.core.schemas.base import Description

FeedbackKind = Literal["rating", "vote"]
Rating = Literal["up", "down", ""]
ExportKind = Literal["preference", "chat"]


class RejectedAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """An answer that wasn't chosen in a vote, or, in a tie, was equally good."""

    answer: str = ""
    """The id of the answer."""
    version: str = ""
    """The version, route or application that gave the answer."""
    text: str = ""


class FeedbackContent(msgspec.Struct, frozen=True, kw_only=True):
    """Feedback with the texts that make it a row of a dataset."""

    messages: list[dict[str, Any]] = msgspec.field(default_factory=list)
    """The conversation before the answer."""
    text: str = ""
    """The text of the answer."""
    version: str = ""
    """The version, route or application that gave the answer."""
    correction: str = ""
    """The text that the answer should have had."""
    comment: str = ""
    rejected: list[RejectedAnswer] = msgspec.field(default_factory=list)
    """The other answers of a vote."""
    is_tie: bool = False
    """The vote was a tie: all answers are equally good."""
    is_blind: bool = False
    """The voter wasn't told which version gave which answer."""


class FeedbackDescription(Description, frozen=True, kw_only=True):
    id: str = ""
    kind: FeedbackKind = "rating"
    answer: str = ""
    """The id of the answer; in a vote, of the chosen one."""
    rating: Rating = ""
    actor: str = ""
    """The id of the key, or `user:NAME`, that gave the feedback."""
    content: FeedbackContent = FeedbackContent()
    created_at: datetime | None = None
    expires_at: datetime | None = None


class FeedbackPage(Description, frozen=True, kw_only=True):
    data: list[FeedbackDescription] = msgspec.field(default_factory=list)
    """Newest first."""
    next: str | None = None
    """Send it as `after` for the next page; null on the last one."""
