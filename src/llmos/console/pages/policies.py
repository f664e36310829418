"""Policies of the installation, and what each role may do."""

from collections.abc import Sequence

from starlette.responses import Response

from llmos.console import code
from llmos.console.page import Page
from llmos.console.tables import Column, Table
from llmos.console.view import View
from llmos.core.errors import BadRequest
from llmos.core.schemas.policies import PolicyDescription
from llmos.core.schemas.users import RoleDescription

PAGE = Page(
    name="settings", path="/settings/policies", permission="policies:read", in_navigation=False, tab="policies.title"
)

NAMES = ("require_signature", "max_perplexity_increase", "min_greedy_agreement")

_COLUMNS: Sequence[Column[PolicyDescription]] = (
    Column(name="name", title="policies.name", value=lambda row: row.name),
    Column(name="value", title="policies.value", value=lambda row: str(row.value)),
    Column(name="updated_at", title="routes.updated", value=lambda row: row.updated_at, kind="time"),
    Column(name="updated_by", title="deployments.actor", value=lambda row: row.updated_by),
)


@PAGE.get()
async def show_policies(view: View) -> Response:
    found = await view.api.list(PolicyDescription, "/llmos/v1/policies")
    table = Table(view, "policies", _COLUMNS, found, empty="policies.none")
    if table.is_wanted_as_csv:
        return table.csv()
    roles = await view.api.list(RoleDescription, "/llmos/v1/roles") if view.may("projects:read") else []
    return view.render(
        "policies.html",
        table=table,
        names=NAMES,
        roles=roles,
        permissions=sorted({permission for role in roles for permission in role.permissions}),
        code=code.changing(
            "PUT",
            "llmos policy set max_perplexity_increase 5%",
            "/llmos/v1/policies/max_perplexity_increase",
            {"value": "5%"},
            'client.policies.set("max_perplexity_increase", "5%")',
        ),
    )


@PAGE.post("/set")
async def set_policy(view: View) -> Response:
    form = await view.form()
    view.form_came_from = "/settings/policies"
    name, value = form.get("name", ""), form.get("value", "").strip()
    if not name:
        raise BadRequest(view.t("policies.no_name"))
    if form.get("unset"):
        await view.api.delete(f"/llmos/v1/policies/{name}")
        return view.redirect(view.form_came_from, view.t("policies.was_unset", name=name))
    await view.api.put(f"/llmos/v1/policies/{name}", {"value": value})
    return view.redirect(view.form_came_from, view.t("policies.was_set", name=name, value=value))
