"""Queries of purchases. None commits: the public functions of the room do."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy import Table, func, select
from sqlalchemy.orm import Session

from llmos.billing.entries import DIFFERENCES
from llmos.billing.purchases.tables import ProviderCallRow, ProviderCostRow, ProviderPriceRow
from llmos.billing.queries import SumTable, adding_sums
from llmos.billing.sums import DAY
from llmos.core.statements import PlainTransaction, Statement, insert_into

SUMMED = (
    "num_calls", "num_estimated", "input_tokens", "cached_input_tokens", "output_tokens", "reported_calls",
    *(f"{kind}_differences" for kind in DIFFERENCES), "reported_cost_nanos", "cost_nanos",
)  # fmt: skip
"""The columns that are summed."""

SUMS = SumTable(ProviderCostRow, SUMMED)


@dataclass(frozen=True, kw_only=True, slots=True)
class CallFilter:
    """Everything that is given must hold."""

    provider: str | None = None
    difference: str | None = None
    """One of DIFFERENCES, or `any` of them."""
    start: int | None = None
    end: int | None = None
    """Seconds since 1970; not included."""
    limit: int = 50


def _adding_calls(dialect: str) -> Any:
    statement = insert_into(dialect, cast(Table, ProviderCallRow.__table__))
    statement = statement.on_conflict_do_nothing(index_elements=["call_id", "line"])
    return statement.returning(ProviderCallRow.call_id, ProviderCallRow.line)


_ADD_CALLS, _ADD_SUMS = Statement(_adding_calls), adding_sums(ProviderCostRow)


def add_calls(session: Session, rows: Sequence[Mapping[str, Any]]) -> set[tuple[str, int]]:
    """Add calls, apart from those that there are already. Return (call_id, line) of those that were added."""
    return {(call_id, line) for call_id, line in PlainTransaction.of(session).run_returning(_ADD_CALLS, rows)}


def add_sums(session: Session, rows: Sequence[Mapping[str, Any]]) -> None:
    PlainTransaction.of(session).run(_ADD_SUMS, rows)


def prices(session: Session) -> Sequence[ProviderPriceRow]:
    """Return every version of every provider's prices, newest first."""
    return session.scalars(select(ProviderPriceRow).order_by(ProviderPriceRow.version.desc())).all()


_NUM_PRICES = Statement(lambda _: select(func.count()).select_from(ProviderPriceRow))


def num_prices(session: Session) -> int:
    return int(PlainTransaction.of(session).rows(_NUM_PRICES)[0][0])


def newest_version(session: Session, provider: str) -> int:
    """Return the number of a provider's newest version; 0 if there is none."""
    statement = select(func.max(ProviderPriceRow.version)).where(ProviderPriceRow.provider == provider)
    return session.scalar(statement) or 0


def calls(session: Session, wanted: CallFilter) -> Sequence[ProviderCallRow]:
    """Return the newest calls that are wanted, newest first."""
    statement = select(ProviderCallRow)
    if wanted.provider is not None:
        statement = statement.where(ProviderCallRow.provider == wanted.provider)
    if wanted.difference == "any":
        statement = statement.where(ProviderCallRow.differences != "")
    elif wanted.difference is not None:
        statement = statement.where(ProviderCallRow.differences.contains(wanted.difference))
    if wanted.start is not None:
        statement = statement.where(ProviderCallRow.at >= wanted.start)
    if wanted.end is not None:
        statement = statement.where(ProviderCallRow.at < wanted.end)
    return session.scalars(statement.order_by(ProviderCallRow.number.desc()).limit(wanted.limit)).all()


def calls_of(session: Session, call_id: str) -> Sequence[ProviderCallRow]:
    statement = select(ProviderCallRow).where(ProviderCallRow.call_id == call_id)
    return session.scalars(statement.order_by(ProviderCallRow.line)).all()


def totals(session: Session) -> Sequence[tuple[str, str, list[int]]]:
    """Return (remote:PROVIDER/MODEL, currency, sums in the order of SUMMED) of all time."""
    row = ProviderCostRow
    sums = [func.sum(getattr(row, name)) for name in SUMMED]
    statement = select(row.value, row.currency, *sums).where(row.dimension == "model", row.period == DAY)
    found = session.execute(statement.group_by(row.value, row.currency)).all()
    return [(value, currency, [int(each) for each in numbers]) for value, currency, *numbers in found]
