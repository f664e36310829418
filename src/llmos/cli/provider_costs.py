"""llmos provider price, costs, calls: what calls cost at providers, and whether they count right."""

from pathlib import Path
from typing import Annotated, Any

import typer

from llmos.cli import options
from llmos.cli.control import open_control
from llmos.cli.documents import read_document
from llmos.cli.output import fields_of, print_facts, print_json, print_table, stderr, stdout
from llmos.core.config import load_settings
from llmos.core.schemas.provider_costs import ProviderCost, ProviderPriceDescription
from llmos.core.usage_csv import shown_costs

_Provider = Annotated[str, typer.Argument(metavar="NAME", help="The provider.")]
_OneProvider = Annotated[
    str | None, typer.Argument(metavar="NAME", help="Only this provider.", show_default="all of them")
]


def register(group: typer.Typer) -> None:
    prices = typer.Typer(no_args_is_help=True, help="Set and show the prices of providers, each from a date on.")
    prices.command("set")(set_)
    prices.command("list")(list_)
    group.add_typer(prices, name="price")
    group.command("costs")(costs)
    group.command("calls")(calls)


def set_(
    name: _Provider,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="YAML with currency, prices and, if later, from.")],
    as_json: options.AsJson = False,
) -> None:
    """Add a version of a provider's prices. The cost of earlier calls doesn't change."""
    document = read_document(file, "`currency` and `prices`")
    with open_control(load_settings()) as control:
        found = control.providers.set_prices(name, document)
    if as_json:
        print_json(found)
    else:
        _print(found)


def list_(name: _Provider, as_json: options.AsJson = False) -> None:
    """Show the versions, newest first."""
    with open_control(load_settings()) as control:
        found = control.providers.prices(name)
    if as_json:
        print_table(found, {}, as_json=True)
    elif not found:
        stderr().print(f"{name} has no prices. To set them: llmos provider price set {name} FILE")
    for each in () if as_json else found:
        _print(each)


def costs(
    name: _OneProvider = None,
    start: options.PeriodStart = None,
    end: options.PeriodEnd = None,
    as_json: options.AsJson = False,
) -> None:
    """Show the cost of calls at providers, and the number of calls that a provider can't have counted correctly."""
    from llmos.cli.times import parse_period

    first, last = parse_period(start, end)
    with open_control(load_settings()) as control:
        report = control.providers.costs(name, start=first, end=last)
    if as_json:
        print_json(report)
        return
    if not report.data:
        stderr().print("No provider was asked in this time.")
        return
    columns = {
        "provider": "provider",
        "model": "model",
        "num_calls": "calls",
        "num_estimated": "estimated",
        "input_tokens": "input",
        "cached_input_tokens": "cached input",
        "output_tokens": "output",
        "costs": "cost",
        "reported_costs": "reported cost",
        "differences": "differences",
    }
    print_table([_shown(each) for each in report.data], columns)
    if any(each.differences for each in report.data):
        stderr().print("To see the calls with differences: llmos provider calls --difference any")


def calls(
    name: _OneProvider = None,
    difference: Annotated[
        str | None,
        typer.Option(help="Only those with this: unreported, input, output, cost or any.", show_default="all calls"),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="The most calls.")] = 50,
    as_json: options.AsJson = False,
) -> None:
    """List calls at providers, newest first, with the usage that the providers report."""
    with open_control(load_settings()) as control:
        page = control.providers.calls(name, difference=difference, limit=limit)
    if as_json:
        print_json(page)
        return
    if not page.data:
        stderr().print("There are no such calls.")
        return
    columns = {
        "call_id": "answer",
        "at": "at",
        "version": "model",
        "outcome": "outcome",
        "input_tokens": "input",
        "output_tokens": "output",
        "cost": "cost",
        "reported_cost": "reported cost",
        "currency": "currency",
        "differences": "differences",
    }
    print_table([{**fields_of(each), "differences": ", ".join(each.differences)} for each in page.data], columns)


def _shown(row: ProviderCost) -> dict[str, Any]:
    differences = ", ".join(f"{number} {kind}" for kind, number in row.differences.items())
    amounts = {"costs": shown_costs(row.costs) or None, "reported_costs": shown_costs(row.reported_costs) or None}
    return {**fields_of(row), **amounts, "differences": differences}


def _print(found: ProviderPriceDescription) -> None:
    facts = {"version": found.version, "from": found.valid_from, "currency": found.currency, "set by": found.created_by}
    print_facts(facts)
    for model, prices in found.prices.items():
        tokens = {f"{kind}, million tokens": price for kind, price in prices.get("per_million_tokens", {}).items()}
        stdout().print(f"\n{model}", markup=False)
        print_facts({**{name: each for name, each in prices.items() if name == "per_call"}, **tokens})
