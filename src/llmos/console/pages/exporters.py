"""Exporters: services elsewhere that are sent the entries of the ledger: how far they are, and what they refused."""

from collections.abc import Mapping, Sequence
from typing import Any

from starlette.responses import Response

from llmos.console import code
from llmos.console.api import quote_path
from llmos.console.page import Fragments, Page
from llmos.console.tables import Column, Table
from llmos.console.view import View
from llmos.core.schemas.base import read_description
from llmos.core.schemas.exporters import ExporterDescription, ExporterDetails, ExporterTest, RefusedEntry

PAGE = Page(
    name="usage", path="/usage/exporters", permission="exporters:read", in_navigation=False, tab="exporters.title"
)

KINDS = ("openmeter", "lago", "cloudevents")
SUBJECTS = ("project", "key", "user")
_API = "/llmos/v1/exporters"

_COLUMNS: Sequence[Column[ExporterDescription]] = (
    Column(
        name="name", title="webhooks.name", value=lambda row: row.name, link=lambda row: f"/usage/exporters/{row.name}"
    ),
    Column(name="kind", title="exporters.kind", value=lambda row: row.kind),
    Column(name="url", title="webhooks.url", value=lambda row: row.url),
    Column(name="state", title="keys.state", value=lambda row: row.state, kind="state"),
    Column(name="num_delivered", title="exporters.delivered", value=lambda row: row.num_delivered, kind="number"),
    Column(name="num_pending", title="exporters.pending", value=lambda row: row.num_pending, kind="number"),
    Column(name="num_refused", title="exporters.refused", value=lambda row: row.num_refused, kind="number"),
    Column(name="oldest", title="exporters.oldest", value=lambda row: row.oldest_pending_at, kind="time"),
    Column(name="error", title="receipt.error", value=lambda row: row.error),
)
_REFUSED: Sequence[Column[RefusedEntry]] = (
    Column(
        name="entry",
        title="exporters.entry",
        value=lambda row: row.entry,
        link=lambda row: f"/answers/{row.entry.partition('/')[0]}",
    ),
    Column(name="at", title="deployments.at", value=lambda row: row.at, kind="time"),
    Column(name="reason", title="exporters.reason", value=lambda row: row.reason),
    Column(name="refused_at", title="exporters.refused_at", value=lambda row: row.refused_at, kind="time"),
    Column(
        name="state",
        title="keys.state",
        value=lambda row: "waiting" if row.is_waiting else "refused",
        kind="state",
    ),
)


@PAGE.get()
async def list_exporters(view: View) -> Response:
    table = Table(view, "exporters", _COLUMNS, await _exporters(view), empty="exporters.none")
    if table.is_wanted_as_csv:
        return table.csv()
    return view.render(
        "exporters.html",
        table=table,
        kinds=KINDS,
        subjects=SUBJECTS,
        code=code.changing(
            "POST",
            "llmos exporter add meter --kind openmeter --url https://openmeter.example.com",
            _API,
            {"name": "meter", "kind": "openmeter", "url": "https://openmeter.example.com"},
            'client.exporters.add("meter", "openmeter", "https://openmeter.example.com")',
        ),
    )


@PAGE.post("/create")
async def create(view: View) -> Response:
    form = await view.form()
    view.form_came_from = "/usage/exporters"
    body: dict[str, Any] = {name: form.get(name, "").strip() for name in ("name", "kind", "url")}
    body |= {name: form[name].strip() for name in ("key", "subject", "type", "source") if form.get(name, "").strip()}
    if form.get("start"):
        body["start"] = f"{form['start']}T00:00:00Z"
    body["allow_private"] = "allow_private" in form
    made = read_description(ExporterDescription, await view.api.post(_API, body))
    return view.redirect(f"/usage/exporters/{made.name}", view.t("exporters.added", name=made.name))


@PAGE.get("/{name}")
async def show_exporter(view: View) -> Response:
    exporter = await _exporter(view)
    refused = Table(view, "refused", _REFUSED, exporter.refused, empty="exporters.none_refused")
    if refused.is_wanted_as_csv:
        return refused.csv()
    return view.render(
        "exporter.html",
        exporter=exporter,
        refused=refused,
        code=code.reading(
            f"llmos exporter show {exporter.name}",
            f"{_API}/{quote_path(exporter.name)}",
            f'exporter = client.exporters.get("{exporter.name}")\nprint(exporter.state, exporter.num_pending)',
        ),
    )


@PAGE.live("/{name}")
async def watch_exporter(view: View) -> Fragments:
    return {"exporter": view.html("exporter_state.html", exporter=await _exporter(view))}


@PAGE.post("/{name}/test")
async def test_exporter(view: View) -> Response:
    _, name = await _change(view)
    sent = read_description(ExporterTest, await view.api.post(f"{_API}/{name}/test"))
    answer = " ".join(part for part in (str(sent.status or ""), sent.error) if part) or "–"
    if sent.is_accepted:
        return view.redirect(view.form_came_from, view.t("exporters.accepted", answer=answer))
    return view.redirect(view.form_came_from, view.t("exporters.not_accepted", answer=answer), kind="failed")


@PAGE.post("/{name}/pause")
async def pause(view: View) -> Response:
    return await _order(view, "pause", "exporters.paused")


@PAGE.post("/{name}/resume")
async def resume(view: View) -> Response:
    return await _order(view, "resume", "exporters.resumed")


@PAGE.post("/{name}/retry")
async def retry(view: View) -> Response:
    return await _order(view, "retry", "exporters.retried")


@PAGE.post("/{name}/remove")
async def remove(view: View) -> Response:
    _, name = await _change(view)
    await view.api.delete(f"{_API}/{name}")
    return view.redirect("/usage/exporters", view.t("webhooks.removed", name=name))


async def _exporters(view: View) -> Sequence[ExporterDescription]:
    return await view.api.list(ExporterDescription, _API)


async def _exporter(view: View) -> ExporterDetails:
    return await view.api.read(ExporterDetails, f"{_API}/{view.request.path_params['name']}")


async def _change(view: View) -> tuple[Mapping[str, str], str]:
    form, name = await view.form(), view.request.path_params["name"]
    view.form_came_from = f"/usage/exporters/{name}"
    return form, name


async def _order(view: View, verb: str, message: str) -> Response:
    _, name = await _change(view)
    await view.api.post(f"{_API}/{name}/{verb}")
    return view.redirect(view.form_came_from, view.t(message, name=name))
