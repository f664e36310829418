"""Webhooks: who is told what happens, what became of the messages, and a test."""

from collections.abc import Mapping, Sequence
from typing import Any

from starlette.responses import Response

from llmos.console import code
from llmos.console.api import quote_path
from llmos.console.page import Page
from llmos.console.tables import Column, Table
from llmos.console.view import View
from llmos.core.schemas.base import read_description
from llmos.core.schemas.webhooks import DeliveryDescription, NewWebhookDescription, WebhookDescription

PAGE = Page(
    name="settings", path="/settings/webhooks", permission="webhooks:read", in_navigation=False, tab="webhooks.title"
)

_COLUMNS: Sequence[Column[WebhookDescription]] = (
    Column(
        name="name",
        title="webhooks.name",
        value=lambda row: row.name,
        link=lambda row: f"/settings/webhooks/{row.name}",
    ),
    Column(name="url", title="webhooks.url", value=lambda row: row.url),
    Column(name="events", title="webhooks.events", value=lambda row: ", ".join(row.events)),
    Column(name="num_pending", title="webhooks.pending", value=lambda row: row.num_pending, kind="number"),
    Column(name="created_at", title="projects.created", value=lambda row: row.created_at, kind="time"),
)
_DELIVERIES: Sequence[Column[DeliveryDescription]] = (
    Column(name="created_at", title="deployments.at", value=lambda row: row.created_at, kind="time"),
    Column(name="event", title="deployments.event", value=lambda row: row.event),
    Column(name="state", title="keys.state", value=lambda row: row.state, kind="state"),
    Column(name="num_attempts", title="webhooks.attempts", value=lambda row: len(row.attempts), kind="number"),
    Column(name="answer", title="webhooks.answer", value=lambda row: outcome_of(row)),
    Column(name="next_attempt_at", title="webhooks.next", value=lambda row: row.next_attempt_at, kind="time"),
    Column(name="id", title="webhooks.message", value=lambda row: row.id),
)


@PAGE.get()
async def list_webhooks(view: View) -> Response:
    found = await view.api.list(WebhookDescription, "/llmos/v1/webhooks")
    table = Table(view, "webhooks", _COLUMNS, found, empty="webhooks.none")
    if table.is_wanted_as_csv:
        return table.csv()
    return view.render(
        "webhooks.html",
        table=table,
        code=code.changing(
            "POST",
            "llmos webhook add crm https://example.com/hooks",
            "/llmos/v1/webhooks",
            {"name": "crm", "url": "https://example.com/hooks"},
            'print(client.webhooks.add("crm", "https://example.com/hooks").secret)',
        ),
    )


@PAGE.post("/create")
async def create(view: View) -> Response:
    form = await view.form()
    view.form_came_from = "/settings/webhooks"
    body: dict[str, Any] = {name: form.get(name, "").strip() for name in ("name", "url")}
    body["events"] = form.get("events", "").replace(",", " ").split()
    body["allow_private"] = "allow_private" in form
    return _show_once(view, await view.api.post("/llmos/v1/webhooks", body))


@PAGE.get("/{name}")
async def show_webhook(view: View) -> Response:
    name = view.request.path_params["name"]
    webhook = await view.api.read(WebhookDescription, f"/llmos/v1/webhooks/{name}")
    found = await view.api.list(DeliveryDescription, "/llmos/v1/webhooks/deliveries", webhook=webhook.name, limit=500)
    table = Table(view, "deliveries", _DELIVERIES, found, empty="webhooks.no_deliveries")
    if table.is_wanted_as_csv:
        return table.csv()
    return view.render(
        "webhook.html",
        webhook=webhook,
        table=table,
        code=code.changing(
            "POST",
            f"llmos webhook test {name}",
            f"/llmos/v1/webhooks/{quote_path(name)}/test",
            {},
            f'print(client.webhooks.test("{name}").state)',
        ),
    )


@PAGE.post("/{name}/test")
async def test_webhook(view: View) -> Response:
    _, name = await _change(view)
    sent = read_description(DeliveryDescription, await view.api.post(f"/llmos/v1/webhooks/{name}/test"))
    kind = "done" if sent.state == "delivered" else "failed"
    text = view.t("webhooks.tested", state=view.t.of("state", sent.state), answer=outcome_of(sent) or "–")
    return view.redirect(view.form_came_from, text, kind=kind)


@PAGE.post("/{name}/rotate")
async def rotate(view: View) -> Response:
    _, name = await _change(view)
    return _show_once(view, await view.api.post(f"/llmos/v1/webhooks/{name}/rotate"))


@PAGE.post("/{name}/remove")
async def remove(view: View) -> Response:
    _, name = await _change(view)
    await view.api.delete(f"/llmos/v1/webhooks/{name}")
    return view.redirect("/settings/webhooks", view.t("webhooks.removed", name=name))


def outcome_of(delivery: DeliveryDescription) -> str | None:
    """Return what the receiver answered the last time, or why it didn't."""
    if not delivery.attempts:
        return None
    last = delivery.attempts[-1]
    return " ".join(part for part in (str(last.status or ""), last.error) if part)


def _show_once(view: View, created: Mapping[str, Any]) -> Response:
    """Return the page with the secret of a webhook, which no other page has."""
    view.shown_path = "/settings/webhooks"
    return view.render("webhook_once.html", webhook=read_description(NewWebhookDescription, created))


async def _change(view: View) -> tuple[Mapping[str, str], str]:
    form, name = await view.form(), view.request.path_params["name"]
    view.form_came_from = f"/settings/webhooks/{name}"
    return form, name
