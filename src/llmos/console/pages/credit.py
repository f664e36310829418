"""The prepaid credit of one project: top it up, and take a top-up back."""

from collections.abc import Mapping, Sequence
from secrets import token_hex

from starlette.responses import Response

from llmos.console import code
from llmos.console.api import quote_path
from llmos.console.page import Page
from llmos.console.tables import Column, Table
from llmos.console.view import View
from llmos.core.schemas.credit import CreditDescription, CreditLineDescription

PAGE = Page(name="usage", path="/credit", permission="credit:read", in_navigation=False)

_LINES: Sequence[Column[CreditLineDescription]] = (
    Column(name="at", title="deployments.at", value=lambda row: row.at, kind="time"),
    Column(name="amount", title="credit.amount", value=lambda row: row.amount, kind="number_text"),
    Column(name="currency", title="plans.currency", value=lambda row: row.currency),
    Column(name="balance", title="credit.balance", value=lambda row: row.balance, kind="number_text"),
    Column(name="note", title="credit.note", value=lambda row: row.note),
    Column(name="created_by", title="deployments.actor", value=lambda row: row.created_by),
    Column(name="id", title="credit.line", value=lambda row: row.id),
    Column(name="reversal_of", title="credit.reversal_of", value=lambda row: row.reversal_of),
)


@PAGE.get("/{name}")
async def show_credit(view: View) -> Response:
    project = view.request.path_params["name"]
    credit = await view.api.list(CreditDescription, f"/llmos/v1/credit/{project}")
    lines = Table(view, "lines", _LINES, [line for each in credit for line in each.lines], empty="credit.no_lines")
    if lines.is_wanted_as_csv:
        return lines.csv()
    return view.render(
        "credit.html",
        project=project,
        credit=credit,
        lines=lines,
        key=token_hex(16),
        code=code.changing(
            "POST",
            f"llmos credit add {project} 50 --currency EUR",
            f"/llmos/v1/credit/{quote_path(project)}",
            {"amount": "50", "currency": "EUR"},
            f'client.credit.add("{project}", "50", "EUR")',
        ),
    )


@PAGE.post("/{name}/add")
async def add(view: View) -> Response:
    form, project = await _change(view)
    body = {name: form.get(name, "").strip() for name in ("amount", "currency", "note", "key")}
    added = await view.api.post(f"/llmos/v1/credit/{project}", body | {"currency": body["currency"].upper()})
    text = view.t("credit.added", balance=added["balance"], currency=added["currency"])
    return view.redirect(view.form_came_from, text)


@PAGE.post("/{name}/reverse")
async def reverse(view: View) -> Response:
    form, project = await _change(view)
    body = {name: form.get(name, "").strip() for name in ("line", "note")}
    await view.api.post(f"/llmos/v1/credit/{project}/reverse", body)
    return view.redirect(view.form_came_from, view.t("credit.reversed"))


async def _change(view: View) -> tuple[Mapping[str, str], str]:
    form, project = await view.form(), view.request.path_params["name"]
    view.form_came_from = f"/credit/{project}"
    return form, project
