"""Queries of the tables of billing. None commits: the public functions of the room do."""

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import BigInteger, Select, Table, and_, bindparam, cast, func, or_, select, union_all, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session, aliased

from llmos.billing.entries import MEASURES
from llmos.billing.tables import LedgerRow, LedgerUserRow, PriceBookRow, UsageRow
from llmos.core.statements import PlainTransaction, Statement, insert_into, is_one_of

if TYPE_CHECKING:
    from llmos.billing.usage import Span

User = tuple[str, str]
"""(project, name)"""

_USAGE_KEY = ("dimension", "period", "start", "project", "value", "currency")

_SUMMED = (*MEASURES, "cost_nanos")


def _adding_entries(dialect: str) -> Any:
    statement = insert_into(dialect, _table(LedgerRow)).on_conflict_do_nothing(index_elements=["call_id", "line"])
    return statement.returning(LedgerRow.call_id, LedgerRow.line)


def adding_sums(row: type[Any]) -> Statement:
    """Return the statement that adds numbers to a table of sums."""

    def make(dialect: str) -> Any:
        statement = insert_into(dialect, _table(row))
        columns = [each.name for each in _table(row).columns if each.name not in _USAGE_KEY]
        sums = {name: getattr(row, name) + statement.excluded[name] for name in columns}
        return statement.on_conflict_do_update(index_elements=_USAGE_KEY, set_=sums)

    return Statement(make)


_USER_NUMBER = Statement(
    lambda _: select(LedgerUserRow.number).where(
        LedgerUserRow.project == bindparam("project"), LedgerUserRow.name == bindparam("name")
    )
)

_USER_NAMES = Statement(
    lambda dialect: select(LedgerUserRow.number, LedgerUserRow.name).where(
        is_one_of(dialect, LedgerUserRow.number, "numbers")
    )
)

_ADD_ENTRIES, _ADD_USAGE = Statement(_adding_entries), adding_sums(UsageRow)


def add_entries(session: Session, rows: Sequence[Mapping[str, Any]]) -> set[tuple[str, int]]:
    """Add entries, apart from those that there are already. Return (call_id, line) of those that were added."""
    return {(call_id, line) for call_id, line in PlainTransaction.of(session).run_returning(_ADD_ENTRIES, rows)}


def add_usage(session: Session, rows: Sequence[Mapping[str, Any]]) -> None:
    """Add to the sums of hours and days."""
    PlainTransaction.of(session).run(_ADD_USAGE, rows)


def user_numbers(session: Session, users: Collection[User]) -> dict[User, int]:
    """Return the number of each user that has one."""
    if not users:
        return {}
    transaction = PlainTransaction.of(session)
    found = {user: transaction.rows(_USER_NUMBER, project=user[0], name=user[1]) for user in sorted(users)}
    return {user: rows[0][0] for user, rows in found.items() if rows}


def ensure_users(session: Session, users: Collection[User]) -> dict[User, int]:
    """Return the number of each user, and give one to those that have none."""
    numbers = user_numbers(session, users)
    if unknown := sorted(set(users) - numbers.keys()):
        session.add_all([LedgerUserRow(project=project, name=name) for project, name in unknown])
        session.flush()
        numbers |= user_numbers(session, unknown)
    return numbers


def projects_with_user(session: Session, name: str) -> Sequence[str]:
    return session.scalars(select(LedgerUserRow.project).where(LedgerUserRow.name == name)).all()


def entry(session: Session, call_id: str, line: int) -> LedgerRow | None:
    statement = select(LedgerRow).where(LedgerRow.call_id == call_id, LedgerRow.line == line)
    return session.scalars(statement).one_or_none()


def entries_of(session: Session, call_id: str) -> Sequence[LedgerRow]:
    """Return the entries of a call, each before its reversal."""
    return session.scalars(select(LedgerRow).where(LedgerRow.call_id == call_id).order_by(LedgerRow.number)).all()


