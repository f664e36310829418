"""/llmos/v1/encryption: the keys that encrypt what is kept."""

import asyncio

from fastapi import APIRouter, Request, Response

from llmos.core.schemas.encryption import EncryptionDescription, RotationDescription
from llmos.gateway.http import openapi
from llmos.gateway.http.permissions import requires
from llmos.gateway.http.replies import json_response
from llmos.gateway.http.requests import RequestObject, parse_body
from llmos.gateway.kept_encryption import KeptEncryption
from llmos.gateway.services import Services, services_of
from llmos.security.permissions import Permission

router = APIRouter(prefix="/llmos/v1/encryption", tags=["encryption"])


class RotationRequest(RequestObject, kw_only=True):
    project: str | None = None
    """The project whose key is replaced; null for the master key."""


@router.get("", summary="Describe the encryption", responses=openapi.answers(EncryptionDescription))
@requires(Permission.ENCRYPTION_READ)
async def get_encryption(request: Request) -> Response:
    return json_response(await asyncio.to_thread(_kept(services_of(request)).status))


@router.post(
    "/rotate",
    summary="Replace the master key or the key of a project",
    openapi_extra=openapi.body(RotationRequest, {"project": "owner"}),
    responses=openapi.answers(RotationDescription),
)
@requires(Permission.ENCRYPTION_WRITE, "encryption.rotate")
async def rotate_encryption(request: Request) -> Response:
    """The keys below it are wrapped anew. No data are written again."""
    body, kept = await parse_body(request, RotationRequest), _kept(services_of(request))
    return json_response(await asyncio.to_thread(kept.rotate, body.project))


@router.post("/encrypt", summary="Encrypt what isn't", responses=openapi.answers(EncryptionDescription))
@requires(Permission.ENCRYPTION_WRITE, "encryption.encrypt")
async def encrypt_kept(request: Request) -> Response:
    """Responses, files and providers' keys that an earlier version kept. New ones are encrypted from the beginning."""
    return json_response(await asyncio.to_thread(_kept(services_of(request)).encrypt))


def _kept(services: Services) -> KeptEncryption:
    return KeptEncryption(
        services.data.files, services.data.datasets, services.providers, services.projects, services.registry
    )
