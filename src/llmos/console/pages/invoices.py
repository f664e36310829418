"""Invoices: list, make, verify and take back; one with its lines, as a page and as a PDF."""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from starlette.responses import Response

from llmos.console import code
from llmos.console.api import quote_path, with_query
from llmos.console.page import Page
from llmos.console.pages.keys import projects_of
from llmos.console.tables import Column, Table
from llmos.console.view import View
from llmos.core.errors import BadRequest
from llmos.core.schemas.invoices import (
    InvoiceDescription,
    InvoiceLine,
    InvoiceSettings,
    InvoiceSummary,
    InvoiceVerification,
    LineCheck,
)

PAGE = Page(name="usage", path="/invoices", permission="invoices:read", in_navigation=False, tab="invoices.title")

_COLUMNS: Sequence[Column[InvoiceSummary]] = (
    Column(
        name="number", title="invoices.number", value=lambda row: row.number, link=lambda row: f"/invoices/{row.number}"
    ),
    Column(name="kind", title="invoices.kind", value=lambda row: row.kind, kind="invoice_kind"),
    Column(name="project", title="users.project", value=lambda row: row.project),
    Column(name="month", title="invoices.month", value=lambda row: row.month),
    Column(name="total", title="invoices.total", value=lambda row: row.total, kind="number_text"),
    Column(name="currency", title="plans.currency", value=lambda row: row.currency),
    Column(name="issued_at", title="invoices.issued", value=lambda row: row.issued_at, kind="time"),
    Column(name="due_on", title="invoices.due", value=lambda row: row.due_on),
    Column(name="corrected_by", title="invoices.corrected_by", value=lambda row: row.corrected_by),
)
_LINES: Sequence[Column[InvoiceLine]] = (
    Column(name="number", title="invoices.line", value=lambda row: row.number, kind="number"),
    Column(name="description", title="models.description", value=lambda row: row.description),
    Column(name="quantity", title="invoices.quantity", value=lambda row: row.quantity, kind="number_text"),
    Column(name="unit", title="invoices.unit", value=lambda row: row.unit),
    Column(name="unit_price", title="invoices.price", value=lambda row: row.unit_price, kind="number_text"),
    Column(name="per", title="invoices.per", value=lambda row: row.per, kind="number"),
    Column(name="amount", title="invoices.amount", value=lambda row: row.amount, kind="number_text"),
    Column(name="price_version", title="invoices.prices", value=lambda row: row.price_version),
)
_CHECKS: Sequence[Column[LineCheck]] = (
    Column(name="number", title="invoices.line", value=lambda row: row.number, kind="number"),
    Column(name="description", title="models.description", value=lambda row: row.description),
    Column(name="stated", title="invoices.stated", value=lambda row: row.stated, kind="number_text"),
    Column(name="derived", title="invoices.derived", value=lambda row: row.derived, kind="number_text"),
    Column(
        name="is_correct",
        title="keys.state",
        value=lambda row: "succeeded" if row.is_correct else "failed",
        kind="state",
    ),
    Column(name="problem", title="invoices.problem", value=lambda row: row.problem),
)


@PAGE.get()
async def list_invoices(view: View) -> Response:
    found = await view.api.list(InvoiceSummary, "/llmos/v1/invoices", project=view.query("project"))
    table = Table(view, "invoices", _COLUMNS, found, empty="invoices.none")
    if table.is_wanted_as_csv:
        return table.csv()
    return view.render(
        "invoices.html",
        table=table,
        projects=await projects_of(view) or [view.session.project],
        code=code.changing(
            "POST",
            "llmos invoice make --project acme --month 2026-11",
            "/llmos/v1/invoices",
            {"project": "acme", "month": "2026-11"},
            'client.invoices.make("acme", "2026-11")',
        ),
    )


@PAGE.get("/draft")
async def show_draft(view: View) -> Response:
    asked = {name: view.query(name).strip() for name in ("project", "month", "currency") if view.query(name).strip()}
    if "project" not in asked or "month" not in asked:
        return view.redirect("/invoices")
    invoice = await view.api.read(InvoiceDescription, "/llmos/v1/invoices/draft", **asked)
    return _show(view, invoice, f"/llmos/v1/invoices/draft?{urlencode(asked)}&", asked)


@PAGE.get("/settings")
async def show_settings(view: View) -> Response:
    project = view.query("project")
    return view.render(
        "invoice_settings.html",
        project=project,
        settings=await view.api.read(InvoiceSettings, "/llmos/v1/invoices/settings", project=project),
        projects=await projects_of(view),
        code=code.changing(
            "PUT",
            "llmos invoice configure settings.yaml",
            "/llmos/v1/invoices/settings",
            {"seller": {"name": "Example Ltd"}, "taxes": [{"name": "VAT 20 %", "percent": "20"}]},
            'client.invoices.configure({"seller": {"name": "Example Ltd"}})',
        ),
    )


