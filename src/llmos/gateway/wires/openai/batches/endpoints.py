"""/v1/batches: files of requests, processed while no live call waits."""

import asyncio

from fastapi import APIRouter, Request, Response

from llmos.gateway.http import openapi
from llmos.gateway.http.errors import known_paths
from llmos.gateway.http.permissions import requires
from llmos.gateway.http.replies import caller_of, json_response
from llmos.gateway.http.requests import parse_body, parse_query
from llmos.gateway.services import services_of
from llmos.gateway.wires.openai.batches.answers import BatchObject, BatchObjects, render_batch
from llmos.gateway.wires.openai.batches.fields import ENDPOINTS, BatchQuery, BatchRequest
from llmos.security.permissions import Permission

router = APIRouter(prefix="/v1/batches", tags=["batches"])


@router.post(
    "",
    summary="Create a batch",
    openapi_extra=openapi.body(
        BatchRequest,
        {"input_file_id": "file-123", "endpoint": "/v1/chat/completions", "completion_window": "24h"},
    ),
    responses=openapi.answers(BatchObject),
)
@requires(Permission.BATCHES_WRITE, "batch.create")
async def create_batch(request: Request) -> Response:
    body = await parse_body(request, BatchRequest)
    body.check([path for path in ENDPOINTS if path in known_paths(request.app)])
    batch = await asyncio.to_thread(
        services_of(request).data.batches.create,
        caller_of(request).project,
        endpoint=body.endpoint,
        input_file_id=body.input_file_id,
        key_id=caller_of(request).key_id,
        labels=body.metadata,
    )
    return json_response(render_batch(batch))


@router.get(
    "", summary="List your batches", openapi_extra=openapi.query(BatchQuery), responses=openapi.answers(BatchObjects)
)
@requires(Permission.BATCHES_READ)
async def list_batches(request: Request) -> Response:
    """Returns the newest first. Accepts `after` and `limit`."""
    query = parse_query(request, BatchQuery)
    page = await asyncio.to_thread(
        services_of(request).data.batches.list, caller_of(request).project, after=query.after, limit=query.limit
    )
    batches = [render_batch(batch) for batch in page.items]
    return json_response(BatchObjects.of(batches, [batch.id for batch in batches], has_more=page.has_more))


@router.get("/{batch_id}", summary="Describe a batch", responses=openapi.answers(BatchObject))
@requires(Permission.BATCHES_READ)
async def get_batch(request: Request, batch_id: str) -> Response:
    batch = await asyncio.to_thread(services_of(request).data.batches.get, caller_of(request).project, batch_id)
    return json_response(render_batch(batch))


@router.post("/{batch_id}/cancel", summary="Cancel a batch", responses=openapi.answers(BatchObject))
@requires(Permission.BATCHES_WRITE, "batch.cancel")
async def cancel_batch(request: Request, batch_id: str) -> Response:
    """Answers that are complete stay. The batch is `cancelling` until its files are written, and then `cancelled`."""
    batch = await asyncio.to_thread(services_of(request).data.batches.cancel, caller_of(request).project, batch_id)
    return json_response(render_batch(batch))
