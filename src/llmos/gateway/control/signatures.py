"""/llmos/v1/models/NAME/signatures: the signatures of a Version."""

import asyncio

import msgspec
from fastapi import APIRouter, Request, Response

from llmos.core.schemas.signatures import SignatureDescription
from llmos.gateway.http import openapi
from llmos.gateway.http.permissions import requires
from llmos.gateway.http.replies import json_response
from llmos.gateway.http.requests import RequestObject, parse_body
from llmos.gateway.services import services_of
from llmos.models.descriptions import describe_signature
from llmos.security.permissions import Permission

router = APIRouter(prefix="/llmos/v1/models/{name}/signatures", tags=["signatures"])


class SignatureDescriptions(msgspec.Struct):
    data: list[SignatureDescription]


class NewSignature(RequestObject, kw_only=True):
    signature: str
    """A sigstore bundle, in JSON, as `llmos sign` and OpenSSF model-signing make it."""


@router.get("", summary="List the signatures of a Version", responses=openapi.answers(SignatureDescriptions))
@requires(Permission.MODELS_READ)
async def list_signatures(request: Request, name: str) -> Response:
    return json_response(await asyncio.to_thread(_signatures, request, name))


@router.post(
    "",
    summary="Add a signature to a Version",
    openapi_extra=openapi.body(NewSignature, {"signature": '{"mediaType": …}'}),
    responses=openapi.answers(SignatureDescriptions),
)
@requires(Permission.MODELS_WRITE, "signature.add")
async def add_signature(request: Request, name: str) -> Response:
    """It isn't verified now, but when the Version is loaded, with the keys that the server's machine trusts."""
    body, registry = await parse_body(request, NewSignature), services_of(request).registry

    def add() -> SignatureDescriptions:
        registry.signatures.put(registry.resolve(name), body.signature)
        return _signatures(request, name)

    return json_response(await asyncio.to_thread(add))


def _signatures(request: Request, name: str) -> SignatureDescriptions:
    registry = services_of(request).registry
    version = registry.resolve(name)
    return SignatureDescriptions(
        [describe_signature(version, signature) for signature in registry.signatures.get(version)]
    )
