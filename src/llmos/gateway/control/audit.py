"""/llmos/v1/audit: the audit log, its verification and its checkpoints.

Keys of the project `owner` see every entry, others those of their own project.
"""

import asyncio
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Request, Response
from msgspec import Meta
from starlette.responses import StreamingResponse

from llmos.core.errors import BadRequest, NotFound
from llmos.core.schemas.audit import AuditEntryDescription, AuditVerification, CheckpointDescription
from llmos.gateway.http import openapi
from llmos.gateway.http.permissions import requires
from llmos.gateway.http.replies import caller_of, json_response
from llmos.gateway.http.requests import RequestObject, parse_body, parse_query
from llmos.gateway.services import services_of
from llmos.security.audit.log import MAX_LISTED
from llmos.security.permissions import Permission

router = APIRouter(prefix="/llmos/v1/audit", tags=["audit"])

Text = Annotated[str, Meta(max_length=256)]


class AuditQuery(RequestObject, kw_only=True):
    since: Text | None = None
    """An instant with its zone, such as 2026-03-03T12:00:00Z: only entries from then on."""
    actor: Text | None = None
    """The id of a key, or a user of the server's machine."""
    action: Text | None = None
    """An action, such as key.revoke, or a noun: key."""
    before: Annotated[int, Meta(ge=1, le=2**63 - 1)] | None = None
    """The number of an entry: only older ones."""
    limit: Annotated[int, Meta(ge=1, le=MAX_LISTED)] = 100


class VerifyRequest(RequestObject, kw_only=True):
    checkpoints: Annotated[list[dict[str, Any]], Meta(max_length=1000)] = msgspec.field(default_factory=list)
    """Checkpoints that were kept elsewhere, besides those that the server has."""


class AuditEntries(msgspec.Struct):
    data: list[AuditEntryDescription]


@router.get(
    "",
    summary="List the entries of the audit log",
    openapi_extra=openapi.query(AuditQuery),
    responses=openapi.answers(AuditEntries),
)
@requires(Permission.AUDIT_READ)
async def list_audit_entries(request: Request) -> Response:
    """Newest first. `?before=NUMBER` continues a list."""
    query, caller, audit = parse_query(request, AuditQuery), caller_of(request), services_of(request).audit
    await asyncio.to_thread(audit.recorder.flush)
    read = partial(
        audit.log.list,
        project=caller.only_project,
        since=None if query.since is None else _instant(query.since),
        actor=query.actor,
        action=query.action,
        before=query.before,
        limit=query.limit,
    )
    return json_response(AuditEntries(list(await asyncio.to_thread(read))))


@router.get(
    "/export",
    summary="Export the audit log",
    response_class=Response,
    responses={200: {"description": "One entry in each line", "content": {"application/jsonl": {}}}},
)
@requires(Permission.AUDIT_WRITE)
async def export_audit_log(request: Request) -> Response:
    """Every entry, oldest first, one JSON object in each line: what `llmos audit verify --file` reads."""
    audit = services_of(request).audit
    await asyncio.to_thread(audit.recorder.flush)
    return StreamingResponse(audit.log.export(), media_type="application/jsonl")


@router.post(
    "/verify",
    summary="Verify the audit log",
    openapi_extra=openapi.body(VerifyRequest, {"checkpoints": []}),
    responses=openapi.answers(AuditVerification),
)
@requires(Permission.AUDIT_WRITE, "audit.verify")
async def verify_audit_log(request: Request) -> Response:
    """Reads every entry. `is_intact` says whether all is well; otherwise `first_bad` is the first wrong entry."""
    body, checkpoints = await parse_body(request, VerifyRequest), services_of(request).audit.checkpoints
    return json_response(await asyncio.to_thread(partial(checkpoints.verify, checkpoints=body.checkpoints)))


@router.post("/checkpoint", summary="Sign a checkpoint", responses=openapi.answers(CheckpointDescription))
@requires(Permission.AUDIT_WRITE, "audit.checkpoint")
async def make_checkpoint(request: Request) -> Response:
    """Sign a checkpoint of the newest entry. Keep it elsewhere: it shows later whether the log was changed or cut."""
    audit = services_of(request).audit
    await asyncio.to_thread(audit.recorder.flush)
    checkpoint = await asyncio.to_thread(audit.checkpoints.make)
    if checkpoint is None:
        raise NotFound("The audit log is empty, so there is nothing to sign yet.")
    return json_response(checkpoint)


def _instant(text: str) -> datetime:
    try:
        instant = datetime.fromisoformat(text.replace(" ", "+"))  # The unescaped + of a zone arrives as a space.
        if instant.tzinfo is not None:
            return instant.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise BadRequest(
        f"`since` is {text[:80]!r}. Write an instant with its zone, such as 2026-03-03T12:00:00Z.", param="since"
    )
