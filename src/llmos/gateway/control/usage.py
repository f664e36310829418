"""/llmos/v1/usage: what was consumed.

Keys of the project `owner` see the usage of every project, others that of their own.
"""

import asyncio
from functools import partial
from typing import Literal

import msgspec
from fastapi import APIRouter, Request, Response

from llmos.core.schemas.usage import UsageReport
from llmos.core.usage_csv import write_usage
from llmos.gateway.http import openapi
from llmos.gateway.http.moments import When, read_moment
from llmos.gateway.http.permissions import requires
from llmos.gateway.http.replies import caller_of, json_response
from llmos.gateway.http.requests import RequestObject, parse_query
from llmos.gateway.services import services_of
from llmos.security.permissions import Permission

_ANSWERS = openapi.answers(UsageReport)
_ANSWERS[200]["content"]["text/csv"] = {"schema": {"type": "string"}}

router = APIRouter(prefix="/llmos/v1/usage", tags=["usage"])


class UsageQuery(RequestObject, kw_only=True):
    by: Literal["project", "key", "user", "route", "model", "app", "day"] = "model"
    start: When | None = msgspec.field(default=None, name="from")
    """A date, which is its beginning in UTC, or an instant with its zone. By default thirty days before `to`."""
    end: When | None = msgspec.field(default=None, name="to")
    """The same; not included. By default now."""
    format: Literal["json", "csv"] = "json"


@router.get(
    "",
    summary="Report the usage",
    openapi_extra=openapi.query(UsageQuery),
    responses=_ANSWERS,
)
@requires(Permission.USAGE_READ)
async def get_usage(request: Request) -> Response:
    """Calls, tokens and the time of replicas in a time, which is widened to whole hours. With `format=csv` as CSV."""
    query, caller, services = parse_query(request, UsageQuery), caller_of(request), services_of(request)
    start, end = read_moment(query.start, "from"), read_moment(query.end, "to")
    await asyncio.to_thread(services.billing.ledger_writer.flush)
    project = caller.only_project
    report = await asyncio.to_thread(partial(services.billing.usage.report, query.by, start, end, project=project))
    return Response(write_usage(report), media_type="text/csv") if query.format == "csv" else json_response(report)
