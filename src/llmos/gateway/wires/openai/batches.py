"""/v1/batches, in OpenAI's wire format: many requests in a file, answered when nobody else waits."""

import asyncio
from datetime import datetime
from typing import Annotated, ClassVar, Literal

import msgspec
from fastapi import APIRouter, Request, Response
from msgspec import Meta

from llmos.core.errors import BadRequest
from llmos.data.batches import Batch, Status
from llmos.gateway.http import openapi
from llmos.gateway.http.errors import known_paths
from llmos.gateway.http.permissions import requires
from llmos.gateway.http.replies import caller_of, json_response, services_of
from llmos.gateway.http.requests import RequestObject, Unsupported, parse_body, parse_query
from llmos.security.permissions import Permission

router = APIRouter(prefix="/v1/batches", tags=["batches"])

ENDPOINTS = ("/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/responses")
"""Those that can be asked in a batch, where this server has them."""


class BatchRequest(RequestObject, kw_only=True):
    input_file_id: str
    """A file with the purpose `batch`."""
    endpoint: str
    """The path that every line is for."""
    completion_window: str
    """`24h`: what has no answer by then gets none."""
    metadata: dict[Annotated[str, Meta(max_length=64)], Annotated[str, Meta(max_length=512)]] | None = None
    """Up to 16 texts of your own, which come back with the batch."""

    unsupported: ClassVar = {
        "output_expires_after": Unsupported("files stay until they are deleted. Leave it out."),
    }


class BatchQuery(RequestObject, kw_only=True):
    after: str | None = None
    """The batch behind which the list goes on."""
    limit: Annotated[int, Meta(ge=1, le=100)] = 20


class BatchError(msgspec.Struct, kw_only=True):
    code: str
    message: str
    line: int | None
    param: str | None


class BatchErrors(msgspec.Struct, kw_only=True):
    object: Literal["list"] = "list"
    data: list[BatchError]


class RequestCounts(msgspec.Struct, kw_only=True):
    total: int
    completed: int
    failed: int


class InputTokensDetails(msgspec.Struct):
    cached_tokens: int


class OutputTokensDetails(msgspec.Struct):
    reasoning_tokens: int


class BatchUsage(msgspec.Struct, kw_only=True):
    """Of the lines that were answered."""

    input_tokens: int
    input_tokens_details: InputTokensDetails
    output_tokens: int
    output_tokens_details: OutputTokensDetails
    total_tokens: int


class BatchObject(msgspec.Struct, kw_only=True):
    id: str
    object: Literal["batch"] = "batch"
    endpoint: str
    errors: BatchErrors | None
    """Why none of it was run."""
    input_file_id: str
    completion_window: Literal["24h"] = "24h"
    status: Status
    output_file_id: str | None
    error_file_id: str | None
    created_at: int
    in_progress_at: int | None
    expires_at: int
    finalizing_at: int | None
    completed_at: int | None
    failed_at: int | None
    expired_at: int | None
    cancelling_at: int | None
    cancelled_at: int | None
    request_counts: RequestCounts
    usage: BatchUsage
    metadata: dict[str, str] | None


class BatchObjects(msgspec.Struct, kw_only=True):
    object: Literal["list"] = "list"
    data: list[BatchObject]
    first_id: str | None
    last_id: str | None
    has_more: bool


@router.post(
    "",
    summary="Have a file of requests answered",
    openapi_extra=openapi.body(
        BatchRequest,
        {"input_file_id": "file-123", "endpoint": "/v1/chat/completions", "completion_window": "24h"},
    ),
    responses=openapi.answers(BatchObject),
)
@requires(Permission.BATCHES_WRITE)
async def create_batch(request: Request) -> Response:
    asked = await parse_body(request, BatchRequest)
    _check(asked, [path for path in ENDPOINTS if path in known_paths(request.app)])
    batch = await asyncio.to_thread(
        services_of(request).batches.create,
        caller_of(request).project,
        endpoint=asked.endpoint,
        input_file_id=asked.input_file_id,
        labels=asked.metadata,
    )
    return json_response(_described(batch))


