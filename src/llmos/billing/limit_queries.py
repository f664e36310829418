"""Queries of the tables of limits, reservations and budgets. None commits: the public functions of the room do."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

from sqlalchemy import Table, and_, bindparam, delete, func, select, text, update
from sqlalchemy.orm import Session

from llmos.billing.entries import MEASURES
from llmos.billing.limits import Limit, period_end
from llmos.billing.sums import DAY, HOUR
from llmos.billing.tables import (
    BudgetRow,
    LedgerRow,
    LedgerUserRow,
    LimitCountRow,
    LimitRevisionRow,
    ReservationRow,
    ReservedCallRow,
    ReservingServerRow,
    UsageRow,
)
from llmos.core.statements import PlainTransaction, Statement, insert_into, is_one_of

_AT_ONCE = 1000
"""Values in one statement: SQLite takes a limited number of parameters."""

_TOKENS = ("input_tokens", "cached_input_tokens", "output_tokens", "embedding_tokens", "rated_tokens")
assert set(_TOKENS) < set(MEASURES)


class CountKey(NamedTuple):
    """The key of a count."""

    limit_id: str
    subject: str
    period_start: int


_REVISION = Statement(lambda _: select(LimitRevisionRow.revision))


def limits_revision(session: Session) -> int:
    rows = PlainTransaction.of(session).rows(_REVISION)
    return rows[0][0] if rows else 0


def count_limit_change(session: Session) -> int:
    """Make every LimitBook read the limits again. Return the new revision."""
    row = session.get(LimitRevisionRow, 1)
    if row is None:
        row = LimitRevisionRow(id=1, revision=0)
        session.add(row)
    row.revision += 1
    session.flush()
    return row.revision


@dataclass(slots=True)
class Used:
    """The part of a limit that the ledger's entries of one period have used."""

    subject: str
    period_start: int
    spent: int
    alerted_percent: int = 0


def _is_of(table: type[LimitCountRow] | type[ReservationRow]) -> Any:
    return and_(*(getattr(table, name) == bindparam(name) for name in CountKey._fields))


def _storing_count(dialect: str) -> Any:
    statement = insert_into(dialect, cast(Table, LimitCountRow.__table__))
    changed = {name: statement.excluded[name] for name in ("spent", "alerted_percent")}
    return statement.on_conflict_do_update(index_elements=CountKey._fields, set_=changed)


_COUNT = Statement(lambda _: select(LimitCountRow.spent, LimitCountRow.alerted_percent).where(_is_of(LimitCountRow)))
_STORE_COUNT = Statement(_storing_count)
_RESERVED = Statement(lambda _: select(func.sum(ReservationRow.amount)).where(_is_of(ReservationRow)))
_RESERVE_CALL = Statement(lambda dialect: insert_into(dialect, cast(Table, ReservedCallRow.__table__)))
_RESERVE = Statement(lambda dialect: insert_into(dialect, cast(Table, ReservationRow.__table__)))
_RELEASE = [
    Statement(lambda dialect, table=table: delete(table).where(is_one_of(dialect, table.call_id, "call_ids")))  # type: ignore[misc]
    for table in (ReservationRow, ReservedCallRow)
]


def counts(session: Session, keys: Collection[CountKey]) -> dict[CountKey, Used]:
    """Return the counts that there are. Changes of them are stored by store_counts()."""
    transaction = PlainTransaction.of(session)
    found: dict[CountKey, Used] = {}
    for key in keys:
        for spent, alerted_percent in transaction.rows(_COUNT, **key._asdict()):
            found[key] = Used(key.subject, key.period_start, spent, alerted_percent)
    return found


def store_counts(session: Session, counts: Mapping[CountKey, Used]) -> None:
    rows = [
        {**key._asdict(), "spent": used.spent, "alerted_percent": used.alerted_percent} for key, used in counts.items()
    ]
    PlainTransaction.of(session).run(_STORE_COUNT, rows)


