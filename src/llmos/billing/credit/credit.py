"""Credit: tops projects up, and says what is left.

    balance = the last line's balance - what calls have cost since

Calls cost credit while the project's plan is prepaid: then it is a limit (see limits.py), which reservations count
against. Each line is another limit, so that shares of it are those of what was left then and what was added.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from sqlalchemy.orm import Session

from llmos.billing import limit_queries
from llmos.billing.alerts.queries import alerts_of
from llmos.billing.credit import queries
from llmos.billing.credit.tables import CreditLineRow
from llmos.billing.limit_book import LimitBook
from llmos.billing.limit_queries import CountKey
from llmos.billing.plans.spans import PlanTable
from llmos.billing.prices import check_currency
from llmos.billing.tables import LimitCountRow
from llmos.core.actions import describe_action
from llmos.core.clock import Clock, utc_now
from llmos.core.database import Database
from llmos.core.errors import BadRequest, Conflict, NotFound
from llmos.core.ids import new_id
from llmos.core.money import format_nanos, parse_nanos
from llmos.core.schemas.credit import CreditDescription, CreditLineDescription

MAX_NOTE = 1000

_MAX_AMOUNT = 10**8
_MAX_BALANCE = 10**9
_NUM_LINES = 100


def limit_id(line_number: int, assignment: int = 0) -> str:
    """Return the id of a line's limit. Before the first one (0), each assignment of a plan has one."""
    return f"credit:{line_number}" if line_number else f"credit:none:{assignment}"


