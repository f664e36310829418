"""llmos credit add, list, show, reverse: what projects have paid in advance."""

from typing import Annotated

import typer

from llmos.cli import options
from llmos.cli.control import open_control
from llmos.cli.output import print_facts, print_json, print_table, stderr, stdout
from llmos.cli.plans import shown_alerts
from llmos.core.config import load_settings
from llmos.core.schemas.credit import CreditDescription

_Project = Annotated[str, typer.Argument(metavar="PROJECT", help="The project's name.")]
_Note = Annotated[
    str, typer.Option(help="A note for the line, such as the purpose of the payment.", show_default=False)
]


def register(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, help="Manage the prepaid credit of projects.")
    group.command("add")(add)
    group.command("list")(list_)
    group.command("show")(show)
    group.command("reverse")(reverse)
    app.add_typer(group, name="credit")


def add(
    project: _Project,
    amount: Annotated[str, typer.Argument(metavar="AMOUNT", help="A decimal, such as 50 or 0.5.")],
    currency: Annotated[str, typer.Option(help="Its three letters.")],
    note: _Note = "",
    key: Annotated[
        str,
        typer.Option(
            help="An idempotency key: a second top-up with the same key adds nothing.", show_default="a new one"
        ),
    ] = "",
    as_json: options.AsJson = False,
) -> None:
    """Top up the credit of a project. Calls cost credit while its plan is prepaid."""
    with open_control(load_settings()) as control:
        credit = control.credit.add(project, amount, currency, note=note, key=key)
    _print_change(credit, as_json=as_json)


def list_(as_json: options.AsJson = False) -> None:
    """List the credit of all projects."""
    with open_control(load_settings()) as control:
        found = control.credit.list()
    if not found and not as_json:
        stderr().print("No project has credit. To top one up: llmos credit add PROJECT 50 --currency EUR")
        return
    columns = {"project": "project", "currency": "currency", "balance": "balance", "reserved": "reserved"}
    print_table(found, columns, as_json=as_json)


def show(project: _Project, as_json: options.AsJson = False) -> None:
    """Show the credit of a project: its balance, its alerts, and every line."""
    with open_control(load_settings()) as control:
        found = control.credit.get(project)
    if as_json:
        print_json(found)
        return
    if not found:
        stderr().print(f"{project} has no credit. To top it up: llmos credit add {project} 50 --currency EUR")
    for each in found:
        _print(each)


def reverse(
    project: _Project,
    line: Annotated[str, typer.Argument(metavar="LINE", help="The id of the top-up: credit-3f….")],
    note: _Note = "",
    as_json: options.AsJson = False,
) -> None:
    """Reverse a top-up by a line with the opposite amount."""
    with open_control(load_settings()) as control:
        credit = control.credit.reverse(project, line, note=note)
    _print_change(credit, as_json=as_json)


def _print_change(credit: CreditDescription, *, as_json: bool) -> None:
    if as_json:
        print_json(credit)
        return
    stdout().print(f"{credit.project} has {credit.balance} {credit.currency}.")
    if not credit.is_used:
        stderr().print(
            f"Its calls don't cost credit: its plan isn't prepaid in {credit.currency}. See: llmos billing-plan assign"
            " --help"
        )


def _print(credit: CreditDescription) -> None:
    facts = {
        "balance": f"{credit.balance} {credit.currency}",
        "reserved": credit.reserved,
        "left": credit.left,
        "topped up": credit.topped_up,
        "spent": credit.spent,
        "used": "yes" if credit.is_used else "no: the plan isn't prepaid",
        "alerts": shown_alerts(credit.alerts),
    }
    print_facts(facts)
    columns = {"at": "at", "id": "line", "amount": "amount", "balance": "balance", "note": "note", "created_by": "by"}
    print_table(credit.lines, columns)