def reserved(session: Session, keys: Collection[CountKey]) -> dict[CountKey, int]:
    """Return what running calls hold."""
    transaction = PlainTransaction.of(session)
    return {key: int(transaction.rows(_RESERVED, **key._asdict())[0][0] or 0) for key in keys}


def reserve(session: Session, server_id: str, held: Mapping[str, Sequence[tuple[CountKey, int]]]) -> None:
    """Store what calls hold, by their ids."""
    transaction = PlainTransaction.of(session)
    transaction.run(_RESERVE_CALL, [{"call_id": each, "server_id": server_id, "entry": ""} for each in held])
    transaction.run(
        _RESERVE,
        [
            {"call_id": call_id, **key._asdict(), "amount": amount}
            for call_id, amounts in held.items()
            for key, amount in amounts
        ],
    )


def used_before(session: Session, limit: Limit, subject: str, start: int) -> int:
    """Return what the ledger has for a period that isn't counted yet, from the sums of days.

    What a plan includes begins with the plan: of a month in whose middle that is, from the sums of hours, without the
    entries that its first hour had before.
    """
    end, length, before = period_end(limit.period, start), DAY, 0
    if limit.kind == "allowance" and limit.first > start:
        start, length = limit.first - limit.first % HOUR, HOUR
        before = _used_between(session, limit, start, limit.first)
    if end is None:
        return 0  # `total` counts from when the limit was set.
    dimension, value, project = _place(limit, subject)
    statement = select(*(func.sum(getattr(UsageRow, name)) for name in _columns(limit))).where(
        UsageRow.dimension == dimension, UsageRow.period == length, UsageRow.start >= start, UsageRow.start < end
    )
    if value is not None:
        statement = statement.where(UsageRow.value == value)
    if project is not None:
        statement = statement.where(UsageRow.project == project)
    if limit.unit == "money":
        statement = statement.where(UsageRow.currency == limit.currency)
    return sum(int(each or 0) for each in session.execute(statement).one()) - before


def _used_between(session: Session, limit: Limit, first: int, end: int) -> int:
    """Return what a project has used of a limit in a short time."""
    statement = select(*(func.sum(getattr(LedgerRow, name)) for name in _columns(limit)))
    statement = statement.where(LedgerRow.at >= first, LedgerRow.at < end, LedgerRow.project == limit.scope.project)
    if limit.unit == "money":
        statement = statement.where(LedgerRow.currency == limit.currency)
    return sum(int(each or 0) for each in session.execute(statement).one())


def _columns(limit: Limit) -> tuple[str, ...]:
    """Return the numbers that a limit counts."""
    return {"requests": ("num_calls",), "money": ("cost_nanos",)}.get(limit.unit, _TOKENS)


def _place(limit: Limit, subject: str) -> tuple[str, str | None, str | None]:
    """Return where the sums of usage have what a limit counts: (dimension, value, project)."""
    scope = limit.scope
    match scope.kind:
        case "installation":
            return "project", None, None
        case "project":
            return "project", scope.project, scope.project
        case "key":
            return "key", scope.key_id, None
        case "user":
            return "user", str(scope.user_number), scope.project
        case "each_user":
            is_anonymous = subject.startswith("project:")
            return "user", "" if is_anonymous else subject, subject.removeprefix("project:") if is_anonymous else None


def release(session: Session, call_ids: Collection[str]) -> None:
    """Remove calls with all that they hold."""
    if not call_ids:
        return
    transaction = PlainTransaction.of(session)
    rows = [{"call_ids": transaction.list_of(sorted(call_ids))}]
    for statement in _RELEASE:
        transaction.run(statement, rows)


def update_entries(session: Session, entries: Mapping[str, str]) -> None:
    """Write down what running calls have computed so far. A call that has ended meanwhile has no row any more."""
    table: Table = ReservedCallRow.__table__  # type: ignore[assignment]
    rows = [{"id": call_id, "draft": entry} for call_id, entry in sorted(entries.items())]
    if rows:
        statement = update(table).where(table.c.call_id == bindparam("id")).values(entry=bindparam("draft"))
        session.connection().execute(statement, rows)


