"""llmos usage: what was consumed."""

import sys
from typing import Annotated, Any

import typer

from llmos.cli import options
from llmos.cli.control import open_control
from llmos.cli.output import fields_of, print_json, print_table, stderr
from llmos.core.config import load_settings
from llmos.core.errors import BadRequest
from llmos.core.schemas.usage import UsageDescription
from llmos.core.usage_csv import shown_costs, write_usage

_HEADINGS = {
    "num_calls": "calls",
    "input_tokens": "input",
    "cached_input_tokens": "cached input",
    "output_tokens": "output",
    "embedding_tokens": "embedding",
    "rated_tokens": "rated",
    "replica_seconds": "replica seconds",
    "costs": "cost",
}
_BOUGHT = {"provider_costs": "at providers", "margins": "margin"}


def register(app: typer.Typer) -> None:
    app.command("usage")(usage)


def usage(
    by: Annotated[str, typer.Option(help="project, key, user, route, model, app or day.")] = "model",
    start: options.PeriodStart = None,
    end: options.PeriodEnd = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    as_json: options.AsJson = False,
) -> None:
    """Show the usage: calls, tokens and the time of replicas. Times are widened to whole hours."""
    from llmos.cli.times import parse_period

    if as_csv and as_json:
        raise BadRequest("--csv and --json exclude each other. Leave one of them out.")
    first, last = parse_period(start, end)
    with open_control(load_settings()) as control:
        report = control.usage.report(by, start=first, end=last)
    if as_json:
        print_json(report)
    elif as_csv:
        sys.stdout.write(write_usage(report))
    elif report.data:
        rows = [_shown(row) for row in report.data]
        is_bought = any(row.provider_costs for row in report.data)
        print_table(rows, {"value": by, **_HEADINGS, **(_BOUGHT if is_bought else {})})
    else:
        stderr().print("Nothing was consumed in this time.")


def _shown(row: UsageDescription) -> dict[str, Any]:
    seconds = f"{row.replica_seconds:.1f}"
    amounts = {name: shown_costs(getattr(row, name)) or None for name in ("costs", "provider_costs", "margins")}
    return {**fields_of(row), "replica_seconds": seconds, **amounts}
