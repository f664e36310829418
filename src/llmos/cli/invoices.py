"""llmos invoice make, list, show, verify, entries, credit, configure: what projects owe."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from llmos.cli import options
from llmos.cli.control import open_control
from llmos.cli.documents import read_document
from llmos.cli.output import fields_of, print_facts, print_json, print_table, stderr, stdout
from llmos.core.config import load_settings
from llmos.core.errors import BadRequest
from llmos.core.invoice_csv import entry_lines
from llmos.core.schemas.invoices import InvoiceDescription, InvoiceSettings
from llmos.core.schemas.ledger import LedgerEntryDescription

EXIT_DIFFERS = 1
"""An invoice differs from the ledger."""

_Number = Annotated[str, typer.Argument(metavar="NUMBER", help="Such as 2026-0001.")]
_OfProject = Annotated[
    str, typer.Option("--project", help="The project that the settings are for.", show_default="the installation")
]


def register(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, help="Make and verify the invoices of projects.")
    group.command("make")(make)
    group.command("list")(list_)
    group.command("show")(show)
    group.command("verify")(verify)
    group.command("entries")(entries)
    group.command("credit")(credit)
    group.command("configure")(configure)
    app.add_typer(group, name="invoice")


def make(
    project: Annotated[str, typer.Option(help="The project that pays.")],
    month: Annotated[str, typer.Option(metavar="YYYY-MM", help="A month that is over, in UTC.")],
    currency: Annotated[str | None, typer.Option(help="Its three letters.", show_default="the only one")] = None,
    draft: Annotated[
        bool, typer.Option("--draft", help="Show the invoice without making it, also for a month that isn't over.")
    ] = False,
    as_json: options.AsJson = False,
) -> None:
    """Make the invoice of a project for a month. It also includes earlier usage that no invoice has yet."""
    with open_control(load_settings()) as control:
        invoices = control.invoices
        found = (invoices.draft if draft else invoices.make)(project, month, currency=currency)
    _print(found, as_json=as_json)
    if not draft and not as_json:
        stderr().print(f"To send it: llmos invoice show {found.number} --output {found.number}.pdf")


def list_(
    project: Annotated[str | None, typer.Option(help="Only invoices of this project.", show_default="all")] = None,
    as_json: options.AsJson = False,
) -> None:
    """List invoices and credit notes, newest first."""
    with open_control(load_settings()) as control:
        found = control.invoices.list(project)
    if not found and not as_json:
        stderr().print("There are no invoices. To make one: llmos invoice make --project NAME --month YYYY-MM")
        return
    columns = {
        "number": "number", "kind": "kind", "project": "project", "month": "month", "total": "total",
        "currency": "currency", "due_on": "due", "corrected_by": "taken back by",
    }  # fmt: skip
    rows = found if as_json else [{**fields_of(each), "corrected_by": each.corrected_by or None} for each in found]
    print_table(rows, columns, as_json=as_json)


def show(
    number: _Number,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Write it as a page (.html) or a PDF (.pdf).",
                     show_default=False),
    ] = None,
    as_json: options.AsJson = False,
) -> None:  # fmt: skip
    """Show an invoice or a credit note, as it was made."""
    with open_control(load_settings()) as control:
        invoice = control.invoices.get(number)
    if output is not None:
        _write(invoice, output)
    if output is None or as_json:
        _print(invoice, as_json=as_json)


def verify(number: _Number, as_json: options.AsJson = False) -> None:
    """Derive an invoice from the ledger again, and compare the lines. Exit status 1: they differ."""
    with open_control(load_settings()) as control:
        found = control.invoices.verify(number)
    if as_json:
        print_json(found)
    else:
        rows = [
            {"line": each.number or "missing", "what": each.description, "stated": each.stated or None,
             "by the ledger": each.derived or None, "": "ok" if each.is_correct else each.problem}
            for each in found.lines
        ]  # fmt: skip
        print_table(rows, ["line", "what", "stated", "by the ledger", ""])
        for problem in found.problems:
            stdout().print(problem)
        entries = f"{found.num_entries:,} entries of the ledger, {found.exact} before lines are rounded"
        stdout().print(f"{number} {'is right' if found.is_correct else 'is NOT what the ledger says'}: {entries}.")
    if not found.is_correct:
        raise typer.Exit(EXIT_DIFFERS)


def entries(
    number: _Number,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object on each line.")] = False,
) -> None:
    """List every answer that an invoice includes, with its exact cost."""
    if as_csv and as_json:
        raise BadRequest("--csv and --json exclude each other. Leave one of them out.")
    with open_control(load_settings()) as control:
        found = control.invoices.entries(number)
        if as_csv:
            sys.stdout.writelines(entry_lines(found))
        elif as_json:
            _print_lines(found)
        else:
            columns = {"call_id": "answer"} | {name: name for name in ("at", "version", "input", "output", "cost")}
            print_table([_shown(each) for each in found], columns)


def credit(
    number: _Number,
    reason: Annotated[str, typer.Option(help="The reason, for the credit note.", show_default=False)] = "",
    as_json: options.AsJson = False,
) -> None:
    """Cancel an invoice with a credit note. After that, a new invoice can be made for the month."""
    with open_control(load_settings()) as control:
        note = control.invoices.credit(number, reason=reason)
    if as_json:
        print_json(note)
    else:
        stdout().print(f"The credit note {note.number} takes {number} back: {note.total} {note.currency}.")


def configure(
    file: Annotated[
        Path | None,
        typer.Argument(metavar="FILE", help="YAML with seller, buyer, taxes, due_days and note.", show_default=False),
    ] = None,
    project: _OfProject = "",
    as_json: options.AsJson = False,
) -> None:
    """Set the parties, taxes and texts of invoices; without FILE, show them. A project's settings override the
    installation's."""
    with open_control(load_settings()) as control:
        if file is None:
            found = control.invoices.settings(project)
        else:
            found = control.invoices.configure(read_document(file, "`seller`"), project)
    _print_settings(found, as_json=as_json)


