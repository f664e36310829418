"""/llmos/v1/datasets: the datasets of the key's project: Versions, rows, queries and exports."""

import asyncio
from collections.abc import Iterator
from functools import partial
from typing import Annotated, Literal

import msgspec
from fastapi import APIRouter, Request, Response
from msgspec import Meta
from starlette.responses import StreamingResponse

from llmos.core.schemas.datasets import (
    DatasetDescription,
    DatasetDetails,
    DifferenceDescription,
    QueryDescription,
    RowDescription,
)
from llmos.core.schemas.models import RemovalDescription
from llmos.core.versioning.descriptions import describe_removal
from llmos.data.datasets import descriptions as describe
from llmos.data.datasets.comparing import compare
from llmos.data.datasets.datasets import ProjectDatasets
from llmos.data.datasets.exporting import export_shape, record_lines
from llmos.data.datasets.querying import QueryLimits, run_query
from llmos.gateway.answer_rows import MAX_ANSWERS, add_answers
from llmos.gateway.control.answers import answer_reader
from llmos.gateway.http import openapi
from llmos.gateway.http.permissions import requires
from llmos.gateway.http.pieces import joined
from llmos.gateway.http.replies import caller_of, json_response
from llmos.gateway.http.requests import RequestObject, parse_body, parse_query
from llmos.gateway.services import services_of
from llmos.security.permissions import Permission

router = APIRouter(prefix="/llmos/v1/datasets", tags=["datasets"])


class DatasetDescriptions(msgspec.Struct):
    data: list[DatasetDescription]


class RowDescriptions(msgspec.Struct):
    data: list[RowDescription]


class RowsQuery(RequestObject, kw_only=True):
    limit: Annotated[int, Meta(ge=1, le=1000)] = 10
    skip: Annotated[int, Meta(ge=0, le=2**53)] = 0
    """Skip this many rows."""


class SqlQuery(RequestObject, kw_only=True):
    sql: str
    """One SELECT on the table `rows`."""
    limit: Annotated[int, Meta(ge=1, le=10_000)] = 1000
    """The most rows of the result."""


class DiffQuery(RequestObject, kw_only=True):
    to: str
    """The newer Version."""
    limit: Annotated[int, Meta(ge=0, le=1000)] = 20
    """The most rows to name in each direction."""


class AnswersToAdd(RequestObject, kw_only=True):
    answers: Annotated[list[str], Meta(min_length=1, max_length=MAX_ANSWERS)]
    """The ids of answers, or of their requests."""
    consent: Literal["train", "eval", "none"] | None = None
    """The use that is allowed of the rows."""


class ExportQuery(RequestObject, kw_only=True):
    shape: str | None = None
    """Such as `sharegpt`. Default: that of LLMOS, which has a place for everything."""
    columns: bool = True
    """Write the columns beside the content, as the field `llmos` of each record."""


def datasets_of(request: Request) -> ProjectDatasets:
    """Return the datasets of the caller's project."""
    return services_of(request).data.datasets.of(caller_of(request).project)


@router.get("", summary="List the datasets", responses=openapi.answers(DatasetDescriptions))
@requires(Permission.DATASETS_READ)
async def list_datasets(request: Request) -> Response:
    """Every Version of the project's datasets."""

    def read() -> DatasetDescriptions:
        datasets = datasets_of(request)
        versions = datasets.list()
        labels = datasets.labels_of(versions)
        return DatasetDescriptions([describe.describe_version(version, labels) for version in versions])

    return json_response(await asyncio.to_thread(read))


@router.get("/{name}", summary="Describe a Version of a dataset", responses=openapi.answers(DatasetDetails))
@requires(Permission.DATASETS_READ)
async def get_dataset(request: Request, name: str) -> Response:
    """`name` is NAME (the newest Version), NAME:ALIAS, NAME@NUMBER or NAME@sha256:DIGEST."""
    return json_response(describe.describe_details(await asyncio.to_thread(datasets_of(request).show, name)))


@router.delete("/{name}", summary="Remove a dataset, or one Version", responses=openapi.answers(RemovalDescription))
@requires(Permission.DATASETS_WRITE, "dataset.remove")
async def remove_dataset(request: Request, name: str) -> Response:
    """409 for a Version that an alias points at."""
    remove = partial(datasets_of(request).remove, name, actor=caller_of(request).actor)
    return json_response(describe_removal(await asyncio.to_thread(remove)))


