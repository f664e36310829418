"""/llmos/v1/keys: API keys. The text of a key is in the reply that creates or rotates it, and nowhere else.

Keys of the project `owner` manage every project's, others their own project's; the rest is 404 for them.
"""

import asyncio
from datetime import datetime, timedelta
from typing import Annotated, ClassVar

import msgspec
from fastapi import APIRouter, Request, Response
from msgspec import Meta

from llmos.core.errors import NotFound
from llmos.core.schemas.keys import KeyDescription, NewKeyDescription
from llmos.gateway.control.limits import LimitsRequest
from llmos.gateway.http import openapi
from llmos.gateway.http.permissions import requires
from llmos.gateway.http.replies import caller_of, json_response
from llmos.gateway.http.requests import RequestObject, parse_body, parse_query
from llmos.gateway.services import services_of
from llmos.security.callers import Caller
from llmos.security.descriptions import describe_key, describe_new_key
from llmos.security.keys import MAX_OVERLAP, OVERLAP, NewKey
from llmos.security.limits import NO_LIMITS
from llmos.security.permissions import Permission
from llmos.security.roles import DEFAULT_ROLE

router = APIRouter(prefix="/llmos/v1/keys", tags=["keys"])


class KeyRequest(RequestObject, kw_only=True):
    project: str | None = None
    """The project; by default that of the calling key."""
    name: str = ""
    """A label, such as the owner or the purpose of the key."""
    role: str = DEFAULT_ROLE
    """viewer, developer, operator or owner."""
    expires_at: Annotated[datetime, Meta(tz=True)] | None = None
    """The time at which the key expires; by default never."""
    routes: list[str] = msgspec.field(default_factory=list)
    """The names that it may ask for; empty: all."""
    addresses: list[str] = msgspec.field(default_factory=list)
    """The networks that it may be used from, such as 10.0.0.0/8; empty: all."""
    limits: LimitsRequest | None = None
    """By default none."""

    objects: ClassVar = {"limits": LimitsRequest}


class RotateRequest(RequestObject, kw_only=True):
    overlap_seconds: Annotated[int, Meta(ge=0, le=int(MAX_OVERLAP.total_seconds()))] = int(OVERLAP.total_seconds())
    """The time that the old text still works. 0: none."""


class KeysQuery(RequestObject, kw_only=True):
    project: str | None = None


class KeyDescriptions(msgspec.Struct):
    data: list[KeyDescription]


@router.post(
    "",
    summary="Create an API key",
    openapi_extra=openapi.body(KeyRequest, {"name": "CI", "role": "developer"}),
    responses=openapi.answers(NewKeyDescription),
)
@requires(Permission.KEYS_WRITE, "key.create")
async def create_key(request: Request) -> Response:
    """`key` in the reply is the key's text, which can't be read again."""
    body, caller, keys = await parse_body(request, KeyRequest), caller_of(request), services_of(request).keys
    new = NewKey(
        project=_project(caller, body.project) or caller.project,
        name=body.name,
        role=body.role,
        expires_at=body.expires_at,
        routes=body.routes,
        addresses=body.addresses,
        limits=NO_LIMITS if body.limits is None else body.limits.limits(),
    )
    key, text = await asyncio.to_thread(lambda: keys.create(new, actor=caller.actor))
    return json_response(describe_new_key(key, text))


@router.get(
    "",
    summary="List the API keys",
    openapi_extra=openapi.query(KeysQuery),
    responses=openapi.answers(KeyDescriptions),
)
@requires(Permission.KEYS_READ)
async def list_keys(request: Request) -> Response:
    """Revoked and expired ones, too: histories name them. `?project=` selects."""
    project = _project(caller_of(request), parse_query(request, KeysQuery).project)
    keys = await asyncio.to_thread(services_of(request).keys.list, project)
    return json_response(KeyDescriptions([describe_key(key) for key in keys]))


@router.get("/{id}", summary="Describe an API key", responses=openapi.answers(KeyDescription))
@requires(Permission.KEYS_READ)
async def get_key(request: Request, id: str) -> Response:
    keys, project = services_of(request).keys, _project(caller_of(request))
    return json_response(describe_key(await asyncio.to_thread(lambda: keys.get(id, project=project))))


@router.post(
    "/{id}/rotate",
    summary="Give an API key a new text",
    openapi_extra=openapi.body(RotateRequest, {"overlap_seconds": 3600}),
    responses=openapi.answers(NewKeyDescription),
)
@requires(Permission.KEYS_WRITE, "key.rotate")
async def rotate_key(request: Request, id: str) -> Response:
    """The old text works for `overlap_seconds` more. 409 for a key that is revoked or expired."""
    body = await parse_body(request, RotateRequest)
    keys, project, overlap = services_of(request).keys, _project(caller_of(request)), timedelta(0, body.overlap_seconds)
    key, text = await asyncio.to_thread(lambda: keys.rotate(id, overlap=overlap, project=project))
    return json_response(describe_new_key(key, text))


@router.put(
    "/{id}/limits",
    summary="Replace the limits of an API key",
    openapi_extra=openapi.body(LimitsRequest, {"requests_per_minute": 60, "tokens_per_minute": 100_000}),
    responses=openapi.answers(KeyDescription),
)
@requires(Permission.KEYS_WRITE, "key.set_limits")
async def limit_key(request: Request, id: str) -> Response:
    """Calls that run already aren't stopped."""
    limits = (await parse_body(request, LimitsRequest)).limits()
    keys, project = services_of(request).keys, _project(caller_of(request))
    return json_response(describe_key(await asyncio.to_thread(lambda: keys.set_limits(id, limits, project=project))))


@router.post("/{id}/revoke", summary="Revoke an API key", responses=openapi.answers(KeyDescription))
@requires(Permission.KEYS_WRITE, "key.revoke")
async def revoke_key(request: Request, id: str) -> Response:
    """It stops at once on this server, and within seconds on others that share the database."""
    keys, caller = services_of(request).keys, caller_of(request)
    key = await asyncio.to_thread(lambda: keys.revoke(id, actor=caller.actor, project=_project(caller)))
    return json_response(describe_key(key))


def _project(caller: Caller, asked: str | None = None) -> str | None:
    """Return the project whose keys are meant; None: all. Raises NotFound for one that the caller can't see."""
    if caller.is_of_installation:
        return asked
    if asked is not None and asked != caller.project:
        raise NotFound(f"There is no project {asked[:80]!r}. GET /llmos/v1/projects lists them.", param="project")
    return caller.project
