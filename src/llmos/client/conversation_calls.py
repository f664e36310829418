"""The calls about conversations: what each sends and how its reply is read."""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlencode

from llmos.client.call import Call, read_nothing, read_one
from llmos.core.schemas.conversations import ConversationDescription, ConversationDetails, ConversationPage

_CONVERSATIONS = "/llmos/v1/conversations"


def begin_conversation(title: str, settings: Mapping[str, Any], user: str) -> Call[ConversationDetails]:
    body = {"title": title, "settings": {**settings}, "user": user}
    return Call(method="POST", path=_CONVERSATIONS, body=body, read=read_one(ConversationDetails))


def list_conversations(words: str, after: str | None, limit: int) -> Call[ConversationPage]:
    given = {"q": words or None, "after": after, "limit": limit}
    query = urlencode({name: value for name, value in given.items() if value is not None})
    return Call(method="GET", path=f"{_CONVERSATIONS}?{query}", read=read_one(ConversationPage))


def get_conversation(id: str) -> Call[ConversationDetails]:
    return Call(method="GET", path=_path(id), read=read_one(ConversationDetails))


def change_conversation(
    id: str, title: str | None, settings: Mapping[str, Any] | None, leaf: int | None
) -> Call[ConversationDescription]:
    given = {"title": title, "settings": settings, "leaf": leaf}
    body = {name: value for name, value in given.items() if value is not None}
    return Call(method="PATCH", path=_path(id), body=body, read=read_one(ConversationDescription))


def add_messages(id: str, messages: Sequence[Mapping[str, Any]], parent: int | None) -> Call[ConversationDescription]:
    body = {"messages": [_new(each) for each in messages], "parent": parent}
    return Call(method="POST", path=f"{_path(id)}/messages", body=body, read=read_one(ConversationDescription))


def remove_conversation(id: str) -> Call[None]:
    return Call(method="DELETE", path=_path(id), read=read_nothing)


def _new(message: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a message as the server takes it: alone, or with what is known of it."""
    return message if "message" in message else {"message": {**message}}


def _path(id: str) -> str:
    return f"{_CONVERSATIONS}/{quote(id, safe='')}"
