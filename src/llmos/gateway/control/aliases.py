"""/llmos/v1/models/NAME/aliases: movable names for a model's Versions, and their history."""

import asyncio
from datetime import UTC, datetime

import msgspec
from fastapi import APIRouter, Request, Response

from llmos.core.errors import BadRequest
from llmos.core.schemas.aliases import AliasMoveDescription
from llmos.core.versioning.aliases import AliasMove
from llmos.core.versioning.descriptions import describe_alias_move
from llmos.deployments.removing import remove
from llmos.gateway.http import openapi
from llmos.gateway.http.permissions import requires
from llmos.gateway.http.replies import caller_of, json_response
from llmos.gateway.http.requests import RequestObject, parse_body, parse_query
from llmos.gateway.services import services_of
from llmos.security.permissions import Permission

router = APIRouter(prefix="/llmos/v1/models/{name}/aliases", tags=["aliases"])


class AliasMoves(msgspec.Struct):
    data: list[AliasMoveDescription]


class AliasTarget(RequestObject, kw_only=True):
    version: str
    expected: str | None = None
    """Move it only if it points at this Version now. Otherwise 409."""


class AliasQuery(RequestObject, kw_only=True):
    at: str | None = None
    """An instant in ISO 8601: only the move that was the last one then."""


@router.get("", summary="List a model's aliases", responses=openapi.answers(AliasMoves))
@requires(Permission.MODELS_READ)
async def list_aliases(request: Request, name: str) -> Response:
    """Each with its last move."""
    aliases = await asyncio.to_thread(services_of(request).registry.aliases.list, name)
    return json_response(AliasMoves([describe_alias_move(name, move) for move in aliases.values()]))


@router.put(
    "/{alias}",
    summary="Point an alias at a Version",
    openapi_extra=openapi.body(AliasTarget, {"version": "smollm2@1"}),
    responses=openapi.answers(AliasMoveDescription),
)
@requires(Permission.MODELS_WRITE, "alias.set")
async def set_alias(request: Request, name: str, alias: str) -> Response:
    body = await parse_body(request, AliasTarget)
    registry, actor = services_of(request).registry, caller_of(request).actor

    def move() -> AliasMove:
        return registry.aliases.set(name, alias, body.version, expected=body.expected, actor=actor)

    return json_response(describe_alias_move(name, await asyncio.to_thread(move)))


@router.delete("/{alias}", summary="Remove an alias", status_code=204)
@requires(Permission.MODELS_WRITE, "alias.remove")
async def remove_alias(request: Request, name: str, alias: str) -> Response:
    """Its history stays. 409 if a deployment or a Route needs it."""
    registry, actor = services_of(request).registry, caller_of(request).actor
    await asyncio.to_thread(lambda: remove(registry, f"{name}:{alias}", actor=actor))
    return Response(status_code=204)


@router.get("/history", summary="List the moves of all aliases of a model", responses=openapi.answers(AliasMoves))
@requires(Permission.MODELS_READ)
async def all_alias_history(request: Request, name: str) -> Response:
    """Oldest first."""
    moves = await asyncio.to_thread(services_of(request).registry.aliases.history, name)
    return json_response(AliasMoves([describe_alias_move(name, move) for move in moves]))


@router.get(
    "/{alias}/history",
    summary="List the moves of an alias",
    openapi_extra=openapi.query(AliasQuery),
    responses=openapi.answers(AliasMoves),
)
@requires(Permission.MODELS_READ)
async def alias_history(request: Request, name: str, alias: str) -> Response:
    """Oldest first. `?at=`: only the last move before that instant, if there is one."""
    query = parse_query(request, AliasQuery)
    moves = await asyncio.to_thread(services_of(request).registry.aliases.history, name, alias)
    if query.at is not None:
        instant = _instant(query.at)
        moves = [move for move in moves if move.at <= instant][-1:]
    return json_response(AliasMoves([describe_alias_move(name, move) for move in moves]))


def _instant(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text.replace(" ", "+"))  # the unescaped + of a zone arrives as a space
    except ValueError:
        raise BadRequest(
            f"`at` is {text[:80]!r}. Write an instant such as 2026-03-03T14:00:00Z, or a day, which means its beginning"
            " in UTC.",
            param="at",
        ) from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
