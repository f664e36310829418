"""Endpoints of a noun's labels: tags and descriptions of names and Versions, and their history."""

import asyncio
from enum import Enum

import msgspec
from fastapi import APIRouter, Request, Response

from llmos.core.schemas.labels import LabelChangeDescription, LabelsDescription
from llmos.core.versioning.descriptions import describe_label_change, describe_labels
from llmos.core.versioning.labels import Labels
from llmos.gateway.control.named_noun import NamedNoun
from llmos.gateway.http import openapi
from llmos.gateway.http.permissions import requires
from llmos.gateway.http.replies import caller_of, json_response
from llmos.gateway.http.requests import RequestObject, parse_body

_EXAMPLE = {"description": "Approved for our customers", "tags": {"team": "search"}}


class LabelsChange(RequestObject, kw_only=True):
    description: str | None = None
    """An empty one removes it."""
    tags: dict[str, str] = msgspec.field(default_factory=dict)
    """Tags to set. The value of a tag that is only a word is empty."""
    remove_tags: list[str] = msgspec.field(default_factory=list)


class LabelChanges(msgspec.Struct):
    data: list[LabelChangeDescription]


def add_label_endpoints(router: APIRouter, noun: NamedNoun) -> None:
    endpoints = _LabelEndpoints(noun)
    tags: list[str | Enum] = [noun.tags[1]]
    reads, labels = requires(noun.read), openapi.answers(LabelsDescription)
    router.get(
        "/labels",
        name=f"get_{noun.prefix}labels",
        summary=f"Read tags and description of {noun.one}",
        tags=tags,
        responses=labels,
    )(reads(endpoints.get))
    router.patch(
        "/labels",
        name=f"change_{noun.prefix}labels",
        summary=f"Change tags and description of {noun.one}",
        tags=tags,
        openapi_extra=openapi.body(LabelsChange, _EXAMPLE),
        responses=labels,
    )(requires(noun.write, f"{noun.prefix}label.change")(endpoints.change))
    router.get(
        "/labels/history",
        name=f"{noun.prefix}label_history",
        summary=f"List the changes of tags and descriptions of {noun.one}",
        tags=tags,
        responses=openapi.answers(LabelChanges),
    )(reads(endpoints.history))


class _LabelEndpoints:
    """The endpoints, whose docstrings are their descriptions in the API document."""

    def __init__(self, noun: NamedNoun) -> None:
        self._noun = noun

    async def get(self, request: Request, name: str) -> Response:
        """`name`: NAME is the whole name; NAME:ALIAS, NAME@NUMBER and NAME@sha256:DIGEST are Versions."""
        return json_response(describe_labels(await asyncio.to_thread(self._noun.names_of(request).labels.get, name)))

    async def change(self, request: Request, name: str) -> Response:
        """Tags and a description that aren't named stay."""
        body = await parse_body(request, LabelsChange)
        labels, actor = self._noun.names_of(request).labels, caller_of(request).actor

        def change() -> Labels:
            return labels.change(name, body.tags, body.remove_tags, body.description, actor=actor)

        return json_response(describe_labels(await asyncio.to_thread(change)))

    async def history(self, request: Request, name: str) -> Response:
        """Oldest first. For a name, with those of its Versions."""
        changes = await asyncio.to_thread(self._noun.names_of(request).labels.history, name)
        return json_response(LabelChanges([describe_label_change(change) for change in changes]))
