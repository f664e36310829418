"""/llmos/v1/models/NAME/card: a Version's measured cost and quality, and the verdicts of the project's limits."""

import asyncio

import msgspec
from fastapi import APIRouter, Request, Response

from llmos.core.errors import NotFound
from llmos.core.schemas.cards import Card, CardDescription, LimitVerdict
from llmos.gateway.http import openapi
from llmos.gateway.http.permissions import requires
from llmos.gateway.http.replies import json_response, page_response
from llmos.gateway.services import Services, services_of
from llmos.models.cards.cards import Cards
from llmos.models.cards.limits import verdicts
from llmos.models.cards.page import page, siblings
from llmos.models.descriptions import describe_card
from llmos.models.policies import Policies
from llmos.security.permissions import Permission

router = APIRouter(prefix="/llmos/v1/models/{name}", tags=["models"])


class CardDescriptions(msgspec.Struct):
    data: list[CardDescription]


@router.get("/card", summary="Read a Version's card", responses=openapi.answers(CardDescription))
@requires(Permission.MODELS_READ)
async def get_card(request: Request, name: str) -> Response:
    """`name` is a Route or a reference. 404 if it was never measured; a job of the kind `card` measures it."""
    return json_response(await asyncio.to_thread(_described, services_of(request), name))


@router.get(
    "/card/related",
    summary="List the cards of Versions that were made from the same parents",
    responses=openapi.answers(CardDescriptions),
)
@requires(Permission.MODELS_READ)
async def get_related_cards(request: Request, name: str) -> Response:
    services = services_of(request)

    def read() -> list[CardDescription]:
        card, _ = _card(services, name)
        policies = Policies(services.registry.database).all()
        return [describe_card(each, verdicts(each, policies)) for each in siblings(services.registry, [card])]

    return json_response(CardDescriptions(await asyncio.to_thread(read)))


@router.get(
    "/card.html",
    summary="Read a Version's card as a page with plots",
    responses={200: {"content": {"text/html": {}}, "description": "A page without external resources"}},
)
@requires(Permission.MODELS_READ)
async def get_card_page(request: Request, name: str) -> Response:
    return page_response(await asyncio.to_thread(_page, services_of(request), name))


def _described(services: Services, name: str) -> CardDescription:
    card, judged = _card(services, name)
    return describe_card(card, judged)


def _page(services: Services, name: str) -> str:
    card, judged = _card(services, name)
    return page([card], [judged], siblings(services.registry, [card]))


def _card(services: Services, name: str) -> tuple[Card, list[LimitVerdict]]:
    version, database = services.routes.resolve_local(name), services.registry.database
    card = Cards(database).get(version)
    if card is None:
        raise NotFound(
            f"{version.ref} has no card yet. Measure it: llmos card {version.ref} --measure",
            param="name",
        )
    return card, verdicts(card, Policies(database).all())
