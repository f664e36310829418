"""/llmos/v1/answers/ID/receipt: the signed receipt of an answer."""

import asyncio
from functools import partial

from fastapi import APIRouter, Request, Response

from llmos.core.errors import NotFound
from llmos.core.schemas.receipts import ReceiptDescription
from llmos.gateway.http import openapi
from llmos.gateway.http.permissions import requires
from llmos.gateway.http.replies import caller_of, json_response
from llmos.gateway.services import services_of
from llmos.security.permissions import Permission

router = APIRouter(prefix="/llmos/v1/answers", tags=["receipts"])


@router.get("/{id}/receipt", summary="Read the receipt of an answer", responses=openapi.answers(ReceiptDescription))
@requires(Permission.RECEIPTS_READ)
async def get_receipt(request: Request, id: str) -> Response:
    """`id` is that of the answer, or of its request (the header x-request-id). A receipt is there when the answer has
    ended. Keys of the project `owner` see every receipt, others those of their own project."""
    services, caller = services_of(request), caller_of(request)
    get = partial(services.receipts.get, id, project=caller.only_project)
    try:
        found = await asyncio.to_thread(get)
    except NotFound:
        await asyncio.to_thread(services.answer_sink.flush)  # It may not be stored yet.
        found = await asyncio.to_thread(get)
    return json_response(found.raw)
