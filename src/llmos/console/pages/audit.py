"""The audit log: its entries by actor and action, and whether it is whole."""

from collections.abc import Sequence

from starlette.responses import Response

from llmos.console import code
from llmos.console.api import with_query
from llmos.console.page import Page
from llmos.console.tables import Column, Table
from llmos.console.view import View
from llmos.core.schemas.audit import AuditEntryDescription, AuditVerification
from llmos.core.schemas.base import read_description

PAGE = Page(name="settings", path="/settings/audit", permission="audit:read", in_navigation=False, tab="audit.title")

_LIMIT = 200

_COLUMNS: Sequence[Column[AuditEntryDescription]] = (
    Column(name="number", title="audit.number", value=lambda row: row.number, kind="number"),
    Column(name="time", title="deployments.at", value=lambda row: row.time, kind="time"),
    Column(name="action", title="audit.action", value=lambda row: row.action),
    Column(name="object", title="audit.object", value=lambda row: row.object),
    Column(name="outcome", title="receipt.outcome", value=lambda row: row.outcome, kind="state"),
    Column(name="actor", title="deployments.actor", value=lambda row: row.actor),
    Column(name="project", title="users.project", value=lambda row: row.project),
    Column(name="address", title="audit.address", value=lambda row: row.address),
    Column(name="error", title="receipt.error", value=lambda row: row.error),
)


@PAGE.get()
async def list_entries(view: View) -> Response:
    asked = {name: view.query(name).strip() for name in ("actor", "action", "before")}
    before = asked["before"] if asked["before"].isascii() and asked["before"].isdigit() else ""
    entries = await view.api.list(
        AuditEntryDescription,
        "/llmos/v1/audit",
        actor=asked["actor"],
        action=asked["action"],
        before=before,
        limit=_LIMIT,
    )
    table = Table(view, "audit", _COLUMNS, entries, empty="audit.none")
    if table.is_wanted_as_csv:
        return table.csv()
    kept = {name: asked[name] for name in ("actor", "action")}
    has_more = len(entries) == _LIMIT
    return view.render(
        "audit.html",
        table=table,
        asked=asked,
        older=with_query("/settings/audit", {**kept, "before": entries[-1].number}) if has_more else None,
        code=code.reading(
            "llmos audit list",
            with_query("/llmos/v1/audit", kept),
            "for entry in client.audit.list():\n    print(entry.time, entry.actor, entry.action, entry.object)",
        ),
    )


@PAGE.post("/verify")
async def verify(view: View) -> Response:
    await view.form()
    found = read_description(AuditVerification, await view.api.post("/llmos/v1/audit/verify"))
    if found.is_intact:
        return view.redirect("/settings/audit", view.t("audit.intact", number=view.t.number(found.num_entries)))
    text = view.t("audit.broken", number=found.first_bad, problem=found.problem)
    return view.redirect("/settings/audit", text, kind="failed")