@PAGE.get("/{name}")
async def show_invoice(view: View) -> Response:
    number = view.request.path_params["name"]
    invoice = await view.api.read(InvoiceDescription, f"/llmos/v1/invoices/{number}")
    return _show(view, invoice, f"/llmos/v1/invoices/{quote_path(number)}?", {})


@PAGE.get("/{name}/verification")
async def verify(view: View) -> Response:
    number = view.request.path_params["name"]
    found = await view.api.read(InvoiceVerification, f"/llmos/v1/invoices/{number}/verification")
    table = Table(view, "lines", _CHECKS, found.lines, empty="invoices.no_lines")
    if table.is_wanted_as_csv:
        return table.csv()
    return view.render(
        "invoice_verification.html",
        found=found,
        table=table,
        code=code.reading(
            f"llmos invoice verify {number}",
            f"/llmos/v1/invoices/{quote_path(number)}/verification",
            f'print(client.invoices.verify("{number}").is_correct)',
        ),
    )


@PAGE.post("/make")
async def make(view: View) -> Response:
    form = await view.form()
    view.form_came_from = "/invoices"
    asked = {name: form[name].strip() for name in ("project", "month", "currency") if form.get(name, "").strip()}
    made = await view.api.post("/llmos/v1/invoices", asked)
    return view.redirect(f"/invoices/{made['number']}", view.t("invoices.made", number=made["number"]))


@PAGE.post("/{name}/credit")
async def credit(view: View) -> Response:
    form, number = await view.form(), view.request.path_params["name"]
    view.form_came_from = f"/invoices/{number}"
    body = {"reason": form.get("reason", "").strip()}
    note = await view.api.post(f"/llmos/v1/invoices/{number}/credit", body)
    text = view.t("invoices.credited", number=number, note=note["number"])
    return view.redirect(f"/invoices/{note['number']}", text)


@PAGE.post("/settings")
async def set_settings(view: View) -> Response:
    form = await view.form()
    project = form.get("project", "")
    view.form_came_from = with_query("/invoices/settings", {"project": project})
    await view.api.put("/llmos/v1/invoices/settings", _settings(view, form), project=project)
    return view.redirect(view.form_came_from, view.t("invoices.configured"))


def _show(view: View, invoice: InvoiceDescription, address: str, draft: Mapping[str, str]) -> Response:
    """Return the page of an invoice, or of what one would be. `address`: of the API, up to the format."""
    lines = Table(view, "lines", _LINES, invoice.lines, empty="invoices.no_lines")
    if lines.is_wanted_as_csv:
        return lines.csv()
    return view.render(
        "invoice.html",
        invoice=invoice,
        lines=lines,
        address=address,
        draft=draft,
        code=code.reading(
            *_code_of_draft(draft),
        )
        if draft
        else code.reading(
            f"llmos invoice show {invoice.number}",
            f"/llmos/v1/invoices/{quote_path(invoice.number)}",
            f'print(client.invoices.get("{invoice.number}").total)',
        ),
    )


def _code_of_draft(draft: Mapping[str, str]) -> tuple[str, str, str]:
    project, month = draft["project"], draft["month"]
    return (
        f"llmos invoice make --project {project} --month {month} --draft",
        f"/llmos/v1/invoices/draft?{urlencode(draft)}",
        f'print(client.invoices.draft("{project}", "{month}").total)',
    )


def _settings(view: View, form: Mapping[str, str]) -> dict[str, Any]:
    """Return what the form says, without what it leaves empty."""
    body: dict[str, Any] = {}
    for party, names in (("seller", ("tax_id", "contact", "payment")), ("buyer", ("tax_id", "contact", "reference"))):
        given = {name: form.get(f"{party}.{name}", "").strip() for name in ("name", *names)}
        found: dict[str, Any] = {name: text for name, text in given.items() if text}
        if address := [line.strip() for line in form.get(f"{party}.address", "").splitlines() if line.strip()]:
            found["address"] = address
        if found:
            body[party] = found
    if form.get("taxes", "").strip():
        body["taxes"] = [_tax(view, line) for line in form["taxes"].splitlines() if line.strip()]
    if form.get("due_days", "").strip():
        if not form["due_days"].strip().isdigit():
            raise BadRequest(view.t("base.no_number", text=form["due_days"][:40]))
        body["due_days"] = int(form["due_days"])
    if form.get("note", "").strip():
        body["note"] = form["note"].strip()
    return body


def _tax(view: View, line: str) -> dict[str, str]:
    """Read `VAT 20 %; 20`."""
    name, semicolon, percent = line.rpartition(";")
    if not semicolon:
        raise BadRequest(view.t("invoices.no_tax", line=line[:80]))
    return {"name": name.strip(), "percent": percent.strip()}
