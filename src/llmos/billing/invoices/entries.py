"""EntryReader: the entries of the ledger that an invoice is about, one by one, with little memory."""

from collections.abc import Callable, Iterator, Mapping, Sequence

from sqlalchemy.orm import Session

from llmos.billing.describing import describe_entry
from llmos.billing.invoices import queries
from llmos.billing.invoices.amounts import format_exact
from llmos.billing.invoices.invoices import existing
from llmos.billing.invoices.month import Month
from llmos.billing.invoices.ranges import Part, parts_of
from llmos.billing.price_books import read_books
from llmos.billing.prices import PriceBook
from llmos.billing.tables import LedgerRow
from llmos.core.database import Database
from llmos.core.schemas.invoices import InvoiceDescription
from llmos.core.schemas.ledger import LedgerEntryDescription

_Page = Callable[[Session, str, str, Part, tuple[int, int]], Sequence[LedgerRow]]

_BEFORE_ALL = (-(2**62), 0)


class EntryReader:
    """Any thread may use it. No transaction stays open while the reader of the entries waits."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def read(self, number: str, *, project: str | None = None) -> Iterator[LedgerEntryDescription]:
        """Return the entries of an invoice; of a credit note, those of the invoice that it takes back.

        Raises NotFound, before the first one.
        """
        with self._database.session() as session:
            invoice = existing(session, number, project)
            books = {book.version: book for book in read_books(session)}
        return (describe_entry(row, cost=format_exact(exact_cost(row, books))) for row in self.rows(invoice))

    def rows(self, invoice: InvoiceDescription) -> Iterator[LedgerRow]:
        """Yield the entries of an invoice by time, then the reversals."""
        parts = parts_of(Month.parse(invoice.month), invoice.entries)
        for page in (queries.own_entries, queries.reversals):
            for part in parts:
                yield from self._rows(invoice, part, page)

    def _rows(self, invoice: InvoiceDescription, part: Part, page: _Page) -> Iterator[LedgerRow]:
        after = _BEFORE_ALL
        while True:
            with self._database.session() as session:
                rows = page(session, invoice.project, invoice.currency, part, after)
            yield from rows
            if len(rows) < queries.PAGE:
                return
            after = (rows[-1].at, rows[-1].number)


def exact_cost(row: LedgerRow, books: Mapping[int, PriceBook]) -> int:
    """Return what an entry costs by the list prices, in units of 10**-15."""
    book = books[row.price_version or 0]
    target = book.target(route=row.route, version=row.version)
    assert target is not None, "an entry with a price version has prices"
    return book.prices[target].exact_cost(row)
