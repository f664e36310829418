"""/llmos/v1/signing-key: the public key that verifies this server's receipts and checkpoints."""

import asyncio

from fastapi import APIRouter, Request, Response

from llmos.core.schemas.signing_keys import SigningKeyDescription
from llmos.gateway.http import openapi
from llmos.gateway.http.permissions import requires
from llmos.gateway.http.replies import json_response
from llmos.gateway.services import services_of
from llmos.security.descriptions import describe_signing_key
from llmos.security.permissions import Permission

router = APIRouter(prefix="/llmos/v1/signing-key", tags=["receipts"])


@router.get("", summary="Read the server's public key", responses=openapi.answers(SigningKeyDescription))
@requires(Permission.RECEIPTS_READ)
async def get_signing_key(request: Request) -> Response:
    """Save it before you need it: a receipt is only worth as much as the way on which you got the key."""
    key = services_of(request).signing_key
    return json_response(await asyncio.to_thread(lambda: describe_signing_key(key.public)))
