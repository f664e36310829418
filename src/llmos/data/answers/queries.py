"""Queries of the table of answers. None commits: the public functions of the room do."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from sqlalchemy import ColumnElement, Table, delete, func, literal_column, or_, select, update
from sqlalchemy.orm import InstrumentedAttribute, Session

from llmos.core.statements import PlainTransaction, Statement, Values, insert_into
from llmos.data.answers.tables import RARE, AnswerRow

if TYPE_CHECKING:
    from llmos.data.answers.filters import AnswerFilter

_FEW = 2_000
"""So many rows are looked at within a few milliseconds."""

_NEWEST_FIRST = (AnswerRow.at.desc(), AnswerRow.number.desc())

_MOST_TELLING = ("run", "verdict", "version", "user", "key_id", "outcome", "app", "model", "route", "project")
"""Columns with an index. The first one that is asked for leaves the fewest rows, as a rule."""


_ADD = Statement(lambda dialect: insert_into(dialect, cast(Table, AnswerRow.__table__)))


def add(transaction: PlainTransaction, rows: Sequence[Values]) -> None:
    transaction.run(_ADD, rows)


def find(session: Session, wanted: "AnswerFilter") -> Sequence[AnswerRow]:
    """Return the newest answers that are wanted, newest first."""
    statement = select(AnswerRow).where(*_conditions(session, wanted)).order_by(*_NEWEST_FIRST)
    return session.scalars(statement.limit(wanted.limit)).all()


def newest(session: Session, id: str, project: str | None) -> AnswerRow | None:
    """Return an answer by its id or that of its request; of several, the newest. `project`: only its; None: any."""
    statement = select(AnswerRow).where(or_(AnswerRow.id == id, AnswerRow.request_id == id))
    if project is not None:
        statement = statement.where(AnswerRow.project == project)
    return session.scalars(statement.order_by(AnswerRow.number.desc()).limit(1)).one_or_none()


def forget_user(session: Session, project: str, user: str) -> int:
    """Take a user's name away. Return how many answers were theirs."""
    condition = (AnswerRow.user == user, AnswerRow.user != literal_column("''"), AnswerRow.project == project)
    count: int = session.scalar(select(func.count()).select_from(AnswerRow).where(*condition)) or 0
    session.execute(update(AnswerRow).where(*condition).values(user=RARE["user"]))
    return count


def projects_with_user(session: Session, user: str) -> Sequence[str]:
    condition = (AnswerRow.user == user, AnswerRow.user != literal_column("''"))
    return session.scalars(select(AnswerRow.project).where(*condition).distinct()).all()


def oldest_kept(session: Session, before: int, max_kept: int) -> int:
    """Return the number below which answers are removed: those before a time, and those beyond a limit of rows."""
    last: int = session.scalar(select(func.max(AnswerRow.number))) or 0
    in_time: int | None = session.scalar(select(func.min(AnswerRow.number)).where(AnswerRow.at >= before))
    return max(last - max_kept + 1, last + 1 if in_time is None else in_time)


def remove_some(session: Session, below: int, limit: int) -> int:
    """Remove the oldest answers with lower numbers, at most `limit`, and return how many."""
    first: int | None = session.scalar(select(func.min(AnswerRow.number)))
    if first is None or first >= below:
        return 0
    end = min(below, first + limit)
    session.execute(delete(AnswerRow).where(AnswerRow.number < end))
    return end - first


def _conditions(session: Session, wanted: "AnswerFilter") -> list[ColumnElement[bool]]:
    """Return what must hold."""
    conditions = _equalities(session, wanted)
    if wanted.since is not None:
        conditions.append(AnswerRow.at >= int(wanted.since.timestamp()))
    if wanted.until is not None:
        conditions.append(AnswerRow.at < int(wanted.until.timestamp()))
    if wanted.after is not None:
        at, number = wanted.after
        conditions += [AnswerRow.at <= at, or_(AnswerRow.at < at, AnswerRow.number < number)]
    for column, least in (
        (AnswerRow.cost_nanos, wanted.min_cost_nanos),
        (AnswerRow.output_tokens, wanted.min_output_tokens),
        (AnswerRow.total_micros, None if wanted.min_seconds is None else round(wanted.min_seconds * 1e6)),
    ):
        if least is not None:
            conditions.append(_at_least(session, column, least))
    return conditions


def _equalities(session: Session, wanted: "AnswerFilter") -> list[ColumnElement[bool]]:
    """Return what columns must be. SQLite knows little of what is in a table, so it is left one index."""
    conditions: list[ColumnElement[bool]] = []
    is_sqlite = session.get_bind().dialect.name == "sqlite"
    first = next((name for name in _MOST_TELLING if getattr(wanted, name) is not None), None)
    for name in _MOST_TELLING:
        value = getattr(wanted, name)
        if value is None:
            continue
        column = getattr(AnswerRow, name)
        has_index_of_both = name == "project" and first == "app"
        if is_sqlite and conditions and not has_index_of_both:
            conditions.append(column.concat("") == value)
            continue
        if name in RARE and value != RARE[name]:  # Those are in its index.
            conditions.append(column != literal_column(f"'{RARE[name]}'"))
        conditions.append(column == value)
    return conditions


def _at_least(session: Session, column: InstrumentedAttribute[Any], least: int) -> ColumnElement[bool]:
    """Return the condition for a column with an index of its own. Where few rows meet it, they are looked up;
    otherwise they are soon met in the order of the list."""
    largest_first = select(AnswerRow.number).where(column >= least).order_by(column.desc())
    numbers = session.scalars(largest_first.limit(_FEW + 1)).all()  # In the order of the index, which is used then.
    if len(numbers) <= _FEW:
        return AnswerRow.number.in_(numbers)
    return (column + 0 >= least).self_group()
