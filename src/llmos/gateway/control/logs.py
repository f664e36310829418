"""/llmos/v1/logs: the lines of the server's log, of all servers of this LLMOS_HOME."""

import asyncio
from typing import Annotated, Literal

from fastapi import APIRouter, Request, Response
from msgspec import Meta

from llmos.core.log_files import MAX_LIMIT, LogFiles, LogFilter
from llmos.core.schemas.logs import LogPage
from llmos.gateway.http import openapi
from llmos.gateway.http.moments import When, read_moment
from llmos.gateway.http.permissions import requires
from llmos.gateway.http.replies import json_response
from llmos.gateway.http.requests import RequestObject, parse_query
from llmos.gateway.services import services_of
from llmos.security.permissions import Permission

router = APIRouter(prefix="/llmos/v1/logs", tags=["logs"])


class LogsQuery(RequestObject, kw_only=True):
    request: Annotated[str, Meta(max_length=128)] | None = None
    """The id of a request, or of an answer."""
    version: Annotated[str, Meta(max_length=256)] | None = None
    """The calls that a Version answered, and the events of its Deployment."""
    level: Literal["info", "warning", "error"] | None = None
    """This level and the graver ones."""
    since: When | None = None
    """A date, which is its beginning in UTC, or an instant with its zone."""
    after: Annotated[str, Meta(pattern="^[0-9]{1,20}-[0-9]{1,20}$")] | None = None
    """`next` of the page before: the lines that came since, the first ones first."""
    limit: Annotated[int, Meta(ge=1, le=MAX_LIMIT)] = 100
    """Without `after`, the last lines."""


@router.get("", summary="Read the log", openapi_extra=openapi.query(LogsQuery), responses=openapi.answers(LogPage))
@requires(Permission.LOGS_READ)
async def read_logs(request: Request) -> Response:
    """Calls, other requests, sign-ins, events of deployments, and messages. No line has a prompt or an answer."""
    query, settings = parse_query(request, LogsQuery), services_of(request).settings
    wanted = LogFilter(
        request=query.request,
        version=query.version,
        level=query.level,
        since=read_moment(query.since, "since"),
        after=query.after,
        limit=query.limit,
    )
    files = LogFiles(settings.logs_path, max_bytes=0)
    return json_response(await asyncio.to_thread(files.read, wanted))
