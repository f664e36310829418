"""Plans, and the prepaid credit of projects: how projects pay, and what they have used."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from starlette.responses import Response

from llmos.console import code
from llmos.console.api import quote_path
from llmos.console.page import Page
from llmos.console.pages.budgets import ALERTS
from llmos.console.pages.keys import projects_of
from llmos.console.tables import Column, Table
from llmos.console.view import View
from llmos.core.errors import BadRequest
from llmos.core.schemas.credit import CreditDescription
from llmos.core.schemas.plans import PlanDescription

PAGE = Page(name="usage", path="/plans", permission="plans:read", in_navigation=False, tab="plans.title")

KINDS = ("pay_as_you_go", "prepaid", "subscription")

_PLANS: Sequence[Column[PlanDescription]] = (
    Column(name="name", title="plans.name", value=lambda row: row.name, link=lambda row: f"/plans/{row.name}"),
    Column(name="version", title="models.version", value=lambda row: row.version, kind="number"),
    Column(name="kind", title="plans.kind", value=lambda row: row.kind, kind="plan_kind"),
    Column(name="monthly_fee", title="plans.fee", value=lambda row: row.monthly_fee, kind="number_text"),
    Column(name="currency", title="plans.currency", value=lambda row: row.currency),
    Column(name="projects", title="projects.title", value=lambda row: ", ".join(each.project for each in row.projects)),
    Column(name="valid_from", title="plans.valid_from", value=lambda row: row.valid_from, kind="time"),
)
_CREDIT: Sequence[Column[CreditDescription]] = (
    Column(
        name="project", title="users.project", value=lambda row: row.project, link=lambda row: f"/credit/{row.project}"
    ),
    Column(name="currency", title="plans.currency", value=lambda row: row.currency),
    Column(name="left", title="budgets.left", value=lambda row: row.left, kind="number_text"),
    Column(name="balance", title="credit.balance", value=lambda row: row.balance, kind="number_text"),
    Column(name="reserved", title="budgets.reserved", value=lambda row: row.reserved, kind="number_text"),
    Column(name="spent", title="budgets.spent", value=lambda row: row.spent, kind="number_text"),
)


@PAGE.get()
async def list_plans(view: View) -> Response:
    plans = Table(view, "plans", _PLANS, await view.api.list(PlanDescription, "/llmos/v1/plans"), empty="plans.none")
    found = await view.api.list(CreditDescription, "/llmos/v1/credit") if view.may("credit:read") else []
    credit = Table(view, "credit", _CREDIT, found, empty="credit.none")
    for table in (plans, credit):
        if table.is_wanted_as_csv:
            return table.csv()
    return view.render(
        "plans.html",
        plans=plans,
        credit=credit,
        kinds=KINDS,
        code=code.changing(
            "POST",
            "llmos billing-plan set team.yaml",
            "/llmos/v1/plans",
            {"name": "team", "kind": "subscription", "currency": "EUR", "monthly_fee": "20"},
            'client.plans.set({"name": "team", "kind": "subscription", "currency": "EUR", "monthly_fee": "20"})',
        ),
    )


@PAGE.get("/{name}")
async def show_plan(view: View) -> Response:
    name = view.request.path_params["name"]
    plan = await view.api.read(PlanDescription, f"/llmos/v1/plans/{name}", version=view.query("version"))
    alerts = [alert for project in plan.projects for alert in project.alerts]
    table = Table(view, "alerts", ALERTS, alerts, empty="alerts.none")
    if table.is_wanted_as_csv:
        return table.csv()
    return view.render(
        "plan.html",
        plan=plan,
        alerts=table,
        projects=await projects_of(view),
        code=code.changing(
            "POST",
            f"llmos billing-plan assign {name} acme",
            f"/llmos/v1/plans/{quote_path(name)}/assign",
            {"project": "acme"},
            f'client.plans.assign("{name}", "acme")',
        ),
    )


@PAGE.post("/set")
async def set_plan(view: View) -> Response:
    form = await view.form()
    view.form_came_from = "/plans"
    body: dict[str, Any] = {name: form.get(name, "").strip() for name in ("name", "kind", "currency")}
    body["currency"] = body["currency"].upper()
    body |= {name: form[name].strip() for name in ("monthly_fee", "from") if form.get(name, "").strip()}
    body |= read_object(view, form.get("more", ""))
    await view.api.post("/llmos/v1/plans", body)
    return view.redirect(f"/plans/{body['name']}", view.t("plans.was_set", name=body["name"]))


@PAGE.post("/{name}/assign")
async def assign(view: View) -> Response:
    form, name = await _change(view)
    await view.api.post(f"/llmos/v1/plans/{name}/assign", _whose(form))
    return view.redirect(view.form_came_from, view.t("plans.assigned", name=name, project=form.get("project", "")))


@PAGE.post("/{name}/unassign")
async def unassign(view: View) -> Response:
    form, name = await _change(view)
    await view.api.post("/llmos/v1/plans/unassign", _whose(form))
    return view.redirect(view.form_came_from, view.t("plans.unassigned", name=name, project=form.get("project", "")))


def read_object(view: View, text: str) -> dict[str, Any]:
    """Return the JSON object that a field has; nothing for an empty one. Raises BadRequest."""
    if not text.strip():
        return {}
    try:
        found = json.loads(text)
    except ValueError as error:
        raise BadRequest(view.t("base.no_json", problem=str(error))) from None
    if not isinstance(found, dict):
        raise BadRequest(view.t("base.no_object"))
    return found


def _whose(form: Mapping[str, str]) -> dict[str, str]:
    return {name: form[name].strip() for name in ("project", "from") if form.get(name, "").strip()}


async def _change(view: View) -> tuple[Mapping[str, str], str]:
    form, name = await view.form(), view.request.path_params["name"]
    view.form_came_from = f"/plans/{name}"
    return form, name
