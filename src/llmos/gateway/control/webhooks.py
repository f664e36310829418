"""/llmos/v1/webhooks: programs elsewhere that are told what happens in a project."""

import asyncio
from datetime import timedelta
from functools import partial
from typing import Annotated, Literal

import msgspec
from fastapi import APIRouter, Request, Response
from msgspec import Meta

from llmos.core.errors import BadRequest
from llmos.core.schemas.webhooks import DeliveryDescription, NewWebhookDescription, WebhookDescription
from llmos.core.webhooks.sending import Sender
from llmos.core.webhooks.webhooks import NewWebhook, Webhooks
from llmos.gateway.http import openapi
from llmos.gateway.http.permissions import requires
from llmos.gateway.http.replies import caller_of, json_response
from llmos.gateway.http.requests import RequestObject, parse_body, parse_query
from llmos.gateway.services import services_of
from llmos.security.permissions import OWNER, Permission

router = APIRouter(prefix="/llmos/v1/webhooks", tags=["webhooks"])


class WebhookDescriptions(msgspec.Struct):
    data: list[WebhookDescription]


class DeliveryDescriptions(msgspec.Struct):
    data: list[DeliveryDescription]


class WebhookRequest(RequestObject, kw_only=True):
    name: str
    url: str
    """The https URL that messages are sent to."""
    events: list[str] = msgspec.field(default_factory=list)
    """The events to receive; empty: all."""
    allow_private: bool = False
    """http and private addresses are allowed. Only for keys of the project `owner`."""


class SecretRotation(RequestObject, kw_only=True):
    overlap_hours: Annotated[float, Meta(ge=0, le=24 * 30)] = 24
    """The time that messages are signed with the old secret, too."""


class DeliveriesQuery(RequestObject, kw_only=True):
    webhook: str | None = None
    state: Literal["pending", "delivered", "failed"] | None = None
    after: str | None = None
    """The id of a message: only older ones."""
    limit: Annotated[int, Meta(ge=1, le=1000)] = 100


def webhooks_of(request: Request) -> Webhooks:
    return services_of(request).webhooks


@router.post(
    "",
    summary="Add a webhook",
    openapi_extra=openapi.body(WebhookRequest, {"name": "crm", "url": "https://example.com/hooks"}),
    responses=openapi.answers(NewWebhookDescription),
)
@requires(Permission.WEBHOOKS_WRITE, "webhook.add")
async def add_webhook(request: Request) -> Response:
    """The answer has the secret that messages are signed with. No other answer has it."""
    body, caller = await parse_body(request, WebhookRequest), caller_of(request)
    if body.allow_private and caller.project != OWNER:
        raise BadRequest("Only keys of the project `owner` allow private addresses.", param="allow_private")
    new = NewWebhook(name=body.name, url=body.url, events=body.events, allow_private=body.allow_private)
    return json_response(await asyncio.to_thread(webhooks_of(request).add, caller.project, new))


@router.get("", summary="List the webhooks", responses=openapi.answers(WebhookDescriptions))
@requires(Permission.WEBHOOKS_READ)
async def list_webhooks(request: Request) -> Response:
    found = await asyncio.to_thread(webhooks_of(request).list, caller_of(request).project)
    return json_response(WebhookDescriptions(found))


@router.get(
    "/deliveries",
    summary="List the messages to webhooks",
    openapi_extra=openapi.query(DeliveriesQuery),
    responses=openapi.answers(DeliveryDescriptions),
)
@requires(Permission.WEBHOOKS_READ)
async def list_deliveries(request: Request) -> Response:
    """Newest first, with their attempts, and never what was sent. They are kept for 30 days."""
    query = parse_query(request, DeliveriesQuery)
    listed = partial(
        services_of(request).outbox.deliveries,
        caller_of(request).project,
        query.webhook,
        state=query.state,
        after=query.after,
        limit=query.limit,
    )
    return json_response(DeliveryDescriptions([*await asyncio.to_thread(listed)]))


@router.get("/{webhook}", summary="Describe a webhook", responses=openapi.answers(WebhookDescription))
@requires(Permission.WEBHOOKS_READ)
async def get_webhook(request: Request, webhook: str) -> Response:
    return json_response(await asyncio.to_thread(webhooks_of(request).get, caller_of(request).project, webhook))


@router.post("/{webhook}/test", summary="Send a test message", responses=openapi.answers(DeliveryDescription))
@requires(Permission.WEBHOOKS_WRITE, "webhook.test")
async def test_webhook(request: Request, webhook: str) -> Response:
    """Sends `webhook.test` once, and says what the receiver answered."""
    outbox = services_of(request).outbox
    message = await asyncio.to_thread(outbox.add_test, caller_of(request).project, webhook)
    async with Sender() as sender:
        outcome = await sender.send(message)
    return json_response(await asyncio.to_thread(partial(outbox.finish, message, outcome, again=False)))


@router.post(
    "/{webhook}/rotate",
    summary="Replace the secret of a webhook",
    openapi_extra=openapi.body(SecretRotation, {"overlap_hours": 24}),
    responses=openapi.answers(NewWebhookDescription),
)
@requires(Permission.WEBHOOKS_WRITE, "webhook.rotate")
async def rotate_webhook(request: Request, webhook: str) -> Response:
    """The answer has the new secret. For the overlap, messages are signed with both."""
    body, project = await parse_body(request, SecretRotation), caller_of(request).project
    rotate = partial(webhooks_of(request).rotate, project, webhook, overlap=timedelta(hours=body.overlap_hours))
    return json_response(await asyncio.to_thread(rotate))


@router.delete("/{webhook}", summary="Remove a webhook", status_code=204, responses={204: {"description": "Removed"}})
@requires(Permission.WEBHOOKS_WRITE, "webhook.remove")
async def remove_webhook(request: Request, webhook: str) -> Response:
    """With its messages, delivered or not."""
    await asyncio.to_thread(webhooks_of(request).remove, caller_of(request).project, webhook)
    return Response(status_code=204)
