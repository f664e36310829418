"""Doctor: what the server's checks of its machine and installation find, and what to do."""

from collections.abc import Sequence

from starlette.responses import Response

from llmos.console import code
from llmos.console.page import Page
from llmos.console.tables import Column, Table
from llmos.console.view import View
from llmos.core.schemas.doctor import DoctorReport, Finding

PAGE = Page(name="settings", path="/settings/doctor", permission="doctor:read", in_navigation=False, tab="doctor.title")

_COLUMNS: Sequence[Column[Finding]] = (
    Column(name="check", title="doctor.check", value=lambda row: row.check),
    Column(name="ok", title="keys.state", value=lambda row: "sound" if row.ok else "to_mend", kind="state"),
    Column(name="found", title="doctor.found", value=lambda row: row.found),
    Column(name="advice", title="doctor.advice", value=lambda row: row.advice),
)


@PAGE.get()
async def show_report(view: View) -> Response:
    report = await view.api.read(DoctorReport, "/llmos/v1/doctor")
    worst_first = sorted(report.findings, key=lambda finding: finding.ok)
    table = Table(view, "findings", _COLUMNS, worst_first, empty="doctor.none")
    if table.is_wanted_as_csv:
        return table.csv()
    return view.render(
        "doctor.html",
        table=table,
        report=report,
        code=code.reading(
            "llmos doctor",
            "/llmos/v1/doctor",
            "for finding in client.doctor().findings:\n    print(finding.check, finding.ok, finding.found)",
        ),
    )
