"""/llmos/v1/catalog: the models that this server can pull by name."""

import asyncio

import msgspec
from fastapi import APIRouter, Request, Response

from llmos.core.schemas.models import CatalogEntryDescription
from llmos.gateway.http import openapi
from llmos.gateway.http.permissions import requires
from llmos.gateway.http.replies import json_response
from llmos.gateway.services import services_of
from llmos.models.descriptions import describe_entry
from llmos.security.permissions import Permission

router = APIRouter(prefix="/llmos/v1/catalog", tags=["models"])


class CatalogEntryDescriptions(msgspec.Struct):
    data: list[CatalogEntryDescription]


@router.get("", summary="List the catalog", responses=openapi.answers(CatalogEntryDescriptions))
@requires(Permission.MODELS_READ)
async def list_catalog(request: Request) -> Response:
    registry = services_of(request).registry

    def read() -> list[CatalogEntryDescription]:
        names = registry.names()
        return [describe_entry(entry, names) for entry in registry.catalog]

    return json_response(CatalogEntryDescriptions(await asyncio.to_thread(read)))
