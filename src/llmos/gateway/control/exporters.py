"""/llmos/v1/exporters: services elsewhere that are sent the entries of the ledger."""

import asyncio
from datetime import datetime
from typing import Annotated

import msgspec
from fastapi import APIRouter, Request, Response
from msgspec import Meta

from llmos.billing.exporters.exporters import Exporters, NewExporter
from llmos.core.posting import Poster
from llmos.core.schemas.exporters import ExporterDescription, ExporterDetails, ExporterTest
from llmos.gateway.http import openapi
from llmos.gateway.http.permissions import requires
from llmos.gateway.http.replies import json_response
from llmos.gateway.http.requests import RequestObject, parse_body
from llmos.gateway.services import services_of
from llmos.security.permissions import Permission

router = APIRouter(prefix="/llmos/v1/exporters", tags=["exporters"])


class ExporterDescriptions(msgspec.Struct):
    data: list[ExporterDescription]


class ExporterRequest(RequestObject, kw_only=True):
    name: str
    kind: str
    """openmeter, lago or cloudevents."""
    url: str
    """The address of the service; of cloudevents, where events are posted."""
    key: str | None = None
    """Sent as `Authorization: Bearer`. No answer has it."""
    subject: str = "project"
    """The owner of an event's usage: that of a project, a key or a user."""
    type: str = ""
    """The type of the events; for Lago, the prefix of the metric codes. By default llmos.usage, or llmos for Lago."""
    source: str = "llmos"
    start: Annotated[datetime, Meta(tz=True)] | None = None
    """Entries from this time on are sent; by default those from now on."""
    allow_private: bool = False
    """http and private addresses are allowed: the receiver is your own."""


def exporters_of(request: Request) -> Exporters:
    return services_of(request).billing.exporters


@router.post(
    "",
    summary="Add an exporter",
    openapi_extra=openapi.body(
        ExporterRequest, {"name": "meter", "kind": "openmeter", "url": "https://openmeter.example.com"}
    ),
    responses=openapi.answers(ExporterDescription),
)
@requires(Permission.EXPORTERS_WRITE, "exporter.add")
async def add_exporter(request: Request) -> Response:
    """Sends the entries of the ledger to OpenMeter, Lago, or any receiver of CloudEvents."""
    body = await parse_body(request, ExporterRequest)
    new = NewExporter(**msgspec.structs.asdict(body))
    return json_response(await asyncio.to_thread(exporters_of(request).add, new))


@router.get("", summary="List the exporters", responses=openapi.answers(ExporterDescriptions))
@requires(Permission.EXPORTERS_READ)
async def list_exporters(request: Request) -> Response:
    return json_response(ExporterDescriptions(await asyncio.to_thread(exporters_of(request).list)))


@router.get("/{exporter}", summary="Describe an exporter", responses=openapi.answers(ExporterDetails))
@requires(Permission.EXPORTERS_READ)
async def get_exporter(request: Request, exporter: str) -> Response:
    """With the first hundred entries that the receiver refused."""
    return json_response(await asyncio.to_thread(exporters_of(request).get, exporter))


@router.post("/{exporter}/test", summary="Send a test event", responses=openapi.answers(ExporterTest))
@requires(Permission.EXPORTERS_WRITE, "exporter.test")
async def test_exporter(request: Request, exporter: str) -> Response:
    """Sends one event that counts nothing, and says what the receiver answered."""
    async with Poster() as poster:
        return json_response(await exporters_of(request).test(exporter, poster))


@router.post("/{exporter}/pause", summary="Pause an exporter", responses=openapi.answers(ExporterDescription))
@requires(Permission.EXPORTERS_WRITE, "exporter.pause")
async def pause_exporter(request: Request, exporter: str) -> Response:
    return json_response(await asyncio.to_thread(exporters_of(request).pause, exporter))


@router.post("/{exporter}/resume", summary="Resume an exporter", responses=openapi.answers(ExporterDescription))
@requires(Permission.EXPORTERS_WRITE, "exporter.resume")
async def resume_exporter(request: Request, exporter: str) -> Response:
    """Goes on where it was paused, or tries again at once after a failure."""
    return json_response(await asyncio.to_thread(exporters_of(request).resume, exporter))


@router.post(
    "/{exporter}/retry", summary="Send refused entries once more", responses=openapi.answers(ExporterDescription)
)
@requires(Permission.EXPORTERS_WRITE, "exporter.retry")
async def retry_exporter(request: Request, exporter: str) -> Response:
    return json_response(await asyncio.to_thread(exporters_of(request).retry, exporter))


@router.delete(
    "/{exporter}", summary="Remove an exporter", status_code=204, responses={204: {"description": "Removed"}}
)
@requires(Permission.EXPORTERS_WRITE, "exporter.remove")
async def remove_exporter(request: Request, exporter: str) -> Response:
    """With its key. What was sent stays with the receiver."""
    await asyncio.to_thread(exporters_of(request).remove, exporter)
    return Response(status_code=204)
