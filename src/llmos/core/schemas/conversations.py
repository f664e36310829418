"""Conversations: what a person and a model said to each other, as a tree: an edited message begins a branch.

0 user        Name three colors.
1 assistant   Red, green and blue.          parent 0
2 assistant   Cyan, magenta and yellow.     parent 0: the answer was asked for again
3 user        Which of them is warm?        parent 2
"""

from datetime import datetime
from typing import Any

import msgspec

from llmos.core.schemas.base import Description


class ConversationMessage(Description, frozen=True, kw_only=True):
    """A message of a conversation."""

    index: int = 0
    parent: int | None = None
    """The message that it follows; null for a first one."""
    message: dict[str, Any] = msgspec.field(default_factory=dict)
    """As /v1/chat/completions takes it: role, content, tool_calls or tool_call_id."""
    answer: str = ""
    """The id of the answer, where a model wrote it."""
    facts: dict[str, Any] = msgspec.field(default_factory=dict)
    """Whatever the program that keeps the conversation knows of the message, such as seconds and tokens."""
    created_at: datetime | None = None


class ConversationDescription(Description, frozen=True, kw_only=True):
    """A conversation, as lists have it."""

    id: str = ""
    title: str = ""
    num_messages: int = 0
    """In all branches."""
    leaf: int | None = None
    """The last message of the branch that was used last; null without messages."""
    excerpt: str = ""
    """The place at which a search has found it."""
    created_at: datetime | None = None
    updated_at: datetime | None = None
    expires_at: datetime | None = None


class ConversationDetails(ConversationDescription, frozen=True, kw_only=True):
    """A conversation with all of its messages."""

    settings: dict[str, Any] = msgspec.field(default_factory=dict)
    """The model, the system prompt and whatever else the program that keeps it asks with."""
    messages: list[ConversationMessage] = msgspec.field(default_factory=list)


class ConversationPage(Description, frozen=True, kw_only=True):
    data: list[ConversationDescription] = msgspec.field(default_factory=list)
    """The one that was used last comes first."""
    next: str | None = None
    """Send it as `after` for the next page; null on the last one. A search reads a limited amount of text at a time, so
    that a page of it may have fewer conversations than asked for, or none, and a next one."""