def entries_below(session: Session, number: int | None, limit: int) -> Sequence[LedgerRow]:
    """Return entries that are no reversals, newest first. `number`: only those before this one; None: from the last."""
    statement = select(LedgerRow).where(LedgerRow.reversal_of == "")
    if number is not None:
        statement = statement.where(LedgerRow.number < number)
    return session.scalars(statement.order_by(LedgerRow.number.desc()).limit(limit)).all()


def entries_of_calls(session: Session, call_ids: Collection[str]) -> Sequence[LedgerRow]:
    """Return all entries of calls, apart from reversals. At most as many calls as one statement takes."""
    statement = select(LedgerRow).where(LedgerRow.call_id.in_(call_ids), LedgerRow.reversal_of == "")
    return session.scalars(statement.order_by(LedgerRow.number)).all()


def entries_between(session: Session, start: int, end: int, last: int, limit: int) -> Sequence[LedgerRow]:
    """Return entries and reversals of a time, in the order of their numbers, behind the number `last`."""
    statement = select(LedgerRow).where(LedgerRow.at >= start, LedgerRow.at < end, LedgerRow.number > last)
    return session.scalars(statement.order_by(LedgerRow.number).limit(limit)).all()


def last_entry(session: Session) -> int:
    """Return the number of the last entry; 0 if there is none."""
    last: int | None = session.scalar(select(func.max(LedgerRow.number)))
    return last or 0


def projects_with_late_entries(session: Session, after: int, before: int) -> set[str]:
    """Return the projects with entries of a past time, or reversals, that were stored since. `after`: the number of the
    last one that is known. `before`: the end of that time, in seconds since 1970."""
    statement = select(LedgerRow.project).where(LedgerRow.number > after).distinct()
    return set(session.scalars(statement.where(or_(LedgerRow.at < before, LedgerRow.line < 0))))


def sums_between(session: Session, dimension: str, period: int, start: int, end: int) -> Sequence[UsageRow]:
    """Return the sums of one length that begin in a time."""
    statement = select(UsageRow).where(UsageRow.dimension == dimension, UsageRow.period == period)
    return session.scalars(statement.where(UsageRow.start >= start, UsageRow.start < end)).all()


def last_line(session: Session, call_id: str) -> int:
    last: int | None = session.scalar(select(func.max(LedgerRow.line)).where(LedgerRow.call_id == call_id))
    return -1 if last is None else last


def user_names(session: Session, numbers: Collection[int]) -> dict[int, str | None]:
    """Return {number: name, or None for a person who was erased}."""
    transaction = PlainTransaction.of(session)
    rows = transaction.rows(_USER_NAMES, numbers=transaction.list_of(numbers))
    return {row[0]: row[1] for row in rows}


def usage(
    session: Session, by: str, spans: Sequence["Span"], project: str | None
) -> Sequence[tuple[str, str, list[int]]]:
    """Return (value, currency, sums in the order of MEASURES, and of the cost) of spans. `by`: a dimension, or day."""
    return summed(session, SumTable(UsageRow, _SUMMED), by, spans, project)


class SumTable(NamedTuple):
    """A table of sums by hour and by day."""

    row: Any
    names: Sequence[str]
    """Its numbers. The sum of the last one may be larger than an integer of a database."""


def summed(
    session: Session, table: SumTable, by: str, spans: Sequence["Span"], project: str | None
) -> Sequence[tuple[str, str, list[int]]]:
    """Return (value, currency, sums) of spans. `by`: a dimension, or day."""
    # Each span is a range of the index; an OR of them would read every sum of the dimension.
    parts = union_all(*(_span_sums(session, table, by, span, project) for span in spans)).subquery()
    # PostgreSQL's sums are decimals, which take Python longer to read than PostgreSQL to add.
    sums: list[Any] = [cast(func.sum(parts.c[name]), BigInteger) for name in table.names[:-1]]
    sums.append(func.sum(parts.c[table.names[-1]]))
    rows = session.execute(select(parts.c.value, parts.c.currency, *sums).group_by(parts.c.value, parts.c.currency))
    return [
        (_day(value) if by == "day" else value, currency, [*map(int, numbers)])
        for value, currency, *numbers in rows.all()
    ]


