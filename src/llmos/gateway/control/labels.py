"""/llmos/v1/models/NAME/labels: tags and descriptions of models and Versions."""

import asyncio

import msgspec
from fastapi import APIRouter, Request, Response

from llmos.core.schemas.labels import LabelChangeDescription, LabelsDescription
from llmos.core.versioning.descriptions import describe_label_change, describe_labels
from llmos.core.versioning.labels import Labels
from llmos.gateway.http import openapi
from llmos.gateway.http.permissions import requires
from llmos.gateway.http.replies import caller_of, json_response
from llmos.gateway.http.requests import RequestObject, parse_body
from llmos.gateway.services import services_of
from llmos.security.permissions import Permission

router = APIRouter(prefix="/llmos/v1/models/{name}/labels", tags=["labels"])


class LabelsChange(RequestObject, kw_only=True):
    description: str | None = None
    """An empty one removes it."""
    tags: dict[str, str] = msgspec.field(default_factory=dict)
    """Tags to set. The value of a tag that is only a word is empty."""
    remove_tags: list[str] = msgspec.field(default_factory=list)


class LabelChanges(msgspec.Struct):
    data: list[LabelChangeDescription]


@router.get(
    "",
    summary="Read tags and description",
    responses=openapi.answers(LabelsDescription),
)
@requires(Permission.MODELS_READ)
async def get_labels(request: Request, name: str) -> Response:
    """`name`: NAME is the model; NAME:ALIAS, NAME@NUMBER and NAME@sha256:DIGEST are Versions."""
    return json_response(describe_labels(await asyncio.to_thread(services_of(request).registry.labels.get, name)))


@router.patch(
    "",
    summary="Change tags and description",
    openapi_extra=openapi.body(LabelsChange, {"description": "Answers our customers", "tags": {"team": "search"}}),
    responses=openapi.answers(LabelsDescription),
)
@requires(Permission.MODELS_WRITE, "label.change")
async def change_labels(request: Request, name: str) -> Response:
    """Tags and a description that aren't named stay."""
    body = await parse_body(request, LabelsChange)
    labels, actor = services_of(request).registry.labels, caller_of(request).actor

    def change() -> Labels:
        return labels.change(name, body.tags, body.remove_tags, body.description, actor=actor)

    return json_response(describe_labels(await asyncio.to_thread(change)))


@router.get("/history", summary="List the changes of tags and descriptions", responses=openapi.answers(LabelChanges))
@requires(Permission.MODELS_READ)
async def label_history(request: Request, name: str) -> Response:
    """Oldest first. For a model, with those of its Versions."""
    changes = await asyncio.to_thread(services_of(request).registry.labels.history, name)
    return json_response(LabelChanges([describe_label_change(change) for change in changes]))
