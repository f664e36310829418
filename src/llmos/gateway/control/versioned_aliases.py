"""Endpoints of a noun's aliases: movable names for Versions, and their history."""

import asyncio
from datetime import UTC, datetime
from enum import Enum

import msgspec
from fastapi import APIRouter, Request, Response

from llmos.core.errors import BadRequest
from llmos.core.schemas.aliases import AliasMoveDescription
from llmos.core.versioning.aliases import AliasMove
from llmos.core.versioning.descriptions import describe_alias_move
from llmos.gateway.control.named_noun import NamedNoun
from llmos.gateway.http import openapi
from llmos.gateway.http.permissions import requires
from llmos.gateway.http.replies import caller_of, json_response
from llmos.gateway.http.requests import RequestObject, parse_body, parse_query


class AliasMoves(msgspec.Struct):
    data: list[AliasMoveDescription]


class AliasTarget(RequestObject, kw_only=True):
    version: str
    expected: str | None = None
    """Move it only if it points at this Version now. Otherwise 409."""


class AliasQuery(RequestObject, kw_only=True):
    at: str | None = None
    """An instant in ISO 8601: only the move that was the last one then."""


def add_alias_endpoints(router: APIRouter, noun: NamedNoun) -> None:
    endpoints, prefix, one = _AliasEndpoints(noun), noun.prefix, noun.one
    tags: list[str | Enum] = [noun.tags[0]]
    reads, moves = requires(noun.read), openapi.answers(AliasMoves)
    router.get(
        "/aliases", name=f"list_{prefix}aliases", summary=f"List the aliases of {one}", tags=tags, responses=moves
    )(reads(endpoints.list))
    router.put(
        "/aliases/{alias}",
        name=f"set_{prefix}alias",
        summary=f"Point an alias at a Version of {one}",
        tags=tags,
        openapi_extra=openapi.body(AliasTarget, {"version": noun.version}),
        responses=openapi.answers(AliasMoveDescription),
    )(requires(noun.write, f"{prefix}alias.set")(endpoints.set))
    router.delete(
        "/aliases/{alias}",
        name=f"remove_{prefix}alias",
        summary=f"Remove an alias of {one}",
        tags=tags,
        status_code=204,
    )(requires(noun.write, f"{prefix}alias.remove")(endpoints.remove))
    router.get(
        "/aliases/history",
        name=f"all_{prefix}alias_history",
        summary=f"List the moves of all aliases of {one}",
        tags=tags,
        responses=moves,
    )(reads(endpoints.history))
    router.get(
        "/aliases/{alias}/history",
        name=f"{prefix}alias_history",
        summary=f"List the moves of an alias of {one}",
        tags=tags,
        openapi_extra=openapi.query(AliasQuery),
        responses=moves,
    )(reads(endpoints.history_of_one))


class _AliasEndpoints:
    """The endpoints, whose docstrings are their descriptions in the API document."""

    def __init__(self, noun: NamedNoun) -> None:
        self._noun = noun

    async def list(self, request: Request, name: str) -> Response:
        """Each with its last move."""
        aliases = await asyncio.to_thread(self._noun.names_of(request).aliases.list, name)
        return json_response(AliasMoves([describe_alias_move(name, move) for move in aliases.values()]))

    async def set(self, request: Request, name: str, alias: str) -> Response:
        body = await parse_body(request, AliasTarget)
        aliases, actor = self._noun.names_of(request).aliases, caller_of(request).actor

        def move() -> AliasMove:
            return aliases.set(name, alias, body.version, expected=body.expected, actor=actor)

        return json_response(describe_alias_move(name, await asyncio.to_thread(move)))

    async def remove(self, request: Request, name: str, alias: str) -> Response:
        """Its history stays. 409 if something needs the alias, such as a deployment or a Route."""
        await asyncio.to_thread(self._noun.remove_alias or self._remove, request, name, alias)
        return Response(status_code=204)

    def _remove(self, request: Request, name: str, alias: str) -> None:
        self._noun.names_of(request).aliases.set(name, alias, None, actor=caller_of(request).actor)

    async def history(self, request: Request, name: str) -> Response:
        """Oldest first."""
        moves = await asyncio.to_thread(self._noun.names_of(request).aliases.history, name)
        return json_response(AliasMoves([describe_alias_move(name, move) for move in moves]))

    async def history_of_one(self, request: Request, name: str, alias: str) -> Response:
        """Oldest first. `?at=`: only the last move before that instant, if there is one."""
        query = parse_query(request, AliasQuery)
        moves = await asyncio.to_thread(self._noun.names_of(request).aliases.history, name, alias)
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