def _span_sums(session: Session, table: SumTable, by: str, span: "Span", project: str | None) -> Select[Any]:
    row = table.row
    group: Any = row.start if by == "day" else row.value
    # SQLite is faster with fewer rows, PostgreSQL with one sum.
    is_summed = session.get_bind().dialect.name == "sqlite"
    sums = [(func.sum(getattr(row, name)) if is_summed else getattr(row, name)).label(name) for name in table.names]
    statement = select(group.label("value"), row.currency, *sums).where(
        row.dimension == ("project" if by == "day" else by),
        row.period == span.period,
        row.start >= span.start,
        row.start < span.end,
    )
    if project is not None:
        statement = statement.where(row.project == project)
    return statement.group_by(group, row.currency) if is_summed else statement


def priced_usage(
    session: Session, project: str, first: int, end: int, through: int | None = None
) -> Sequence[tuple[int, str, str, list[int]]]:
    """Return (price version, route, model version, sums in the order of MEASURES) of a project's entries that have a
    price and are from a time, without what reversals took back later. `through`: only entries up to this number."""
    reversal, reversed_ = aliased(LedgerRow), aliased(LedgerRow)
    own = _priced(LedgerRow, through).where(
        LedgerRow.project == project, LedgerRow.line >= 0, LedgerRow.at >= first, LedgerRow.at < end
    )
    taken_back = (
        _priced(reversal, through)
        .join(reversed_, and_(reversed_.call_id == reversal.call_id, reversed_.line == -1 - reversal.line))
        .where(reversal.project == project, reversal.line < 0, reversed_.at >= first, reversed_.at < end)
    )
    rows = [*session.execute(own), *session.execute(taken_back)]
    return [(price, route, version, [int(each) for each in sums]) for price, route, version, *sums in rows]


def _priced(row: Any, through: int | None) -> Any:
    group = (row.price_version, row.route, row.version)
    statement = select(*group, *(func.sum(getattr(row, name)) for name in MEASURES))
    statement = statement.where(row.price_version.is_not(None)).group_by(*group)
    return statement if through is None else statement.where(row.number <= through)


def _day(start: int) -> str:
    return datetime.fromtimestamp(start, UTC).date().isoformat()


def price_books(session: Session) -> Sequence[PriceBookRow]:
    """Return every version, newest first."""
    return session.scalars(select(PriceBookRow).order_by(PriceBookRow.version.desc())).all()


_NEWEST_PRICES = Statement(lambda _: select(func.max(PriceBookRow.version)))


def newest_price_version(session: Session) -> int:
    """Return the number of the newest version; 0 if there is none."""
    return PlainTransaction.of(session).rows(_NEWEST_PRICES)[0][0] or 0


def forget_user(session: Session, project: str, name: str) -> int:
    """Take a user's name away. Return how many entries were theirs."""
    statement = select(LedgerUserRow.number).where(LedgerUserRow.project == project, LedgerUserRow.name == name)
    number = session.scalar(statement)
    if number is None:
        return 0
    session.execute(update(LedgerUserRow).where(LedgerUserRow.number == number).values(name=None))
    count = select(func.count()).select_from(LedgerRow).where(LedgerRow.user_number == number)
    return session.scalar(count) or 0


def _table(kind: type[Any]) -> Table:
    table: Table = kind.__table__
    return table


def insert_of(session: Session, kind: type[Any]) -> Any:
    return _insert(session, _table(kind))


def _insert(session: Session, table: Table) -> Any:
    """Return an INSERT that can do something about rows that there are already."""
    is_sqlite = session.get_bind().dialect.name == "sqlite"
    return sqlite.insert(table) if is_sqlite else postgresql.insert(table)
