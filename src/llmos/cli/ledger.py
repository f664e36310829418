"""llmos ledger show, reverse, verify: what an answer consumed and cost, corrections of it, and proof of the sums."""

from typing import Annotated

import typer

from llmos.cli import options
from llmos.cli.control import open_control
from llmos.cli.output import fields_of, print_json, print_table, stderr, stdout
from llmos.core.config import load_settings
from llmos.core.schemas.ledger import LedgerEntryDescription
from llmos.core.schemas.ledger_verification import LedgerVerification

_Id = Annotated[str, typer.Argument(metavar="ANSWER", help="The id of the answer.")]


def register(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, help="Show and correct the usage and cost of single answers.")
    group.command("show")(show)
    group.command("reverse")(reverse)
    group.command("verify")(verify)
    app.add_typer(group, name="ledger")


def show(id: _Id, as_json: options.AsJson = False) -> None:
    """Show the entries of an answer, with its cost and reversals."""
    with open_control(load_settings()) as control:
        entries = control.ledger.entries(id)
    if as_json:
        print_json(entries)
        return
    columns = {
        "line": "line", "at": "at", "project": "project", "version": "version", "outcome": "outcome",
        "input_tokens": "input", "output_tokens": "output", "cost": "cost", "price_version": "prices",
    }  # fmt: skip
    print_table([{**fields_of(each), "cost": _cost(each)} for each in entries], columns)


def reverse(
    id: _Id,
    note: Annotated[str, typer.Option(help="The reason, for the audit log.")],
    line: Annotated[int, typer.Option(min=0, help="The index of the attempt whose entry is reversed.")] = 0,
    as_json: options.AsJson = False,
) -> None:
    """Reverse an entry by a new entry with the opposite numbers. Entries never change."""
    with open_control(load_settings()) as control:
        entry = control.ledger.reverse(id, line=line, note=note)
    if as_json:
        print_json(entry)
    else:
        stdout().print(f"{entry.id} takes {entry.reversal_of} back: {_cost(entry)}.")


def verify(
    start: options.PeriodStart = None,
    end: options.PeriodEnd = None,
    as_json: options.AsJson = False,
) -> None:
    """Verify the ledger: compare the entries with the sums by hour and day, and with the receipt of each answer."""
    from llmos.cli.times import parse_period

    first, last = parse_period(start, end)
    with open_control(load_settings()) as control:
        found = control.ledger.verify(start=first, end=last)
    if as_json:
        print_json(found)
    else:
        _print_found(found)
    if not found.is_sound:
        raise typer.Exit(1)


def _print_found(found: LedgerVerification) -> None:
    if found.is_sound:
        stdout().print(
            f"The ledger is sound: {found.num_entries:,} entries are those of the sums, {found.num_receipts:,} of them"
            " were compared with receipts."
        )
    else:
        stdout().print(f"The ledger has {found.num_problems:,} problems in {found.num_entries:,} entries.")
        print_table([fields_of(each) for each in found.problems], {"kind": "kind", "id": "what", "message": "problem"})
    if found.num_set_aside:
        stderr().print(f"{found.num_set_aside:,} entries wait in files until the database takes them.")


def _cost(entry: LedgerEntryDescription) -> str:
    return "no price" if entry.cost is None else f"{entry.cost} {entry.currency}"
