"""InvoiceVerifier: derives an invoice again from the ledger and the prices, and compares it line by line."""

from collections.abc import Iterator, Mapping, Sequence

from msgspec.structs import replace
from sqlalchemy.orm import Session

from llmos.billing.invoices import queries
from llmos.billing.invoices.amounts import format_exact, sum_exact
from llmos.billing.invoices.entries import EntryReader
from llmos.billing.invoices.invoices import add_up, credited, existing
from llmos.billing.invoices.lines import Subject, derive_lines
from llmos.billing.invoices.month import Month
from llmos.billing.price_books import read_books
from llmos.billing.prices import PriceBook
from llmos.core.database import Database
from llmos.core.errors import StoreFailed
from llmos.core.schemas.invoices import InvoiceDescription, InvoiceLine, InvoiceVerification, LineCheck

_MAX_PROBLEMS = 20

_COMPARED = ("quantity", "unit_price", "exact", "amount")
_KEY = tuple(name for name in InvoiceLine.__struct_fields__ if name not in (*_COMPARED, "number"))
"""The fields that identify a line of an invoice."""


class InvoiceVerifier:
    """Any thread may use it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._entries = EntryReader(database)

    def verify(self, number: str, *, project: str | None = None) -> InvoiceVerification:
        """Derive an invoice again, and say for each line whether it is the same. Raises NotFound."""
        with self._database.session() as session:
            invoice = existing(session, number, project)
            books = {book.version: book for book in read_books(session)}
            lines, problems = self._derived(session, invoice, books)
            problems += _chain_problems(session, invoice)
        checks = compare(invoice.lines, lines)
        count, wrong = self._check_entries(invoice, books)
        problems += [*_sum_problems(invoice), *wrong]
        if count != invoice.num_entries:
            problems.append(f"The invoice has {invoice.num_entries:,} entries, the ledger {count:,}.")
        return InvoiceVerification(
            number=number,
            is_correct=not problems and all(check.is_correct for check in checks),
            num_entries=count,
            exact=format_exact(sum_exact(lines)),
            lines=checks,
            problems=problems[:_MAX_PROBLEMS],
        )

    def _derived(
        self, session: Session, invoice: InvoiceDescription, books: Mapping[int, PriceBook]
    ) -> tuple[Sequence[InvoiceLine], list[str]]:
        if invoice.kind == "credit_note":
            return credited(existing(session, invoice.corrects, None)).lines, []
        subject = Subject(project=invoice.project, currency=invoice.currency, month=Month.parse(invoice.month))
        try:
            return derive_lines(session, subject, invoice.entries, books), []
        except (AssertionError, KeyError, StoreFailed) as error:  # Only a database that was changed by hand.
            return [], [f"The ledger can't be rated: {error or 'an entry has no price'}."]

    def _check_entries(self, invoice: InvoiceDescription, books: Mapping[int, PriceBook]) -> tuple[int, list[str]]:
        """Return how many entries the invoice is about, and whose cost isn't the list price of what they count."""
        count, problems = 0, list[str]()
        for row in self._entries.rows(invoice):
            count += 1
            book = books.get(row.price_version or 0)
            target = None if book is None else book.target(route=row.route, version=row.version)
            cost = None if book is None or target is None else book.prices[target].cost(row)
            if cost != row.cost_nanos and len(problems) < _MAX_PROBLEMS:
                problems.append(f"The cost of the entry {row.call_id}/{row.line} isn't that of what it counts.")
        return count, problems


def compare(stated: Sequence[InvoiceLine], derived: Sequence[InvoiceLine]) -> list[LineCheck]:
    """Return a check for each line of the invoice, and for each that it lacks."""
    by_key = {_key(line): line for line in derived}
    checks = [_check(line, by_key.pop(_key(line), None)) for line in stated]
    return [*checks, *(_missing(line) for line in by_key.values())]


def _check(line: InvoiceLine, derived: InvoiceLine | None) -> LineCheck:
    if derived is None:
        problem = "The ledger has nothing for it."
    else:
        wrong = [name for name in _COMPARED if getattr(line, name) != getattr(derived, name)]
        problem = "; ".join(
            f"{name.replace('_', ' ')} {getattr(line, name)}, by the ledger {getattr(derived, name)}" for name in wrong
        )
    return LineCheck(
        number=line.number,
        description=line.description,
        is_correct=not problem,
        stated=line.amount,
        derived="" if derived is None else derived.amount,
        problem=problem,
    )


def _missing(line: InvoiceLine) -> LineCheck:
    return LineCheck(description=line.description, derived=line.amount, problem="The invoice has no such line.")


def _key(line: InvoiceLine) -> tuple[object, ...]:
    return tuple(getattr(line, name) for name in _KEY)


def _sum_problems(invoice: InvoiceDescription) -> Iterator[str]:
    """Yield which sums of an invoice aren't those of its lines."""
    net, taxes, total = add_up(invoice.lines, [replace(tax, amount="") for tax in invoice.taxes], invoice.currency)
    if net != invoice.net:
        yield f"The lines add up to {net}, and the invoice says {invoice.net}."
    for stated, derived in zip(invoice.taxes, taxes, strict=True):
        if stated.amount != derived.amount:
            yield f"{stated.name} is {derived.amount}, and the invoice says {stated.amount}."
    if total != invoice.total:
        yield f"The total is {total}, and the invoice says {invoice.total}."


def _chain_problems(session: Session, invoice: InvoiceDescription) -> Iterator[str]:
    """Yield what is wrong with where an invoice begins: at the end of the one before it."""
    row = queries.invoice(session, invoice.number)
    assert row is not None, "it exists"
    before = queries.newest_before(session, row)
    begins = (invoice.entries.previous_month, invoice.entries.previous_last)
    ends = ("", 0) if before is None else (before.month, before.last_entry)
    if begins != ends:
        yield "The invoice doesn't begin where the one before it ends: an entry may be on both, or on none."
