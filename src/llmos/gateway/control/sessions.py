"""/llmos/v1/sessions: the conversations of applications, in whole turns."""

import asyncio
from functools import partial
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Request, Response
from msgspec import Meta

from llmos.core.schemas.sessions import AppSessionDescription, TurnDescription
from llmos.data.apps.sessions import AppSessions, Window
from llmos.gateway.erasing import MAX_SUBJECT_LENGTH
from llmos.gateway.http import openapi
from llmos.gateway.http.permissions import requires
from llmos.gateway.http.replies import caller_of, json_response
from llmos.gateway.http.requests import RequestObject, parse_body, parse_query
from llmos.gateway.services import services_of
from llmos.security.permissions import Permission

router = APIRouter(prefix="/llmos/v1/sessions", tags=["sessions"])

_INDEX = Meta(ge=0, le=2**31 - 1)


class AppSessionDescriptions(msgspec.Struct):
    data: list[AppSessionDescription]


class TurnDescriptions(msgspec.Struct):
    data: list[TurnDescription]


class NewSession(RequestObject, kw_only=True):
    app: str
    """The name of the application."""
    name: Annotated[str, Meta(min_length=1, max_length=256)]
    """The name that the application gives the session, such as the id of its user."""
    user: Annotated[str, Meta(max_length=MAX_SUBJECT_LENGTH)] = ""
    """The person whose data the session has. An erasure of this person removes the session."""


class SessionsQuery(RequestObject, kw_only=True):
    app: str | None = None
    after: str | None = None
    """The id of a session: only older ones."""
    limit: Annotated[int, Meta(ge=1, le=1000)] = 100


class TurnsQuery(RequestObject, kw_only=True):
    first: Annotated[int, _INDEX] = 0
    """The first turn."""
    before: Annotated[int, _INDEX] | None = None
    """Only turns before this one."""
    limit: Annotated[int, Meta(ge=1, le=1000)] = 100


class NewTurn(RequestObject, kw_only=True):
    messages: list[dict[str, Any]]
    """A message of the role user, and all that follow until an answer without calls."""


class SessionWindow(RequestObject, kw_only=True):
    first_turn: Annotated[int, _INDEX]
    """The first turn that prompts still have."""
    summary: str | None = None
    """The summary of the turns before it."""


def sessions_of(request: Request) -> AppSessions:
    return services_of(request).data.app_sessions


@router.post(
    "",
    summary="Open a session",
    openapi_extra=openapi.body(NewSession, {"app": "support", "name": "u42"}),
    responses=openapi.answers(AppSessionDescription),
)
@requires(Permission.APPS_RUN)
async def open_session(request: Request) -> Response:
    """The application's session with this name, which is created if there is none."""
    body = await parse_body(request, NewSession)
    open = partial(sessions_of(request).open, caller_of(request).project, body.app, body.name, user=body.user)
    return json_response(await asyncio.to_thread(open))


@router.get(
    "",
    summary="List the sessions",
    openapi_extra=openapi.query(SessionsQuery),
    responses=openapi.answers(AppSessionDescriptions),
)
@requires(Permission.APPS_READ)
async def list_sessions(request: Request) -> Response:
    """Newest first. `?after=ID` continues a list."""
    query = parse_query(request, SessionsQuery)
    listed = partial(sessions_of(request).list, app=query.app, after=query.after, limit=query.limit)
    return json_response(AppSessionDescriptions(await asyncio.to_thread(listed, caller_of(request).project)))


@router.get("/{session}", summary="Describe a session", responses=openapi.answers(AppSessionDescription))
@requires(Permission.APPS_READ)
async def describe_session(request: Request, session: str) -> Response:
    return json_response(await asyncio.to_thread(sessions_of(request).get, caller_of(request).project, session))


@router.delete("/{session}", summary="Remove a session", status_code=204, responses={204: {"description": "Removed"}})
@requires(Permission.APPS_WRITE, "session.remove")
async def remove_session(request: Request, session: str) -> Response:
    """Its turns and runs go with it."""
    await asyncio.to_thread(sessions_of(request).remove, caller_of(request).project, session)
    return Response(status_code=204)


@router.get(
    "/{session}/turns",
    summary="Read the turns of a session",
    openapi_extra=openapi.query(TurnsQuery),
    responses=openapi.answers(TurnDescriptions),
)
@requires(Permission.APPS_READ)
async def get_turns(request: Request, session: str) -> Response:
    """The newest ones up to `limit`, oldest first. `?before=INDEX` continues with older ones."""
    query = parse_query(request, TurnsQuery)
    read = partial(sessions_of(request).turns, first=query.first, before=query.before, limit=query.limit)
    return json_response(TurnDescriptions([*await asyncio.to_thread(read, caller_of(request).project, session)]))


@router.post(
    "/{session}/turns",
    summary="Append a turn to a session",
    openapi_extra=openapi.body(
        NewTurn, {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}]}
    ),
    responses=openapi.answers(AppSessionDescription),
)
@requires(Permission.APPS_RUN)
async def append_turn(request: Request, session: str) -> Response:
    """Whole turns only: 400 for calls without their results, and for a turn without an answer. A run appends its turn
    itself."""
    body = await parse_body(request, NewTurn)
    append = partial(sessions_of(request).append, caller_of(request).project, session, body.messages)
    return json_response(await asyncio.to_thread(append))


@router.put(
    "/{session}/window",
    summary="Let prompts begin with a later turn",
    openapi_extra=openapi.body(SessionWindow, {"first_turn": 8, "summary": "The customer waits for AB123456."}),
    responses=openapi.answers(AppSessionDescription),
)
@requires(Permission.APPS_RUN)
async def set_window(request: Request, session: str) -> Response:
    """The turns before `first_turn` stay, and can be read."""
    body = await parse_body(request, SessionWindow)
    window = Window(first_turn=body.first_turn, summary=body.summary)
    change = partial(sessions_of(request).set_window, caller_of(request).project, session, window)
    return json_response(await asyncio.to_thread(change))
