"""/llmos/v1/datasets/NAME/report: what a Version has, as JSON and as a page."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Request, Response
from msgspec import Meta

from llmos.core.schemas.dataset_reports import DatasetReportDescription
from llmos.data.reports.measuring import ReportOptions, make_report
from llmos.data.reports.page import page
from llmos.gateway.control.datasets import datasets_of
from llmos.gateway.http import openapi
from llmos.gateway.http.permissions import requires
from llmos.gateway.http.replies import json_response, page_response
from llmos.gateway.http.requests import RequestObject, parse_query
from llmos.gateway.operator_context import operator_context
from llmos.gateway.services import services_of
from llmos.security.permissions import Permission

router = APIRouter(prefix="/llmos/v1/datasets/{name}", tags=["datasets"])


class ReportQuery(RequestObject, kw_only=True):
    tokens: str | None = None
    """A model whose tokens are counted, such as smollm2."""
    samples: Annotated[int, Meta(ge=0, le=100)] = 5
    """Rows to show."""
    mask: bool = False
    """Put placeholders in the place of personal data."""


@router.get(
    "/report",
    summary="Report what a Version of a dataset has",
    openapi_extra=openapi.query(ReportQuery),
    responses=openapi.answers(DatasetReportDescription),
)
@requires(Permission.DATASETS_READ)
async def get_report(request: Request, name: str) -> Response:
    """Rows by their columns, lengths, what cleaning left out, lineage, and some rows. Large Versions are measured by a
    random part of their rows."""
    return json_response(await _report(request, name))


@router.get(
    "/report.html",
    summary="Report what a Version of a dataset has, as a page with plots",
    openapi_extra=openapi.query(ReportQuery),
    responses={200: {"content": {"text/html": {}}, "description": "A page without external resources"}},
)
@requires(Permission.DATASETS_READ)
async def get_report_page(request: Request, name: str) -> Response:
    report = await _report(request, name)
    return page_response(await asyncio.to_thread(page, report))


async def _report(request: Request, name: str) -> DatasetReportDescription:
    query = parse_query(request, ReportQuery)
    options = ReportOptions(tokens=query.tokens, samples=query.samples, mask=query.mask)
    datasets = datasets_of(request)
    context = operator_context(services_of(request).registry, datasets)
    return await asyncio.to_thread(make_report, datasets, name, options, context)
