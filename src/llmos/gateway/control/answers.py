"""/llmos/v1/answers: the facts of answers: what they were asked of, how long they took, what they cost.

Keys of the project `owner` see those of every project, others those of their own.
"""

import asyncio
from functools import partial
from typing import Annotated, Literal

from fastapi import APIRouter, Request, Response
from msgspec import Meta

from llmos.core.errors import NotFound, PermissionDenied
from llmos.core.money import parse_nanos
from llmos.core.schemas.answers import AnswerDetails, AnswerPage
from llmos.data.answers import AnswerFilter
from llmos.data.answers.answers import read_place
from llmos.data.answers.filters import MAX_LIMIT
from llmos.gateway.answer_details import AnswerReader
from llmos.gateway.answer_search import AnswerSearch
from llmos.gateway.http import openapi
from llmos.gateway.http.moments import When, read_moment
from llmos.gateway.http.permissions import requires
from llmos.gateway.http.replies import caller_of, json_response
from llmos.gateway.http.requests import RequestObject, parse_query
from llmos.gateway.services import Services, services_of
from llmos.security.permissions import Permission

router = APIRouter(prefix="/llmos/v1/answers", tags=["answers"])

Name = Annotated[str, Meta(max_length=512)]
Amount = Annotated[str, Meta(pattern=r"^[0-9]{1,6}(\.[0-9]{1,9})?$")]
Seconds = Annotated[str, Meta(pattern=r"^[0-9]{1,6}(\.[0-9]{1,6})?$")]
Place = Annotated[str, Meta(pattern="^[0-9]{1,12}-[0-9]{1,18}$")]

_MAX_COST = 1_000_000


class AnswersQuery(RequestObject, kw_only=True):
    project: Name | None = None
    key: Name | None = None
    """The id of a key."""
    user: Name | None = None
    """The end user whom the request named."""
    model: Name | None = None
    """The version that answered, such as smollm2@1, or a model, for all of its versions."""
    route: Name | None = None
    app: Name | None = None
    run: Name | None = None
    """The run of an application: its answer, and the calls of models that it made."""
    outcome: Literal["answered", "blocked", "cached", "cancelled", "failed", "refused"] | None = None
    verdict: Literal["flag", "redact", "block"] | None = None
    """The strictest verdict of guardrails: flag, redact or block."""
    since: When | None = None
    """A date, which is its beginning in UTC, or an instant with its zone."""
    until: When | None = None
    """The same; not included."""
    min_cost: Amount | None = None
    """A decimal, such as 0.01, whatever the currency."""
    min_output_tokens: Annotated[int, Meta(ge=0, le=2**40)] | None = None
    """Tokens of the answer."""
    min_seconds: Seconds | None = None
    """From the acceptance of the call to its end, as a decimal."""
    text: Annotated[str, Meta(max_length=500)] | None = None
    """Words that all occur in the kept conversation. Searches the caller's own project, and needs `inference`."""
    after: Place | None = None
    """`next` of the page before."""
    limit: Annotated[int, Meta(ge=1, le=MAX_LIMIT)] = 50


@router.get(
    "",
    summary="List answers",
    openapi_extra=openapi.query(AnswersQuery),
    responses=openapi.answers(AnswerPage),
)
@requires(Permission.ANSWERS_READ)
async def list_answers(request: Request) -> Response:
    """Newest first. All that is given must hold. `?text=WORDS` finds those whose kept conversation has all these words;
    there is no index, so a page ends after a limited amount of text, maybe with nothing found, and `next` goes on."""
    services, query = services_of(request), parse_query(request, AnswersQuery)
    wanted = _filter(request, query)
    await asyncio.to_thread(services.answer_sink.flush)
    if not (query.text or "").strip():
        return json_response(await asyncio.to_thread(services.data.answers.list, wanted))
    caller = caller_of(request)
    caller.check(Permission.INFERENCE)
    if query.project not in (None, caller.project):
        raise PermissionDenied(
            f"{caller.title} can search texts of the project {caller.project} only: those of others aren't shown.",
            param="project",
        )
    search = AnswerSearch(services.data.answers, services.data.responses)
    find = partial(search.list, wanted, query.text or "", project=caller.project)
    return json_response(await asyncio.to_thread(find))


@router.get("/{id}", summary="Describe an answer", responses=openapi.answers(AnswerDetails))
@requires(Permission.ANSWERS_READ)
async def get_answer(request: Request, id: str) -> Response:
    """Times by stage, tokens, the entries of the ledger, the receipt and whether it verifies, and the text of a stored
    response for callers of its project that may run models. `id` is that of the answer or of its request."""
    services, caller = services_of(request), caller_of(request)
    get = partial(
        answer_reader(services).get,
        id,
        project=caller.only_project,
        text_of=caller.project if Permission.INFERENCE in caller.permissions else None,
        feedback_of=caller.project if Permission.FEEDBACK_READ in caller.permissions else None,
    )
    try:
        found = await asyncio.to_thread(get)
    except NotFound:
        await asyncio.to_thread(services.answer_sink.flush)  # It may not be stored yet.
        found = await asyncio.to_thread(get)
    return json_response(found)


def answer_reader(services: Services) -> AnswerReader:
    return AnswerReader(
        answers=services.data.answers,
        ledger=services.billing.ledger,
        provider_costs=services.billing.provider_costs,
        receipts=services.receipts,
        responses=services.data.responses,
        signing_key=services.signing_key,
        feedback=services.data.feedback,
    )


def _filter(request: Request, query: AnswersQuery) -> AnswerFilter:
    caller = caller_of(request)
    if query.project not in (None, caller.project) and not caller.is_of_installation:
        raise PermissionDenied(f"{caller.title} sees answers for the project {caller.project} only.", param="project")
    model, is_version = query.model, query.model is not None and "@" in query.model
    return AnswerFilter(
        project=query.project if caller.is_of_installation else caller.project,
        key_id=query.key,
        user=query.user,
        model=model.partition("@")[0] if model is not None else None,
        version=model if is_version else None,
        route=query.route,
        app=query.app,
        run=query.run,
        outcome=query.outcome,
        verdict=query.verdict,
        since=read_moment(query.since, "since"),
        until=read_moment(query.until, "until"),
        min_cost_nanos=None if query.min_cost is None else parse_nanos(query.min_cost, "min_cost", limit=_MAX_COST),
        min_output_tokens=query.min_output_tokens,
        min_seconds=None if query.min_seconds is None else float(query.min_seconds),
        after=None if query.after is None else read_place(query.after),
        limit=query.limit,
    )
