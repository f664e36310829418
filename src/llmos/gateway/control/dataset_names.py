"""/llmos/v1/datasets/NAME/aliases and /labels: movable names, tags and descriptions of datasets, and their history."""

import asyncio

from fastapi import APIRouter, Request, Response

from llmos.core.schemas.aliases import AliasMoveDescription
from llmos.core.schemas.labels import LabelsDescription
from llmos.core.versioning.aliases import AliasMove
from llmos.core.versioning.descriptions import describe_alias_move, describe_label_change, describe_labels
from llmos.core.versioning.labels import Labels
from llmos.gateway.control.aliases import AliasMoves, AliasTarget
from llmos.gateway.control.datasets import datasets_of
from llmos.gateway.control.labels import LabelChanges, LabelsChange
from llmos.gateway.http import openapi
from llmos.gateway.http.permissions import requires
from llmos.gateway.http.replies import caller_of, json_response
from llmos.gateway.http.requests import parse_body
from llmos.security.permissions import Permission

router = APIRouter(prefix="/llmos/v1/datasets/{name}", tags=["datasets"])


@router.get("/aliases", summary="List a dataset's aliases", responses=openapi.answers(AliasMoves))
@requires(Permission.DATASETS_READ)
async def list_dataset_aliases(request: Request, name: str) -> Response:
    """Each with its last move."""
    aliases = await asyncio.to_thread(datasets_of(request).aliases.list, name)
    return json_response(AliasMoves([describe_alias_move(name, move) for move in aliases.values()]))


@router.get("/aliases/history", summary="List the moves of a dataset's aliases", responses=openapi.answers(AliasMoves))
@requires(Permission.DATASETS_READ)
async def dataset_alias_history(request: Request, name: str) -> Response:
    """Oldest first."""
    moves = await asyncio.to_thread(datasets_of(request).aliases.history, name)
    return json_response(AliasMoves([describe_alias_move(name, move) for move in moves]))


@router.put(
    "/aliases/{alias}",
    summary="Point an alias at a Version of a dataset",
    openapi_extra=openapi.body(AliasTarget, {"version": "support@1"}),
    responses=openapi.answers(AliasMoveDescription),
)
@requires(Permission.DATASETS_WRITE, "dataset_alias.set")
async def set_dataset_alias(request: Request, name: str, alias: str) -> Response:
    body = await parse_body(request, AliasTarget)
    datasets, actor = datasets_of(request), caller_of(request).actor

    def move() -> AliasMove:
        return datasets.aliases.set(name, alias, body.version, expected=body.expected, actor=actor)

    return json_response(describe_alias_move(name, await asyncio.to_thread(move)))


@router.delete("/aliases/{alias}", summary="Remove an alias of a dataset", status_code=204)
@requires(Permission.DATASETS_WRITE, "dataset_alias.remove")
async def remove_dataset_alias(request: Request, name: str, alias: str) -> Response:
    """Its history stays."""
    datasets, actor = datasets_of(request), caller_of(request).actor
    await asyncio.to_thread(lambda: datasets.aliases.set(name, alias, None, actor=actor))
    return Response(status_code=204)


@router.get("/labels", summary="Read a dataset's tags and description", responses=openapi.answers(LabelsDescription))
@requires(Permission.DATASETS_READ)
async def get_dataset_labels(request: Request, name: str) -> Response:
    """`name`: NAME is the dataset; NAME:ALIAS, NAME@NUMBER and NAME@sha256:DIGEST are Versions."""
    return json_response(describe_labels(await asyncio.to_thread(datasets_of(request).labels.get, name)))


@router.patch(
    "/labels",
    summary="Change a dataset's tags and description",
    openapi_extra=openapi.body(LabelsChange, {"description": "Tickets of 2026", "tags": {"team": "search"}}),
    responses=openapi.answers(LabelsDescription),
)
@requires(Permission.DATASETS_WRITE, "dataset_label.change")
async def change_dataset_labels(request: Request, name: str) -> Response:
    """Tags and a description that aren't named stay."""
    body = await parse_body(request, LabelsChange)
    labels, actor = datasets_of(request).labels, caller_of(request).actor

    def change() -> Labels:
        return labels.change(name, body.tags, body.remove_tags, body.description, actor=actor)

    return json_response(describe_labels(await asyncio.to_thread(change)))


@router.get(
    "/labels/history", summary="List the changes of a dataset's labels", responses=openapi.answers(LabelChanges)
)
@requires(Permission.DATASETS_READ)
async def dataset_label_history(request: Request, name: str) -> Response:
    """Oldest first. For a dataset, with those of its Versions."""
    changes = await asyncio.to_thread(datasets_of(request).labels.history, name)
    return json_response(LabelChanges([describe_label_change(change) for change in changes]))
