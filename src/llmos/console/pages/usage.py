"""Usage: calls, tokens and cost in a time, by one of seven things, with the days as a chart."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

from starlette.responses import Response

from llmos.console import code
from llmos.console.page import Page
from llmos.console.tables import Column, Table
from llmos.console.view import View
from llmos.core.schemas.usage import UsageDescription, UsageReport
from llmos.core.usage_csv import shown_costs

PAGE = Page(name="usage", permission="usage:read", tab="usage.title")

KINDS = ("model", "route", "key", "user", "app", "project", "day")

_COLUMNS: Sequence[Column[UsageDescription]] = (
    Column(name="value", title="usage.value", value=lambda row: row.value),
    Column(name="num_calls", title="usage.calls", value=lambda row: row.num_calls, kind="number"),
    Column(name="input_tokens", title="usage.input", value=lambda row: row.input_tokens, kind="number"),
    Column(name="cached_input_tokens", title="usage.cached", value=lambda row: row.cached_input_tokens, kind="number"),
    Column(name="output_tokens", title="usage.output", value=lambda row: row.output_tokens, kind="number"),
    Column(name="embedding_tokens", title="usage.embedding", value=lambda row: row.embedding_tokens, kind="number"),
    Column(name="rated_tokens", title="usage.rated", value=lambda row: row.rated_tokens, kind="number"),
    Column(
        name="replica_seconds", title="usage.seconds", value=lambda row: round(row.replica_seconds, 1), kind="number"
    ),
    Column(name="costs", title="usage.costs", value=lambda row: shown_costs(row.costs)),
)

_BOUGHT: Sequence[Column[UsageDescription]] = (
    Column(name="provider_costs", title="usage.provider_costs", value=lambda row: shown_costs(row.provider_costs)),
    Column(name="margins", title="usage.margins", value=lambda row: shown_costs(row.margins)),
)
"""The columns of costs at providers, for visitors who may see them."""


@PAGE.get()
async def show_usage(view: View) -> Response:
    by = view.query("by") if view.query("by") in KINDS else "model"
    times = {"from": view.query("from"), "to": view.query("to")}
    given = {name: value for name, value in times.items() if value}
    report = await view.api.read(UsageReport, "/llmos/v1/usage", by=by, **given)
    days = report if by == "day" else await view.api.read(UsageReport, "/llmos/v1/usage", by="day", **given)
    columns = (*_COLUMNS, *_BOUGHT) if any(row.provider_costs for row in report.data) else _COLUMNS
    table = Table(view, "usage", columns, report.data, empty="usage.none")
    if table.is_wanted_as_csv:
        return table.csv()
    query = urlencode({"by": by, **given})
    arguments = "".join(f" --{name} {value}" for name, value in given.items())
    return view.render(
        "usage.html",
        by=by,
        kinds=KINDS,
        times=times,
        report=report,
        table=table,
        series=_series(view, days),
        sums=_sums(report),
        scope="all" if view.session.project == "owner" else "own",
        code=code.reading(
            f"llmos usage --by {by}{arguments}",
            f"/llmos/v1/usage?{query}",
            f'for row in client.usage.report("{by}").data:\n    print(row.value, row.num_calls, row.output_tokens)',
        ),
    )


def _series(view: View, days: UsageReport) -> str:
    """Return the tokens of each day as the chart's script reads them."""
    rows = [(datetime.fromisoformat(row.value).replace(tzinfo=UTC), _tokens(row)) for row in days.data if row.value]
    labels = [view.t("usage.day"), view.t("usage.tokens")]
    span = [moment and int(moment.timestamp()) for moment in (days.start, days.end)]
    x, y = [int(day.timestamp()) for day, _ in rows], [number for _, number in rows]
    return json.dumps({"labels": labels, "x": x, "y": y, "span": span})


def _sums(report: UsageReport) -> dict[str, Any]:
    costs: dict[str, Decimal] = {}
    for row in report.data:
        for currency, amount in row.costs.items():
            costs[currency] = costs.get(currency, Decimal()) + Decimal(amount)
    return {
        "calls": sum(row.num_calls for row in report.data),
        "tokens": sum(map(_tokens, report.data)),
        "costs": {currency: f"{amount.normalize():f}" for currency, amount in sorted(costs.items())},
    }


def _tokens(row: UsageDescription) -> int:
    spent = row.input_tokens + row.cached_input_tokens + row.output_tokens
    return spent + row.embedding_tokens + row.rated_tokens
