"""Comparison of what callers got with what the ledger and the receipts have."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import func, literal, select

from killing.calls import HANG_UP, KINDS, SLOW_TOKENS, Arrived
from llmos.billing.budgets import Budgets, BudgetSettings
from llmos.billing.entries import MEASURES
from llmos.billing.price_books import PriceBooks
from llmos.billing.tables import BudgetRow, LedgerRow, LimitCountRow, ReservationRow, ReservingServerRow
from llmos.core.database import Database
from llmos.gateway.ledger_check import LedgerCheck
from llmos.gateway.receipt_recovery import ReceiptRecovery
from llmos.security.receipts.receipts import Receipts
from llmos.security.signing_key import SigningKey
from support.ledger import check_sums, stored


@dataclass(kw_only=True)
class Found:
    """Faults that were found; all is well if each is empty."""

    missing: list[str] = field(default_factory=list)
    """Answers that arrived and have no entry."""
    doubled: list[str] = field(default_factory=list)
    """Entries, answers and lines of batches that are there more than once."""
    wrong: list[str] = field(default_factory=list)
    """Answers whose entry has other numbers than they cost."""
    unequal_sums: list[str] = field(default_factory=list)
    """Sums by hour or day that aren't those of the entries."""

    wrong_budgets: list[str] = field(default_factory=list)
    """Budgets that have counted something else than the entries."""
    problems: list[str] = field(default_factory=list)
    """Faults that `llmos ledger verify` finds."""
    open_reservations: list[str] = field(default_factory=list)
    """Reservations of calls that don't run any more."""


def compare(database: Database, home: Path, arrived: Sequence[Arrived], lines: Sequence[str]) -> Found:
    """`lines`: the ids of the answers in the outputs of all batches."""
    rows, found = stored(database), Found()
    receipts = Receipts(database, SigningKey(home / "keys" / "signing"), days=30)
    ReceiptRecovery(database, receipts).run(grace_seconds=0)
    checked = LedgerCheck(database, receipts, home / "ledger").run(grace_seconds=0)
    found.problems += [f"{each.kind}: {each.id}: {each.message}" for each in checked.problems]
    if checked.num_entries != len(rows):
        found.problems.append(f"{len(rows)} entries, {checked.num_entries} of them were verified")
    entries: dict[str, LedgerRow] = {row.call_id: row for row in rows}
    for each in arrived:
        row = entries.get(each.id)
        if row is None:
            # One who hangs up waits for nothing: the server may have died before it noticed.
            found.missing += [] if each.kind == HANG_UP else [f"{each.id} ({each.kind})"]
        elif not _is_right(row, each):
            found.wrong.append(f"{each.id} ({each.kind}): {_measures(row)}")
    found.missing += [f"{line} (line of a batch)" for line in lines if line not in entries]
    found.doubled += _repeated(row.call_id for row in rows)
    found.doubled += _repeated(each.id for each in arrived) + _repeated(lines)
    found.doubled += sorted({row.call_id for row in rows if row.is_background} - {*lines})
    try:
        check_sums(database)
    except AssertionError as error:
        found.unequal_sums.append(str(error))
    found.wrong_budgets += _wrong_budgets(database)
    found.open_reservations += [] if unfinished(database)[0] == 0 else ["limit_reservations"]
    return found


def set_prices_and_budgets(database: Database) -> None:
    """Set budgets that are large enough for all, so that each call holds something."""
    per_million = {"input": "0.50", "output": "1.50", "embedding": "0.10", "rated": "0.20"}
    prices = {"default": {"per_call": "0.001", "per_million_tokens": per_million}}
    PriceBooks(database).set({"currency": "EUR", "prices": prices})
    budgets = Budgets(database)
    for unit in ("tokens", "requests"):
        budgets.set(f"all-{unit}", BudgetSettings(unit=unit, limit="1000000000", per="total"))
        budgets.set(
            f"user-{unit}", BudgetSettings(project="owner", user="user-1", unit=unit, limit="1000000000", per="total")
        )
    budgets.set("all-money", BudgetSettings(unit="money", currency="EUR", limit="1000000", per="total"))


def unfinished(database: Database) -> tuple[int, int]:
    """Return how many reservations there are, and how many servers that were killed and aren't settled yet."""
    with database.session() as session:
        held = session.scalar(select(func.count()).select_from(ReservationRow)) or 0
        servers = session.scalar(select(func.count()).select_from(ReservingServerRow)) or 0
    return held, max(0, servers - 1)


def _wrong_budgets(database: Database) -> list[str]:
    tokens = [getattr(LedgerRow, name) for name in MEASURES if name.endswith("tokens")]
    sums = {"tokens": sum(tokens, literal(0)), "requests": LedgerRow.num_calls, "money": LedgerRow.cost_nanos}
    found = []
    with database.session() as session:
        for row in session.scalars(select(BudgetRow)):
            entries = select(func.coalesce(func.sum(sums[row.unit]), 0))
            if row.user_number is not None:
                entries = entries.where(LedgerRow.user_number == row.user_number)
            expected = int(session.scalar(entries) or 0)
            counts = select(func.coalesce(func.sum(LimitCountRow.spent), 0))
            spent = int(session.scalar(counts.where(LimitCountRow.limit_id == f"budget:{row.number}")) or 0)
            if spent != expected:
                found.append(f"{row.name}: {spent} spent, {expected} in the entries")
    return found


def _is_right(row: LedgerRow, arrived: Arrived) -> bool:
    if arrived.kind == HANG_UP:
        # If the server died before it noticed, the entry has the tokens computed up to a second before.
        # A server that was slow to notice has computed the whole answer.
        is_known = row.outcome == "cancelled" or (row.outcome, row.output_tokens) == ("answered", SLOW_TOKENS)
        return is_known and row.input_tokens == 5 and 0 < row.output_tokens <= SLOW_TOKENS
    return _measures(row) == KINDS[arrived.kind].costs


def _measures(row: LedgerRow) -> Mapping[str, int]:
    numbers = {name: getattr(row, name) for name in MEASURES if name not in ("num_calls", "replica_micros")}
    return {name: number for name, number in numbers.items() if number}


def _repeated(ids: Iterable[str]) -> list[str]:
    return [id for id, times in Counter(ids).items() if times > 1]