def _print(invoice: InvoiceDescription, *, as_json: bool) -> None:
    from llmos.billing.invoices.wording import facts_of, money, price_of, quantity_of, title_of

    if as_json:
        print_json(invoice)
        return
    stdout().print(title_of(invoice))
    print_facts({"from": invoice.seller.name or None, "to": invoice.buyer.name or None, **facts_of(invoice)})
    rows = [
        {"what": each.description, "quantity": quantity_of(each), "price": price_of(each), "amount": money(each.amount)}
        for each in invoice.lines
    ]
    print_table(rows, {"what": "service", "quantity": "quantity", "price": "price", "amount": invoice.currency})
    taxes = {each.name: money(each.amount) for each in invoice.taxes}
    print_facts({"net": money(invoice.net), **taxes, "total": f"{money(invoice.total)} {invoice.currency}"})


def _write(invoice: InvoiceDescription, path: Path) -> None:
    from llmos.billing.invoices.page import invoice_page
    from llmos.billing.invoices.pdf import invoice_pdf

    if path.suffix not in (".html", ".pdf"):
        raise BadRequest(f"{path} ends with neither .html nor .pdf. Choose one of them.", param="output")
    content = invoice_pdf(invoice) if path.suffix == ".pdf" else invoice_page(invoice).encode()
    try:
        path.write_bytes(content)
    except OSError as error:
        raise BadRequest(f"{path} can't be written: {error.strerror}.", param="output") from None
    stderr().print(f"Wrote {path}.")


def _print_lines(entries: Any) -> None:
    import msgspec

    for entry in entries:
        sys.stdout.write(msgspec.json.encode(entry).decode() + "\n")


def _shown(entry: LedgerEntryDescription) -> dict[str, Any]:
    num_input = entry.input_tokens + entry.cached_input_tokens + entry.embedding_tokens + entry.rated_tokens
    return {**fields_of(entry), "input": num_input, "output": entry.output_tokens}


def _print_settings(settings: InvoiceSettings, *, as_json: bool) -> None:
    if as_json:
        print_json(settings)
        return
    parties = {name: getattr(settings, name) for name in ("seller", "buyer")}
    shown = {name: ", ".join([each.name, *each.address]) for name, each in parties.items() if each is not None}
    taxes = None if settings.taxes is None else ", ".join(f"{each.name}: {each.percent} %" for each in settings.taxes)
    facts = {**shown, "taxes": taxes, "due days": settings.due_days, "note": settings.note}
    if all(each is None for each in facts.values()):
        stderr().print("Invoices say nothing besides their lines yet. See docs/billing.md for what FILE has.")
        return
    print_facts(facts)
