"""/llmos/v1/conversations: what the caller and models said to each other. A key, or a user, sees its own alone."""

import asyncio
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from msgspec import Meta, field

from llmos.core.schemas.conversations import ConversationDescription, ConversationDetails, ConversationPage
from llmos.data.conversations.conversations import MAX_TITLE_LENGTH, Conversations, NewMessage, Person
from llmos.gateway.erasing import MAX_SUBJECT_LENGTH
from llmos.gateway.http import openapi
from llmos.gateway.http.permissions import requires
from llmos.gateway.http.replies import caller_of, json_response
from llmos.gateway.http.requests import RequestObject, parse_body, parse_query
from llmos.gateway.services import services_of
from llmos.security.permissions import Permission

router = APIRouter(prefix="/llmos/v1/conversations", tags=["conversations"])

Title = Annotated[str, Meta(max_length=MAX_TITLE_LENGTH)]
Index = Annotated[int, Meta(ge=0, le=2**31 - 1)]


class NewConversation(RequestObject, kw_only=True):
    title: Title = ""
    settings: dict[str, Any] = field(default_factory=dict)
    """The model, the system prompt and whatever else you ask with, to find it again."""
    user: Annotated[str, Meta(max_length=MAX_SUBJECT_LENGTH)] = ""
    """The person whose data it has: an erasure of the person removes it. By default the user who has signed in."""


class ConversationsQuery(RequestObject, kw_only=True):
    q: Annotated[str, Meta(max_length=500)] = ""
    """Words that all occur in the title or in the messages."""
    after: Annotated[str, Meta(max_length=64)] | None = None
    """`next` of the page before."""
    limit: Annotated[int, Meta(ge=1, le=200)] = 50


class NewConversationMessage(RequestObject, kw_only=True):
    message: dict[str, Any]
    """As /v1/chat/completions takes it; its role is user, assistant or tool."""
    answer: Annotated[str, Meta(max_length=128)] = ""
    """The id of the answer, where a model wrote it."""
    facts: dict[str, Any] = field(default_factory=dict)
    """Facts about it, such as seconds and tokens."""


class NewMessages(RequestObject, kw_only=True):
    messages: Annotated[list[NewConversationMessage], Meta(min_length=1, max_length=100)]
    """Each follows the one before."""
    parent: Index | None = None
    """The index of the message that the first one follows; null: it begins the conversation."""


class ConversationChange(RequestObject, kw_only=True):
    title: Title | None = None
    settings: dict[str, Any] | None = None
    leaf: Index | None = None
    """The last message of the branch to go on with."""


def conversations_of(request: Request) -> Conversations:
    return services_of(request).data.conversations


def person_of(request: Request, user: str = "") -> Person:
    """Return whose conversations the caller has. `user`: the person that the request names."""
    caller = caller_of(request)
    return Person(project=caller.project, actor=caller.key_id, user=user or caller.user)


@router.post(
    "",
    summary="Begin a conversation",
    openapi_extra=openapi.body(NewConversation, {"title": "Colors", "settings": {"model": "smollm2"}}),
    responses=openapi.answers(ConversationDetails),
)
@requires(Permission.CONVERSATIONS_USE)
async def begin_conversation(request: Request) -> Response:
    """409 if the project keeps nothing."""
    body = await parse_body(request, NewConversation)
    begin = partial(conversations_of(request).create, person_of(request, body.user), body.title, body.settings)
    return json_response(await asyncio.to_thread(begin))


@router.get(
    "",
    summary="List and search conversations",
    openapi_extra=openapi.query(ConversationsQuery),
    responses=openapi.answers(ConversationPage),
)
@requires(Permission.CONVERSATIONS_USE)
async def list_conversations(request: Request) -> Response:
    """The one that was used last comes first. `?q=WORDS` finds those with all these words."""
    query = parse_query(request, ConversationsQuery)
    listed = partial(
        conversations_of(request).list, person_of(request), query=query.q, after=query.after, limit=query.limit
    )
    return json_response(await asyncio.to_thread(listed))


@router.get("/{conversation}", summary="Read a conversation", responses=openapi.answers(ConversationDetails))
@requires(Permission.CONVERSATIONS_USE)
async def get_conversation(request: Request, conversation: str) -> Response:
    """With the messages of all branches."""
    get = partial(conversations_of(request).get, person_of(request), conversation)
    return json_response(await asyncio.to_thread(get))


@router.patch(
    "/{conversation}",
    summary="Rename a conversation, or go to another branch",
    openapi_extra=openapi.body(ConversationChange, {"title": "Warm colors"}),
    responses=openapi.answers(ConversationDescription),
)
@requires(Permission.CONVERSATIONS_USE)
async def change_conversation(request: Request, conversation: str) -> Response:
    body = await parse_body(request, ConversationChange)
    change = partial(
        conversations_of(request).change,
        person_of(request),
        conversation,
        title=body.title,
        settings=body.settings,
        leaf=body.leaf,
    )
    return json_response(await asyncio.to_thread(change))


@router.post(
    "/{conversation}/messages",
    summary="Add messages to a conversation",
    openapi_extra=openapi.body(NewMessages, {"messages": [{"message": {"role": "user", "content": "Hi"}}]}),
    responses=openapi.answers(ConversationDescription),
)
@requires(Permission.CONVERSATIONS_USE)
async def add_messages(request: Request, conversation: str) -> Response:
    """A second message with the same parent begins a branch. `leaf` of the answer is the index of the last one."""
    body = await parse_body(request, NewMessages)
    new = [NewMessage(message=each.message, answer=each.answer, facts=each.facts) for each in body.messages]
    append = partial(conversations_of(request).append, person_of(request), conversation, new, parent=body.parent)
    return json_response(await asyncio.to_thread(append))


@router.delete(
    "/{conversation}",
    summary="Remove a conversation",
    status_code=204,
    responses={204: {"description": "Removed"}},
)
@requires(Permission.CONVERSATIONS_USE, "conversation.remove")
async def remove_conversation(request: Request, conversation: str) -> Response:
    """With all of its branches."""
    remove = partial(conversations_of(request).remove, person_of(request), conversation)
    await asyncio.to_thread(remove)
    return Response(status_code=204)