def reserved_calls(session: Session, server_ids: Collection[str]) -> Sequence[ReservedCallRow]:
    return session.scalars(select(ReservedCallRow).where(ReservedCallRow.server_id.in_(server_ids))).all()


def servers(session: Session) -> Sequence[ReservingServerRow]:
    return session.scalars(select(ReservingServerRow)).all()


def renew_server(session: Session, server_id: str, expires_at: int) -> None:
    session.merge(ReservingServerRow(server_id=server_id, expires_at=expires_at))


def remove_servers(session: Session, server_ids: Collection[str]) -> None:
    session.execute(delete(ReservingServerRow).where(ReservingServerRow.server_id.in_(server_ids)))


def now(session: Session) -> int:
    """Return the seconds since 1970 by the clock of the database."""
    is_sqlite = session.get_bind().dialect.name == "sqlite"
    statement = "SELECT strftime('%s', 'now')" if is_sqlite else "SELECT floor(extract(epoch FROM clock_timestamp()))"
    return int(session.scalar(text(statement)))


def remove_old_counts(session: Session, before: int) -> None:
    """Remove the counts of periods that began earlier. Whoever needs one again counts it again."""
    statement = delete(LimitCountRow).where(LimitCountRow.period_start > 0, LimitCountRow.period_start < before)
    session.execute(statement)


def budgets(session: Session) -> Sequence[tuple[BudgetRow, str | None]]:
    """Return every budget by name, and the name of the user that it is for."""
    statement = select(BudgetRow, LedgerUserRow.name).outerjoin(
        LedgerUserRow, LedgerUserRow.number == BudgetRow.user_number
    )
    return [(row, name) for row, name in session.execute(statement.order_by(BudgetRow.name))]


def budget(session: Session, name: str) -> BudgetRow | None:
    return session.scalars(select(BudgetRow).where(BudgetRow.name == name)).one_or_none()


def remove_counts(session: Session, limit_id: str) -> None:
    """Remove all that is counted of a limit."""
    for table in (LimitCountRow, ReservationRow):
        session.execute(delete(table).where(table.limit_id == limit_id))


def top_counts(session: Session, limit_id: str, start: int, number: int) -> list[Used]:
    """Return the counts of a period that have used most."""
    statement = select(LimitCountRow).where(LimitCountRow.limit_id == limit_id, LimitCountRow.period_start == start)
    return _used(session.scalars(statement.order_by(LimitCountRow.spent.desc()).limit(number)))


def counts_of(session: Session, limit_id: str, start: int) -> list[Used]:
    """Return all counts of a period."""
    statement = select(LimitCountRow).where(LimitCountRow.limit_id == limit_id, LimitCountRow.period_start == start)
    return _used(session.scalars(statement))


def _used(rows: Iterable[LimitCountRow]) -> list[Used]:
    return [Used(row.subject, row.period_start, row.spent, row.alerted_percent) for row in rows]


def numbers_of_user(session: Session, name: str, project: str | None) -> Sequence[int]:
    """Return the numbers of the users with a name. `project`: only in this one."""
    statement = select(LedgerUserRow.number).where(LedgerUserRow.name == name)
    return session.scalars(statement if project is None else statement.where(LedgerUserRow.project == project)).all()


def users_by_number(session: Session, numbers: Collection[int]) -> dict[int, tuple[str, str | None]]:
    """Return {number: (project, name, or None for a person who was erased)}."""
    found: dict[int, tuple[str, str | None]] = {}
    for part in _parts(numbers):
        for row in session.scalars(select(LedgerUserRow).where(LedgerUserRow.number.in_(part))):
            found[row.number] = row.project, row.name
    return found


def _parts(values: Collection[Any]) -> list[list[Any]]:
    wanted = sorted(values)
    return [wanted[first : first + _AT_ONCE] for first in range(0, len(wanted), _AT_ONCE)]
