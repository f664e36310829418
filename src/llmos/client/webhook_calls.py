"""The calls about webhooks: what each sends and how its reply is read."""

from collections.abc import Sequence
from urllib.parse import quote, urlencode

from llmos.client.call import Call, read_each, read_nothing, read_one
from llmos.core.schemas.webhooks import DeliveryDescription, NewWebhookDescription, WebhookDescription

_WEBHOOKS = "/llmos/v1/webhooks"


def add_webhook(name: str, url: str, events: Sequence[str], allow_private: bool) -> Call[NewWebhookDescription]:
    body = {"name": name, "url": url, "events": [*events], "allow_private": allow_private}
    return Call(method="POST", path=_WEBHOOKS, body=body, read=read_one(NewWebhookDescription))


def list_webhooks() -> Call[list[WebhookDescription]]:
    return Call(method="GET", path=_WEBHOOKS, read=read_each(WebhookDescription))


def get_webhook(name: str) -> Call[WebhookDescription]:
    return Call(method="GET", path=_path(name), read=read_one(WebhookDescription))


def test_webhook(name: str) -> Call[DeliveryDescription]:
    return Call(method="POST", path=f"{_path(name)}/test", read=read_one(DeliveryDescription))


def rotate_webhook(name: str, overlap_hours: float) -> Call[NewWebhookDescription]:
    body = {"overlap_hours": overlap_hours}
    return Call(method="POST", path=f"{_path(name)}/rotate", body=body, read=read_one(NewWebhookDescription))


def list_deliveries(
    name: str | None, state: str | None, after: str | None, limit: int
) -> Call[list[DeliveryDescription]]:
    given = {"webhook": name, "state": state, "after": after, "limit": limit}
    query = urlencode({key: value for key, value in given.items() if value is not None})
    return Call(method="GET", path=f"{_WEBHOOKS}/deliveries?{query}", read=read_each(DeliveryDescription))


def remove_webhook(name: str) -> Call[None]:
    return Call(method="DELETE", path=_path(name), read=read_nothing)


def _path(name: str) -> str:
    return f"{_WEBHOOKS}/{quote(name, safe='')}"
