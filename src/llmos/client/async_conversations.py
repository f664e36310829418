"""Kept conversations, for asyncio programs: the same calls as in conversations.py, awaited."""

from collections.abc import Mapping
from typing import Any

from llmos.client import conversation_calls as calls
from llmos.client.async_control import AsyncNoun
from llmos.core.schemas.conversations import ConversationDescription, ConversationDetails, ConversationPage


class AsyncConversations(AsyncNoun):
    """Kept conversations with models, each a tree of messages. A key, or a user, has its own alone."""

    async def create(
        self, title: str = "", *, settings: Mapping[str, Any] | None = None, user: str = ""
    ) -> ConversationDetails:
        """Begin a conversation. settings: what you ask with. user: the person whose data it has."""
        return await self._client._request(calls.begin_conversation(title, settings or {}, user))

    async def list(self, words: str = "", *, after: str | None = None, limit: int = 50) -> ConversationPage:
        """Return a page of conversations, the one that was used last first. words: only those that have them all."""
        return await self._client._request(calls.list_conversations(words, after, limit))

    async def get(self, id: str) -> ConversationDetails:
        """Return a conversation with the messages of all its branches."""
        return await self._client._request(calls.get_conversation(id))

    async def add(self, id: str, *messages: Mapping[str, Any], parent: int | None = None) -> ConversationDescription:
        """Add messages behind the one with the index `parent`; None: at the beginning.

        Each is a message of a chat, or {"message": …, "answer": ID, "facts": …} with what is known of it.
        """
        return await self._client._request(calls.add_messages(id, messages, parent))

    async def change(
        self,
        id: str,
        *,
        title: str | None = None,
        settings: Mapping[str, Any] | None = None,
        leaf: int | None = None,
    ) -> ConversationDescription:
        """Rename it, or go to the branch that ends in the message `leaf`."""
        return await self._client._request(calls.change_conversation(id, title, settings, leaf))

    async def remove(self, id: str) -> None:
        """Remove a conversation with all its branches."""
        await self._client._request(calls.remove_conversation(id))