@router.get("", summary="List your batches", responses=openapi.answers(BatchObjects))
@requires(Permission.BATCHES_READ)
async def list_batches(request: Request) -> Response:
    """The newest first. Takes `after` and `limit`."""
    query = parse_query(request, BatchQuery)
    page = await asyncio.to_thread(
        services_of(request).batches.list, caller_of(request).project, after=query.after, limit=query.limit
    )
    batches = [_described(batch) for batch in page.items]
    return json_response(
        BatchObjects(
            data=batches,
            first_id=batches[0].id if batches else None,
            last_id=batches[-1].id if batches else None,
            has_more=page.has_more,
        )
    )


@router.get("/{batch_id}", summary="Say how far a batch is", responses=openapi.answers(BatchObject))
@requires(Permission.BATCHES_READ)
async def get_batch(request: Request, batch_id: str) -> Response:
    batch = await asyncio.to_thread(services_of(request).batches.get, caller_of(request).project, batch_id)
    return json_response(_described(batch))


@router.post("/{batch_id}/cancel", summary="Cancel a batch", responses=openapi.answers(BatchObject))
@requires(Permission.BATCHES_WRITE)
async def cancel_batch(request: Request, batch_id: str) -> Response:
    """What was answered stays. It is `cancelling` until its files are written, and then `cancelled`."""
    batch = await asyncio.to_thread(services_of(request).batches.cancel, caller_of(request).project, batch_id)
    return json_response(_described(batch))


def _check(asked: BatchRequest, endpoints: list[str]) -> None:
    if asked.endpoint not in endpoints:
        raise BadRequest(f"`endpoint` is {asked.endpoint[:80]!r}; it takes {', '.join(endpoints)}.", param="endpoint")
    if asked.completion_window != "24h":
        raise BadRequest(
            f"`completion_window` is {asked.completion_window[:80]!r}; it takes '24h'.", param="completion_window"
        )
    if asked.metadata is not None and len(asked.metadata) > 16:
        raise BadRequest(f"`metadata` has {len(asked.metadata)} entries; it takes 16.", param="metadata")


def _described(batch: Batch) -> BatchObject:
    entered, used = batch.entered, batch.usage
    num_input, num_output = used.get("input_tokens", 0), used.get("output_tokens", 0)
    errors = [BatchError(code=p.code, message=p.message, line=p.line, param=p.param) for p in batch.problems]
    return BatchObject(
        id=batch.id,
        endpoint=batch.endpoint,
        errors=BatchErrors(data=errors) if errors else None,
        input_file_id=batch.input_file_id,
        status=batch.status,
        output_file_id=batch.output_file_id,
        error_file_id=batch.error_file_id,
        created_at=_seconds(batch.created_at),
        in_progress_at=entered.get("in_progress"),
        expires_at=_seconds(batch.expires_at),
        finalizing_at=entered.get("finalizing"),
        completed_at=entered.get("completed"),
        failed_at=entered.get("failed"),
        expired_at=entered.get("expired"),
        cancelling_at=entered.get("cancelling"),
        cancelled_at=entered.get("cancelled"),
        request_counts=RequestCounts(total=batch.num_total, completed=batch.num_completed, failed=batch.num_failed),
        usage=BatchUsage(
            input_tokens=num_input,
            input_tokens_details=InputTokensDetails(used.get("cached_tokens", 0)),
            output_tokens=num_output,
            output_tokens_details=OutputTokensDetails(used.get("reasoning_tokens", 0)),
            total_tokens=num_input + num_output,
        ),
        metadata=dict(batch.labels) if batch.labels is not None else None,
    )


def _seconds(instant: datetime) -> int:
    return int(instant.timestamp())
