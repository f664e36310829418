"""Queries of invoices, and of the entries that they are about. None commits: the public functions do."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Select, and_, func, select, tuple_
from sqlalchemy.orm import Session, aliased

from llmos.billing.invoices.month import Month
from llmos.billing.invoices.ranges import Part
from llmos.billing.invoices.tables import InvoiceRow, InvoiceSettingsRow
from llmos.billing.sums import DAY
from llmos.billing.tables import LedgerRow

PAGE = 2000
"""Entries that are in memory at once."""

_ORIGINAL = aliased(LedgerRow)
"""The entry that a reversal takes back."""


def months_of(session: Session, project: str, currency: str, part: Part) -> Sequence[Month]:
    """Return the months that entries of a part count to, in order."""
    own, original = LedgerRow.at // DAY, _ORIGINAL.at // DAY
    days = [
        *session.scalars(_own(select(own), project, currency, part).group_by(own)),
        *session.scalars(
            _reversals(select(original).select_from(LedgerRow), project, currency, part).group_by(original)
        ),
    ]
    return sorted({Month.at(day * DAY) for day in days})


def first_month(session: Session, project: str, currency: str, part: Part) -> Month | None:
    """Return the month of the first entry of a part; None if it has none."""
    statement = _own(select(LedgerRow.at), project, currency, part).order_by(LedgerRow.at).limit(1)
    at = session.scalar(statement)
    return None if at is None else Month.at(at)


def num_entries(session: Session, project: str, currency: str, part: Part) -> int:
    own = session.scalar(_own(select(func.count()).select_from(LedgerRow), project, currency, part))
    reversals = session.scalar(_reversals(select(func.count()).select_from(LedgerRow), project, currency, part))
    return (own or 0) + (reversals or 0)


def own_entries(
    session: Session, project: str, currency: str, part: Part, after: tuple[int, int]
) -> Sequence[LedgerRow]:
    """Return the next entries of a part by time and number, those after (time, number), without reversals."""
    statement = _own(select(LedgerRow), project, currency, part).where(
        LedgerRow.at >= after[0], tuple_(LedgerRow.at, LedgerRow.number) > after
    )
    return session.scalars(statement.order_by(LedgerRow.at, LedgerRow.number).limit(PAGE)).all()


def reversals(session: Session, project: str, currency: str, part: Part, after: tuple[int, int]) -> Sequence[LedgerRow]:
    """Return the next reversals of entries of a part by number, those after (time, number)."""
    statement = _reversals(select(LedgerRow), project, currency, part).where(LedgerRow.number > after[1])
    return session.scalars(statement.order_by(LedgerRow.number).limit(PAGE)).all()


def invoice(session: Session, number: str) -> InvoiceRow | None:
    return session.get(InvoiceRow, number)


def invoices(session: Session, project: str | None) -> Sequence[InvoiceRow]:
    """Return the invoices and credit notes of a project, or of all, newest first."""
    statement = select(InvoiceRow).order_by(InvoiceRow.year.desc(), InvoiceRow.sequence.desc())
    return session.scalars(statement if project is None else statement.where(InvoiceRow.project == project)).all()


def newest_of_month(session: Session, project: str, currency: str, month: str) -> InvoiceRow | None:
    """Return the invoice of a month; of several, the one that wasn't taken back before the others."""
    statement = _invoices_of(project, currency).where(InvoiceRow.month == month)
    return _first(session, statement.order_by(InvoiceRow.revision.desc()))


def newest_of(session: Session, project: str, currency: str) -> InvoiceRow | None:
    """Return the invoice of the latest month that has one."""
    statement = _invoices_of(project, currency).order_by(InvoiceRow.period_end.desc(), InvoiceRow.revision.desc())
    return _first(session, statement)


def newest_before(session: Session, row: InvoiceRow) -> InvoiceRow | None:
    """Return the invoice before another one: that of the latest month before, of the same project and currency."""
    statement = _invoices_of(row.project, row.currency).where(InvoiceRow.period_end < row.period_end)
    return _first(session, statement.order_by(InvoiceRow.period_end.desc(), InvoiceRow.revision))


def corrections(session: Session, project: str | None = None, *, number: str | None = None) -> dict[str, str]:
    """Return {number of an invoice: that of the credit note that takes it back}, of a project or of all."""
    statement = select(InvoiceRow.corrects, InvoiceRow.number).where(InvoiceRow.corrects != "")
    if project is not None:
        statement = statement.where(InvoiceRow.project == project)
    if number is not None:
        statement = statement.where(InvoiceRow.corrects == number)
    return {row.corrects: row.number for row in session.execute(statement)}


def last_sequence(session: Session, year: int) -> int:
    return session.scalar(select(func.max(InvoiceRow.sequence)).where(InvoiceRow.year == year)) or 0


def settings(session: Session, project: str) -> InvoiceSettingsRow | None:
    """Return the settings of a project; of "", those of the installation."""
    return session.get(InvoiceSettingsRow, project)


def _invoices_of(project: str, currency: str) -> Any:
    return select(InvoiceRow).where(
        InvoiceRow.kind == "invoice", InvoiceRow.project == project, InvoiceRow.currency == currency
    )


def _first(session: Session, statement: Any) -> InvoiceRow | None:
    row: InvoiceRow | None = session.scalars(statement.limit(1)).one_or_none()
    return row


def _own(statement: Select[Any], project: str, currency: str, part: Part) -> Select[Any]:
    statement = _numbered(statement, project, currency, part).where(LedgerRow.line >= 0, LedgerRow.at < part.end)
    return statement if part.start is None else statement.where(LedgerRow.at >= part.start)


def _reversals(statement: Select[Any], project: str, currency: str, part: Part) -> Select[Any]:
    """A reversal counts to the time of the entry that it takes back."""
    is_original = and_(_ORIGINAL.call_id == LedgerRow.call_id, _ORIGINAL.line == -1 - LedgerRow.line)
    statement = _numbered(statement.join(_ORIGINAL, is_original), project, currency, part)
    statement = statement.where(LedgerRow.line < 0, _ORIGINAL.at < part.end)
    return statement if part.start is None else statement.where(_ORIGINAL.at >= part.start)


def _numbered(statement: Select[Any], project: str, currency: str, part: Part) -> Select[Any]:
    return statement.where(
        LedgerRow.project == project,
        LedgerRow.currency == currency,
        LedgerRow.number > part.after,
        LedgerRow.number <= part.last,
    )
