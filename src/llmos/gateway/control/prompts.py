"""/llmos/v1/prompts: the prompts of the key's project: texts with typed variables, in Versions."""

import asyncio
from functools import partial
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Request, Response
from msgspec import Meta

from llmos.core.prompt_text import MAX_BYTES, PromptText
from llmos.core.schemas.models import RemovalDescription
from llmos.core.schemas.prompts import (
    PromptDescription,
    PromptDetails,
    PromptDifference,
    PromptVariable,
    RenderedPrompt,
)
from llmos.core.versioning.descriptions import describe_removal
from llmos.data.prompts import descriptions as describe
from llmos.data.prompts.comparing import compare
from llmos.data.prompts.prompts import ProjectPrompts
from llmos.gateway.http import openapi
from llmos.gateway.http.permissions import requires
from llmos.gateway.http.replies import caller_of, json_response
from llmos.gateway.http.requests import RequestObject, parse_body, parse_query
from llmos.gateway.services import services_of
from llmos.security.permissions import Permission

router = APIRouter(prefix="/llmos/v1/prompts", tags=["prompts"])

_TEXT = "---\ntone: {enum: [formal, friendly], default: friendly}\n---\nHelp the customers of {{shop}}. Be {{tone}}."


class PromptDescriptions(msgspec.Struct):
    data: list[PromptDescription]


class NewPrompt(RequestObject, kw_only=True):
    name: str
    text: Annotated[str, Meta(max_length=MAX_BYTES)]
    """The text, with variables such as {{shop}}. It may begin with front matter that describes the variables."""
    variables: dict[str, PromptVariable] | None = None
    """The types and limits of the variables, by name. With this field, front matter in the text has no meaning."""


class RenderRequest(RequestObject, kw_only=True):
    variables: dict[str, Any] = msgspec.field(default_factory=dict)
    """The values of the variables. Those with a default may be left out."""


class PromptDiffQuery(RequestObject, kw_only=True):
    to: str
    """The newer Version."""


def prompts_of(request: Request) -> ProjectPrompts:
    """Return the prompts of the caller's project."""
    return services_of(request).data.prompts.of(caller_of(request).project)


@router.post(
    "",
    summary="Make a Version of a prompt",
    status_code=201,
    openapi_extra=openapi.body(NewPrompt, {"name": "support", "text": _TEXT}),
    responses=openapi.answers(PromptDetails, status=201),
)
@requires(Permission.PROMPTS_WRITE, "prompt.create")
async def create_prompt(request: Request) -> Response:
    """The same text and types are the same Version, which is returned again. 400 names what is wrong in a prompt."""
    body = await parse_body(request, NewPrompt)
    prompts, actor = prompts_of(request), caller_of(request).actor

    def create() -> PromptDetails:
        source = f"The prompt {body.name:.80}"
        if body.variables is None:
            text = PromptText.parse(body.text, source)
        else:
            text = PromptText.typed(body.text, msgspec.to_builtins(body.variables), source)
        version = prompts.create(body.name, text, actor=actor)
        return describe.describe_details(prompts.show(version.ref))

    return json_response(await asyncio.to_thread(create), 201)


@router.get("", summary="List the prompts", responses=openapi.answers(PromptDescriptions))
@requires(Permission.PROMPTS_READ)
async def list_prompts(request: Request) -> Response:
    """Every Version of the project's prompts, without the texts."""

    def read() -> PromptDescriptions:
        prompts = prompts_of(request)
        versions = prompts.list()
        labels = prompts.labels_of(versions)
        return PromptDescriptions([describe.describe_version(version, labels) for version in versions])

    return json_response(await asyncio.to_thread(read))


@router.get("/{name}", summary="Read a Version of a prompt", responses=openapi.answers(PromptDetails))
@requires(Permission.PROMPTS_READ)
async def get_prompt(request: Request, name: str) -> Response:
    """`name` is NAME (the newest Version), NAME:ALIAS, NAME@NUMBER or NAME@sha256:DIGEST."""
    return json_response(describe.describe_details(await asyncio.to_thread(prompts_of(request).show, name)))


@router.delete("/{name}", summary="Remove a prompt, or one Version", responses=openapi.answers(RemovalDescription))
@requires(Permission.PROMPTS_WRITE, "prompt.remove")
async def remove_prompt(request: Request, name: str) -> Response:
    """409 for a Version that an alias points at."""
    remove = partial(prompts_of(request).remove, name, actor=caller_of(request).actor)
    return json_response(describe_removal(await asyncio.to_thread(remove)))


@router.get(
    "/{name}/diff",
    summary="Compare two Versions of a prompt",
    openapi_extra=openapi.query(PromptDiffQuery),
    responses=openapi.answers(PromptDifference),
)
@requires(Permission.PROMPTS_READ)
async def compare_prompts(request: Request, name: str) -> Response:
    """The lines of their texts that differ, and the variables that are new, gone, or take something else."""
    query = parse_query(request, PromptDiffQuery)

    def read() -> PromptDifference:
        prompts = prompts_of(request)
        older, newer = prompts.resolve(name), prompts.resolve(query.to)
        return compare(prompts.text(older), prompts.text(newer))

    return json_response(await asyncio.to_thread(read))


@router.post(
    "/{name}/render",
    summary="Fill in the variables of a prompt",
    openapi_extra=openapi.body(RenderRequest, {"variables": {"shop": "Acme"}}),
    responses=openapi.answers(RenderedPrompt),
)
@requires(Permission.PROMPTS_READ)
async def render_prompt(request: Request, name: str) -> Response:
    """400 names a variable that is missing, unknown or wrong, and says what it takes."""
    body = await parse_body(request, RenderRequest)

    def render() -> RenderedPrompt:
        prompts = prompts_of(request)
        version = prompts.resolve(name)
        text = prompts.text(version)
        values = text.values(body.variables)
        return RenderedPrompt(version=version.ref, text=text.fill(values), variables=values)

    return json_response(await asyncio.to_thread(render))
