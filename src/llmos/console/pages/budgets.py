"""Budgets: how full they are and when they start again; create, change and remove them."""

from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

from starlette.responses import Response

from llmos.console import code
from llmos.console.api import quote_path
from llmos.console.page import Fragments, Page
from llmos.console.pages.keys import projects_of
from llmos.console.tables import Column, Table
from llmos.console.view import View
from llmos.core.errors import BadRequest
from llmos.core.schemas.alerts import AlertDescription
from llmos.core.schemas.budgets import BudgetDescription, BudgetUse

PAGE = Page(name="usage", path="/budgets", permission="budgets:read", in_navigation=False, tab="budgets.title")

UNITS = ("money", "tokens", "requests")
PERIODS = ("day", "month", "total")


def share(part: str | None, whole: str) -> float | None:
    """Return how much of an amount another one is, from 0 on; None where that isn't known."""
    try:
        return None if part is None or not Decimal(whole) else float(Decimal(part) / Decimal(whole))
    except InvalidOperation:
        return None


def _whose(row: BudgetDescription) -> str:
    return " ".join(part for part in (row.project, row.key, row.user) if part)


def amount(text: str | None, currency: str) -> str | None:
    return f"{text} {currency}".strip() if text is not None else None


_COLUMNS: Sequence[Column[BudgetDescription]] = (
    Column(name="name", title="budgets.name", value=lambda row: row.name, link=lambda row: f"/budgets/{row.name}"),
    Column(name="scope", title="budgets.scope", value=lambda row: row.scope, kind="budget_scope"),
    Column(name="whose", title="budgets.whose", value=_whose),
    Column(name="full", title="budgets.full", value=lambda row: share(row.spent, row.limit), kind="share"),
    Column(name="spent", title="budgets.spent", value=lambda row: row.spent, kind="number_text"),
    Column(name="reserved", title="budgets.reserved", value=lambda row: row.reserved, kind="number_text"),
    Column(name="limit", title="budgets.limit", value=lambda row: row.limit, kind="number_text"),
    Column(name="unit", title="budgets.unit", value=lambda row: row.currency or row.unit),
    Column(name="per", title="budgets.per", value=lambda row: row.per, kind="period"),
    Column(name="resets_at", title="budgets.resets", value=lambda row: row.resets_at, kind="time"),
)
_USERS: Sequence[Column[BudgetUse]] = (
    Column(name="project", title="users.project", value=lambda row: row.project),
    Column(name="user", title="budgets.user", value=lambda row: row.user),
    Column(name="spent", title="budgets.spent", value=lambda row: row.spent, kind="number_text"),
    Column(name="reserved", title="budgets.reserved", value=lambda row: row.reserved, kind="number_text"),
    Column(name="left", title="budgets.left", value=lambda row: row.left, kind="number_text"),
)
ALERTS: Sequence[Column[AlertDescription]] = (
    Column(name="at", title="deployments.at", value=lambda row: row.at, kind="time"),
    Column(name="percent", title="alerts.percent", value=lambda row: row.percent, kind="number"),
    Column(name="project", title="users.project", value=lambda row: row.project),
    Column(name="user", title="budgets.user", value=lambda row: row.user),
    Column(name="spent", title="budgets.spent", value=lambda row: amount(row.spent, row.currency), kind="number_text"),
    Column(name="limit", title="budgets.limit", value=lambda row: amount(row.limit, row.currency), kind="number_text"),
)


@PAGE.get()
async def list_budgets(view: View) -> Response:
    budgets = await view.api.list(BudgetDescription, "/llmos/v1/budgets")
    table = Table(view, "budgets", _COLUMNS, budgets, empty="budgets.none")
    if table.is_wanted_as_csv:
        return table.csv()
    return view.render(
        "budgets.html",
        table=table,
        units=UNITS,
        periods=PERIODS,
        projects=await projects_of(view),
        code=code.changing(
            "PUT",
            "llmos budget set acme '50 EUR' --project acme --per month",
            "/llmos/v1/budgets/acme",
            {"project": "acme", "unit": "money", "limit": "50", "currency": "EUR", "per": "month"},
            'client.budgets.set("acme", project="acme", unit="money", limit="50", currency="EUR", per="month")',
        ),
    )


@PAGE.get("/{name}")
async def show_budget(view: View) -> Response:
    name = view.request.path_params["name"]
    budget = await view.api.read(BudgetDescription, f"/llmos/v1/budgets/{name}")
    users = Table(view, "users", _USERS, budget.users, empty="budgets.no_users")
    alerts = Table(view, "alerts", ALERTS, budget.alerted, empty="alerts.none")
    for table in (users, alerts):
        if table.is_wanted_as_csv:
            return table.csv()
    return view.render(
        "budget.html",
        budget=budget,
        full=share(budget.spent, budget.limit),
        users=users,
        alerts=alerts,
        units=UNITS,
        periods=PERIODS,
        code=code.reading(
            f"llmos budget show {name}",
            f"/llmos/v1/budgets/{quote_path(name)}",
            f'print(client.budgets.get("{name}").left)',
        ),
    )


@PAGE.live("/{name}")
async def watch_budget(view: View) -> Fragments:
    budget = await view.api.read(BudgetDescription, f"/llmos/v1/budgets/{view.request.path_params['name']}")
    return {"budget": view.html("budget_state.html", budget=budget, full=share(budget.spent, budget.limit))}


@PAGE.post("/set")
async def set_budget(view: View) -> Response:
    form = await view.form()
    name = form.get("name", "").strip()
    if not name:
        raise BadRequest(view.t("budgets.no_name"))
    await view.api.put(f"/llmos/v1/budgets/{name}", _settings(view, form))
    return view.redirect(f"/budgets/{name}", view.t("budgets.was_set", name=name))


@PAGE.post("/{name}/remove")
async def remove_budget(view: View) -> Response:
    await view.form()
    name = view.request.path_params["name"]
    view.form_came_from = f"/budgets/{name}"
    await view.api.delete(f"/llmos/v1/budgets/{name}")
    return view.redirect("/budgets", view.t("budgets.removed", name=name))


def _settings(view: View, form: Mapping[str, str]) -> dict[str, Any]:
    """Return what the form says, as the API takes it."""
    body: dict[str, Any] = {
        "unit": form.get("unit", ""),
        "limit": form.get("limit", "").strip(),
        "per": form.get("per", "month"),
        "is_hard": "is_hard" in form,
        "each_user": "each_user" in form,
        "alerts": _percentages(view, form.get("alerts", "")),
    }
    body |= {name: form[name].strip() for name in ("project", "key", "user") if form.get(name, "").strip()}
    if body["unit"] == "money":
        body["currency"] = form.get("currency", "").strip().upper()
    return body


def _percentages(view: View, text: str) -> list[int]:
    words = text.replace("%", " ").replace(",", " ").split()
    for word in words:
        if not (word.isascii() and word.isdigit() and len(word) < 6):
            raise BadRequest(view.t("base.no_number", text=word[:40]))
    return [int(word) for word in words]