class Credit:
    """Any thread may use it."""

    def __init__(
        self,
        database: Database,
        book: LimitBook | None = None,
        *,
        check_project: Callable[[str], object] = lambda name: None,
        clock: Clock = utc_now,
    ) -> None:
        """`book`: forgets the limits when credit changes. `check_project` raises NotFound."""
        self._database, self._book, self._check_project, self._clock = database, book, check_project, clock

    def add(
        self, project: str, amount: str, currency: str, *, key: str = "", note: str = "", actor: str = ""
    ) -> CreditDescription:
        """Top a project up. `key` names the top-up: the same one again adds nothing.

        Raises NotFound, BadRequest, and Conflict for a key that stands for another top-up.
        """
        self._check_project(project)
        check_currency(currency)
        nanos = parse_nanos(amount, "amount", limit=_MAX_AMOUNT)
        if nanos == 0:
            raise BadRequest("`amount` is 0, which adds nothing.", param="amount")
        line = CreditLineRow(project=project, currency=currency, amount_nanos=nanos, reversal_of="")
        self._store(line, key, note, actor)
        return self._get(project, currency)

    def adjust(self, project: str, nanos: int, currency: str, *, key: str, note: str, actor: str) -> None:
        """Add what was too little, or take back what was too much. `key` names it: the same one again adds nothing.

        Raises Conflict for a key that stands for another amount.
        """
        line = CreditLineRow(project=project, currency=currency, amount_nanos=nanos, reversal_of="")
        self._store(line, key, note, actor)

    def reverse(self, project: str, line_id: str, *, note: str = "", actor: str = "") -> CreditDescription:
        """Reverse a top-up by a line with the opposite amount. Raises NotFound, and Conflict for the second time."""
        with self._database.session() as session:
            lines = queries.lines(session, project)
        row = next((each for each in lines if each.id == line_id), None)
        if row is None:
            raise NotFound(
                f"The credit of {project} has no line {line_id[:80]!r}. To see all: llmos credit show {project}"
            )
        if row.reversal_of or any(each.reversal_of == line_id for each in lines):
            raise Conflict(f"The line {line_id} is reversed already, or is a reversal itself.")
        line = CreditLineRow(
            project=project, currency=row.currency, amount_nanos=-row.amount_nanos, reversal_of=line_id
        )
        self._store(line, f"reversal of {line_id}", note, actor)
        return self._get(project, row.currency)

    def list(self, project: str | None = None) -> Sequence[CreditDescription]:
        """Return the credit of every project and currency. `project`: only of this one."""
        with self._database.session() as session:
            plans = PlanTable.read(session)
            return [
                self._described(session, row, plans)
                for row in queries.last_lines(session)
                if project in (None, row.project)
            ]

    def get(self, project: str) -> Sequence[CreditDescription]:
        """Return a project's credit with its lines, in each currency. Raises NotFound for an unknown project."""
        self._check_project(project)
        with self._database.session() as session:
            by_currency: defaultdict[str, list[CreditLineRow]] = defaultdict(list)
            for row in queries.lines(session, project):
                by_currency[row.currency].append(row)
            plans = PlanTable.read(session)
            return [self._described(session, rows[0], plans, rows) for _, rows in sorted(by_currency.items())]

    def _get(self, project: str, currency: str) -> CreditDescription:
        return next(each for each in self.get(project) if each.currency == currency)

    def _store(self, line: CreditLineRow, key: str, note: str, actor: str) -> None:
        """Store a line, which begins a new count of what calls cost."""
        if len(note) > MAX_NOTE or len(key) > 100:
            raise BadRequest(f"`note` has {MAX_NOTE:,} characters at most, and `key` 100.", param="note")
        line.id, line.note, line.created_at, line.created_by = new_id("credit"), note, self._clock(), actor
        line.key = key or line.id
        with self._database.transaction() as session:
            self._database.hold_counting(session)
            known = queries.line_with_key(session, line.project, line.key)
            if known is not None:
                if (known.currency, known.amount_nanos) != (line.currency, line.amount_nanos):
                    raise Conflict(f"The key {key!r:.80} stands for another top-up. Choose a new one.", param="key")
                describe_action(line.project, line=known.id)
                return
            limit_queries.count_limit_change(session)
            last = next((row for row in queries.lines(session, line.project) if row.currency == line.currency), None)
            olds = _limits_without_line(session, line) if last is None else [limit_id(last.number)]
            spent = _spent(session, olds)
            line.balance_nanos = line.amount_nanos - spent + (0 if last is None else last.balance_nanos)
            line.spent_nanos = spent + (0 if last is None else last.spent_nanos)
            if line.balance_nanos > _MAX_BALANCE * 10**9:
                raise BadRequest(f"The credit would be more than {_MAX_BALANCE:,}.", param="amount")
            session.add(line)
            session.flush()
            new = limit_id(line.number)
            session.add(LimitCountRow(limit_id=new, subject="", period_start=0, spent=0, alerted_percent=0))
            queries.move_reservations(session, olds, new)
            describe_action(line.project, line=line.id, amount=format_nanos(line.amount_nanos), currency=line.currency)
        if self._book is not None:
            self._book.forget()

    def _described(
        self, session: Session, last: CreditLineRow, plans: PlanTable, lines: Sequence[CreditLineRow] = ()
    ) -> CreditDescription:
        key = CountKey(limit_id(last.number), "", 0)
        reserved = limit_queries.reserved(session, [key]).get(key, 0)
        spent = _spent(session, [key.limit_id])
        balance = last.balance_nanos - spent
        span = plans.at(last.project, int(self._clock().timestamp()))
        return CreditDescription(
            project=last.project,
            currency=last.currency,
            balance=format_nanos(balance),
            reserved=format_nanos(reserved),
            left=format_nanos(max(0, balance - reserved)),
            topped_up=format_nanos(last.balance_nanos + last.spent_nanos),
            spent=format_nanos(last.spent_nanos + spent),
            is_used=span is not None and span.plan.kind == "prepaid" and span.plan.currency == last.currency,
            alerts=list(alerts_of(session, [key])),
            lines=[_described_line(row) for row in lines[:_NUM_LINES]],
        )


def _spent(session: Session, limit_ids: Sequence[str]) -> int:
    """Return what calls have cost since a line."""
    keys = [CountKey(id, "", 0) for id in limit_ids]
    return sum(count.spent for count in limit_queries.counts(session, keys).values())


def _limits_without_line(session: Session, line: CreditLineRow) -> Sequence[str]:
    """Return the limits of a project before its first line. Calls that ran when it got its plan count for them."""
    spans = [span for span in PlanTable.read(session).spans(line.project) if span.plan.currency == line.currency]
    return sorted({limit_id(0, span.assignment) for span in spans if span.plan.kind == "prepaid"})


def _described_line(row: CreditLineRow) -> CreditLineDescription:
    return CreditLineDescription(
        id=row.id,
        at=row.created_at.astimezone(UTC),
        amount=format_nanos(row.amount_nanos),
        currency=row.currency,
        balance=format_nanos(row.balance_nanos),
        note=row.note,
        reversal_of=row.reversal_of,
        created_by=row.created_by,
    )


def _at(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
