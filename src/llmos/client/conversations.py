"""Kept conversations."""

from collections.abc import Mapping
from typing import Any

from llmos.client import conversation_calls as calls
from llmos.client.control import Noun
from llmos.core.schemas.conversations import ConversationDescription, ConversationDetails, ConversationPage


class Conversations(Noun):
    """Kept conversations with models, each a tree of messages. A key, or a user, has its own alone."""

    def create(
        self, title: str = "", *, settings: Mapping[str, Any] | None = None, user: str = ""
    ) -> ConversationDetails:
        """Begin a conversation. settings: what you ask with. user: the person whose data it has."""
        return self._client._request(calls.begin_conversation(title, settings or {}, user))

    def list(self, words: str = "", *, after: str | None = None, limit: int = 50) -> ConversationPage:
        """Return a page of conversations, the one that was used last first. words: only those that have them all."""
        return self._client._request(calls.list_conversations(words, after, limit))

    def get(self, id: str) -> ConversationDetails:
        """Return a conversation with the messages of all its branches."""
        return self._client._request(calls.get_conversation(id))

    def add(self, id: str, *messages: Mapping[str, Any], parent: int | None = None) -> ConversationDescription:
        """Add messages behind the one with the index `parent`; None: at the beginning.

        Each is a message of a chat, or {"message": …, "answer": ID, "facts": …} with what is known of it.
        """
        return self._client._request(calls.add_messages(id, messages, parent))

    def change(
        self,
        id: str,
        *,
        title: str | None = None,
        settings: Mapping[str, Any] | None = None,
        leaf: int | None = None,
    ) -> ConversationDescription:
        """Rename it, or go to the branch that ends in the message `leaf`."""
        return self._client._request(calls.change_conversation(id, title, settings, leaf))

    def remove(self, id: str) -> None:
        """Remove a conversation with all its branches."""
        self._client._request(calls.remove_conversation(id))
