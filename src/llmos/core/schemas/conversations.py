"""Conversations of a person and a model. A conversation is a tree of messages: an edited message begins a branch.

0 user        Name three colors.
1 assistant   Red, green and blue.          parent 0
2 assistant   Cyan, magenta and yellow.     parent 0: answered again
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
    """The index of the message that it follows; null for a first message."""
    message: dict[str, Any] = msgspec.field(default_factory=dict)
    """The message in the format of /v1/chat/completions: role, content, tool_calls or tool_call_id."""
    answer: str = ""
    """The id of the answer, if a model wrote the message."""
    facts: dict[str, Any] = msgspec.field(default_factory=dict)
    """Further facts that the client program stores with the message, such as seconds and tokens."""
    created_at: datetime | None = None


class ConversationDescription(Description, frozen=True, kw_only=True):
    """A conversation, with the fields that lists of conversations contain."""

    id: str = ""
    title: str = ""
    num_messages: int = 0
    """The number of messages in all branches."""
    leaf: int | None = None
    """The index of the last message of the branch that was used last; null without messages."""
    excerpt: str = ""
    """In results of a search: the text around the first word that was found."""
    created_at: datetime | None = None
    updated_at: datetime | None = None
    expires_at: datetime | None = None


class ConversationDetails(ConversationDescription, frozen=True, kw_only=True):
    """A conversation with all of its messages."""

    settings: dict[str, Any] = msgspec.field(default_factory=dict)
    """The model, the system prompt and further settings that the client program uses for its requests."""
    messages: list[ConversationMessage] = msgspec.field(default_factory=list)


class ConversationPage(Description, frozen=True, kw_only=True):
    data: list[ConversationDescription] = msgspec.field(default_factory=list)
    """The most recently used conversation first."""
    next: str | None = None
    """Send it as `after` for the next page; null on the last one. A search reads a limited amount of text at a time, so
    that a page of results may have fewer conversations than asked for, or none, although `next` isn't null."""
