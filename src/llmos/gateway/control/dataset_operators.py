"""/llmos/v1/dataset-operators. Cleaning is a job."""

import asyncio

import msgspec
from fastapi import APIRouter, Request, Response

from llmos.core.schemas.dataset_cleaning import OperatorDescription
from llmos.data.operators.descriptions import describe_operators
from llmos.gateway.http import openapi
from llmos.gateway.http.permissions import requires
from llmos.gateway.http.replies import json_response
from llmos.security.permissions import Permission

router = APIRouter(prefix="/llmos/v1", tags=["datasets"])


class OperatorDescriptions(msgspec.Struct):
    data: list[OperatorDescription]


@router.get(
    "/dataset-operators",
    summary="List the operators that clean datasets",
    responses=openapi.answers(OperatorDescriptions),
)
@requires(Permission.DATASETS_READ)
async def list_operators(request: Request) -> Response:
    """A recipe names them, in order. To run one: a job `dataset_clean`, or `dataset_check` to see what it would do."""
    return json_response(OperatorDescriptions(await asyncio.to_thread(describe_operators)))