@router.get(
    "/{name}/rows",
    summary="Read rows",
    openapi_extra=openapi.query(RowsQuery),
    responses=openapi.answers(RowDescriptions),
)
@requires(Permission.DATASETS_READ)
async def get_rows(request: Request, name: str) -> Response:
    query = parse_query(request, RowsQuery)

    def read() -> RowDescriptions:
        datasets = datasets_of(request)
        found = datasets.head(datasets.resolve(name), query.limit, query.skip)
        return RowDescriptions([describe.describe_row(row) for row in found])

    return json_response(await asyncio.to_thread(read))


@router.post(
    "/{name}/query",
    summary="Query the rows with SQL",
    openapi_extra=openapi.body(SqlQuery, {"sql": "select language, count(*) from rows group by 1"}),
    responses=openapi.answers(QueryDescription),
)
@requires(Permission.DATASETS_READ)
async def query_dataset(request: Request, name: str) -> Response:
    """The table is `rows`: id, content (JSON), origin, language, license, consent, subject, split. The query runs in a
    process of its own, which reaches nothing else, with limits of memory and time."""
    body = await parse_body(request, SqlQuery)

    def query() -> QueryDescription:
        version = datasets_of(request).resolve(name)
        limits = QueryLimits(rows=body.limit)
        return describe.describe_result(run_query(services_of(request).data.datasets.store, version, body.sql, limits))

    return json_response(await asyncio.to_thread(query))


@router.post(
    "/{name}/answers",
    summary="Add answers to a dataset",
    openapi_extra=openapi.body(AnswersToAdd, {"answers": ["resp_1234"], "consent": "train"}),
    responses=openapi.answers(DatasetDescription),
)
@requires(Permission.DATASETS_WRITE, "dataset.add_answers")
async def add_answers_to_dataset(request: Request, name: str) -> Response:
    """The next Version, with the conversations of stored responses of the project as rows of the kind `chat`; the first
    one of a new dataset. 409 where the newest Version has them already. Needs the permission `inference`, too, by which
    texts are read."""
    body = await parse_body(request, AnswersToAdd)
    services, caller = services_of(request), caller_of(request)
    caller.check(Permission.INFERENCE)

    def add() -> DatasetDescription:
        datasets, reader = datasets_of(request), answer_reader(services)
        made = add_answers(
            datasets,
            name,
            [reader.get(id, project=caller.project, text_of=caller.project) for id in body.answers],
            hash_subject=lambda user: services.encryption.ring.index("subject", caller.project, user),
            consent=body.consent,
            actor=caller.actor,
        )
        return describe.describe_version(made, datasets.labels_of([made]))

    await asyncio.to_thread(services.answer_sink.flush)
    return json_response(await asyncio.to_thread(add))


@router.get(
    "/{name}/diff",
    summary="Compare two Versions of a dataset",
    openapi_extra=openapi.query(DiffQuery),
    responses=openapi.answers(DifferenceDescription),
)
@requires(Permission.DATASETS_READ)
async def compare_datasets(request: Request, name: str) -> Response:
    """The rows that only one of them has, and why they went, where the newer Version was made from the older one."""
    query = parse_query(request, DiffQuery)

    def read() -> DifferenceDescription:
        datasets = datasets_of(request)
        older, newer = datasets.resolve(name), datasets.resolve(query.to)
        found = compare(services_of(request).data.datasets.store, older, newer, query.limit)
        return describe.describe_difference(older, newer, found)

    return json_response(await asyncio.to_thread(read))


@router.get(
    "/{name}/export",
    summary="Export the rows as JSON Lines",
    response_class=Response,
    openapi_extra=openapi.query(ExportQuery),
    responses={200: {"description": "One record on each line", "content": {"application/jsonl": {}}}},
)
@requires(Permission.DATASETS_READ)
async def export_dataset(request: Request, name: str) -> Response:
    """A stream that ends early, without its last chunk, has failed."""
    query = parse_query(request, ExportQuery)
    datasets = datasets_of(request)
    version = await asyncio.to_thread(datasets.resolve, name)
    shape = export_shape(version.kind, query.shape)
    lines = record_lines(datasets.rows(version), shape, has_columns=query.columns)
    pieces = joined(lines)
    first = await asyncio.to_thread(next, pieces, b"")  # An error of the first rows is an answer of its own.
    filename = f"{version.dataset}-{version.number}.jsonl"
    return StreamingResponse(
        _continued(first, pieces),
        media_type="application/jsonl",
        headers={"Content-Disposition": f'attachment; filename="{filename}"'},
    )


def _continued(first: bytes, pieces: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from pieces
