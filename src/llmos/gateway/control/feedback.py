"""/llmos/v1/feedback: what persons think of answers, and the datasets that it becomes."""

import asyncio
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from msgspec import Meta, field

from llmos.core.schemas.datasets import DatasetDescription
from llmos.core.schemas.feedback import (
    ExportKind,
    FeedbackContent,
    FeedbackDescription,
    FeedbackKind,
    FeedbackPage,
    Rating,
    RejectedAnswer,
)
from llmos.data.datasets.descriptions import describe_version
from llmos.data.feedback.feedback import Feedback, FeedbackFilter, NewFeedback
from llmos.data.feedback.rows import make_dataset
from llmos.gateway.erasing import MAX_SUBJECT_LENGTH
from llmos.gateway.http import openapi
from llmos.gateway.http.permissions import requires
from llmos.gateway.http.replies import caller_of, json_response
from llmos.gateway.http.requests import RequestObject, parse_body, parse_query
from llmos.gateway.services import Services, services_of
from llmos.security.callers import Caller
from llmos.security.permissions import Permission

router = APIRouter(prefix="/llmos/v1/feedback", tags=["feedback"])

AnswerId = Annotated[str, Meta(min_length=1, max_length=128)]
Text = Annotated[str, Meta(max_length=1_000_000)]


class RejectedFields(RequestObject, kw_only=True):
    """An answer that a vote went against."""

    answer: Annotated[str, Meta(max_length=128)] = ""
    version: Annotated[str, Meta(max_length=512)] = ""
    text: Text = ""


class FeedbackRequest(RequestObject, kw_only=True):
    answer: AnswerId
    """The id of the answer; of a vote, of the best one."""
    kind: FeedbackKind = "rating"
    rating: Rating = ""
    correction: Text = ""
    """The text that the answer should have had."""
    comment: Text = ""
    messages: Annotated[list[dict[str, Any]], Meta(max_length=5000)] = field(default_factory=list)
    """The conversation before the answer. With it and `text`, feedback becomes rows of datasets."""
    text: Text = ""
    """The answer."""
    version: Annotated[str, Meta(max_length=512)] = ""
    """The version, route or application that gave the answer."""
    rejected: Annotated[list[RejectedFields], Meta(max_length=8)] = field(default_factory=list)
    """The other answers of a vote."""
    is_tie: bool = False
    is_blind: bool = False
    user: Annotated[str, Meta(max_length=MAX_SUBJECT_LENGTH)] = ""
    """The person whose data it has: an erasure of the person removes it. By default the user who has signed in."""


class FeedbackQuery(RequestObject, kw_only=True):
    answer: Annotated[str, Meta(max_length=128)] | None = None
    kind: FeedbackKind | None = None
    rating: Rating | None = None
    after: Annotated[str, Meta(max_length=64)] | None = None
    """`next` of the page before."""
    limit: Annotated[int, Meta(ge=1, le=1000)] = 50


class FeedbackExport(RequestObject, kw_only=True):
    dataset: str
    """The name of the dataset that gets a new version."""
    kind: ExportKind = "preference"


def feedback_of(request: Request) -> Feedback:
    return services_of(request).data.feedback


@router.post(
    "",
    summary="Give feedback on an answer",
    openapi_extra=openapi.body(FeedbackRequest, {"answer": "chatcmpl-1", "rating": "down", "correction": "Vienna."}),
    responses=openapi.answers(FeedbackDescription),
)
@requires(Permission.FEEDBACK_GIVE)
async def give_feedback(request: Request) -> Response:
    """In place of what the same key or user has said of the answer before. 409 if the project keeps nothing."""
    body, caller = await parse_body(request, FeedbackRequest), caller_of(request)
    content = FeedbackContent(
        messages=body.messages,
        text=body.text,
        version=body.version,
        correction=body.correction,
        comment=body.comment,
        rejected=[RejectedAnswer(answer=each.answer, version=each.version, text=each.text) for each in body.rejected],
        is_tie=body.is_tie,
        is_blind=body.is_blind,
    )
    new = NewFeedback(
        answer=body.answer, kind=body.kind, rating=body.rating, content=content, user=body.user or caller.user
    )
    give = partial(feedback_of(request).give, caller.project, caller.key_id, new)
    return json_response(await asyncio.to_thread(give))


@router.get(
    "",
    summary="List feedback",
    openapi_extra=openapi.query(FeedbackQuery),
    responses=openapi.answers(FeedbackPage),
)
@requires(Permission.FEEDBACK_READ)
async def list_feedback(request: Request) -> Response:
    """The feedback of the key's own project, newest first."""
    query = parse_query(request, FeedbackQuery)
    wanted = FeedbackFilter(answer=query.answer, kind=query.kind, rating=query.rating)
    listed = partial(
        feedback_of(request).list, caller_of(request).project, wanted, after=query.after, limit=query.limit
    )
    return json_response(await asyncio.to_thread(listed))


@router.post(
    "/export",
    summary="Make a version of a dataset out of feedback",
    openapi_extra=openapi.body(FeedbackExport, {"dataset": "preferences"}),
    responses=openapi.answers(DatasetDescription),
)
@requires(Permission.DATASETS_WRITE, "dataset.import")
async def export_feedback(request: Request) -> Response:
    """`preference`: corrections before their answers, and answers voted for before the others. `chat`: good answers and
    corrections. Needs `feedback:read`, too."""
    body, caller = await parse_body(request, FeedbackExport), caller_of(request)
    caller.check(Permission.FEEDBACK_READ)
    return json_response(await asyncio.to_thread(_export, services_of(request), caller, body))


@router.delete(
    "/{feedback}", summary="Take feedback back", status_code=204, responses={204: {"description": "Removed"}}
)
@requires(Permission.FEEDBACK_GIVE, "feedback.remove")
async def remove_feedback(request: Request, feedback: str) -> Response:
    """The feedback that the same key or user has given."""
    caller = caller_of(request)
    await asyncio.to_thread(partial(feedback_of(request).remove, caller.project, feedback, actor=caller.key_id))
    return Response(status_code=204)


def _export(services: Services, caller: Caller, body: FeedbackExport) -> DatasetDescription:
    datasets = services.data.datasets.of(caller.project)

    version = make_dataset(
        datasets,
        body.dataset,
        services.data.feedback.all(caller.project),
        body.kind,
        subject_of=services.data.feedback.subject_of,
        actor=caller.actor,
    )
    return describe_version(version, datasets.labels_of([version]))
