"""/llmos/v1/handoffs: questions that applications handed over to a person."""

import asyncio
from functools import partial
from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Request, Response
from msgspec import Meta

from llmos.core.schemas.handoffs import HandoffDescription
from llmos.data.apps.handoffs import MAX_ANSWER, Handoffs, NewHandoff
from llmos.gateway.erasing import MAX_SUBJECT_LENGTH
from llmos.gateway.http import openapi
from llmos.gateway.http.permissions import requires
from llmos.gateway.http.replies import caller_of, json_response
from llmos.gateway.http.requests import RequestObject, parse_body, parse_query
from llmos.gateway.services import services_of
from llmos.security.permissions import Permission

router = APIRouter(prefix="/llmos/v1/handoffs", tags=["handoffs"])


class HandoffDescriptions(msgspec.Struct):
    data: list[HandoffDescription]


class HandoffRequest(RequestObject, kw_only=True):
    app: str
    key: Annotated[str, Meta(pattern=r"^[!-~]{1,128}$")]
    """Chosen by the application: a request that is sent twice makes one handoff."""
    question: Annotated[str, Meta(min_length=1)]
    messages: list[dict[str, Any]] = msgspec.field(default_factory=list)
    """The conversation before the question."""
    run: str | None = None
    session: str | None = None
    """The id of a session, which the answer becomes a turn of."""
    user: Annotated[str, Meta(max_length=MAX_SUBJECT_LENGTH)] = ""
    """The person whose data it has, besides those of its run and its session."""
    webhook: Annotated[str, Meta(min_length=1, max_length=2048)] | None = None
    """The name or the URL of a webhook that is told it, besides those that are told every handoff."""


class HandoffsQuery(RequestObject, kw_only=True):
    app: str | None = None
    state: Literal["open", "taken", "answered", "closed"] | None = None
    after: str | None = None
    """The id of a handoff: only older ones."""
    limit: Annotated[int, Meta(ge=1, le=1000)] = 100


class HandoffAnswer(RequestObject, kw_only=True):
    text: Annotated[str, Meta(min_length=1, max_length=MAX_ANSWER, pattern=r"\S")]


class HandoffClosing(RequestObject, kw_only=True):
    reason: Annotated[str, Meta(max_length=2000)] = ""


def handoffs_of(request: Request) -> Handoffs:
    return services_of(request).data.handoffs


@router.post(
    "",
    summary="Hand a question over to a person",
    openapi_extra=openapi.body(HandoffRequest, {"app": "support", "key": "run-1", "question": "Do you repair it?"}),
    responses=openapi.answers(HandoffDescription),
)
@requires(Permission.APPS_RUN)
async def create_handoff(request: Request) -> Response:
    """Once for each key: the same request again returns the same handoff."""
    body, caller = await parse_body(request, HandoffRequest), caller_of(request)
    new = NewHandoff(
        app=body.app,
        key=body.key,
        question=body.question,
        messages=body.messages,
        run_id=body.run,
        session_id=body.session,
        user=body.user,
        webhook=body.webhook,
    )
    return json_response(await asyncio.to_thread(handoffs_of(request).create, caller.project, new))


@router.get(
    "",
    summary="List the handoffs",
    openapi_extra=openapi.query(HandoffsQuery),
    responses=openapi.answers(HandoffDescriptions),
)
@requires(Permission.APPS_READ)
async def list_handoffs(request: Request) -> Response:
    """Newest first, without their conversations. `?after=ID` continues a list."""
    query = parse_query(request, HandoffsQuery)
    listed = partial(
        handoffs_of(request).list,
        caller_of(request).project,
        app=query.app,
        state=query.state,
        after=query.after,
        limit=query.limit,
    )
    return json_response(HandoffDescriptions(await asyncio.to_thread(listed)))


@router.get("/{handoff}", summary="Describe a handoff", responses=openapi.answers(HandoffDescription))
@requires(Permission.APPS_READ)
async def get_handoff(request: Request, handoff: str) -> Response:
    return json_response(await asyncio.to_thread(handoffs_of(request).get, caller_of(request).project, handoff))


@router.post("/{handoff}/take", summary="Take a handoff", responses=openapi.answers(HandoffDescription))
@requires(Permission.APPS_WRITE, "handoff.take")
async def take_handoff(request: Request, handoff: str) -> Response:
    """Says who looks after it. 409 if somebody else does."""
    caller = caller_of(request)
    take = partial(handoffs_of(request).take, caller.project, handoff, actor=caller.actor)
    return json_response(await asyncio.to_thread(take))


@router.post(
    "/{handoff}/answer",
    summary="Answer a handoff",
    openapi_extra=openapi.body(HandoffAnswer, {"text": "Yes, within two weeks."}),
    responses=openapi.answers(HandoffDescription),
)
@requires(Permission.APPS_WRITE, "handoff.answer")
async def answer_handoff(request: Request, handoff: str) -> Response:
    """The question and the answer become a turn of the session. 409 while a run is in it."""
    body, caller = await parse_body(request, HandoffAnswer), caller_of(request)
    answer = partial(handoffs_of(request).answer, caller.project, handoff, body.text, actor=caller.actor)
    return json_response(await asyncio.to_thread(answer))


@router.post(
    "/{handoff}/close",
    summary="Close a handoff without an answer",
    openapi_extra=openapi.body(HandoffClosing, {"reason": "Answered by telephone."}),
    responses=openapi.answers(HandoffDescription),
)
@requires(Permission.APPS_WRITE, "handoff.close")
async def close_handoff(request: Request, handoff: str) -> Response:
    body, caller = await parse_body(request, HandoffClosing), caller_of(request)
    close = partial(handoffs_of(request).close, caller.project, handoff, reason=body.reason, actor=caller.actor)
    return json_response(await asyncio.to_thread(close))
