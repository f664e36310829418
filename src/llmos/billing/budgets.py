"""Budgets: limits that owners set by name, for a key, a user, each user, a project or the whole installation.

Owners of a project set those of their own calls only, and change none that owners of the installation have set.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec
from sqlalchemy.orm import Session

from llmos.billing import limit_queries, queries
from llmos.billing.alerts.queries import alerts_of
from llmos.billing.currencies import currency_warning
from llmos.billing.limit_book import LimitBook
from llmos.billing.limit_queries import CountKey, Used
from llmos.billing.limits import PERIODS, UNITS, Limit, Scope, ScopeKind, period_end, period_start, subject_of
from llmos.billing.prices import check_currency
from llmos.billing.tables import BudgetRow
from llmos.core.clock import Clock, utc_now
from llmos.core.database import Database
from llmos.core.errors import BadRequest, Conflict, NotFound, PermissionDenied
from llmos.core.money import format_nanos, parse_nanos
from llmos.core.names import check_name
from llmos.core.schemas.budgets import BudgetDescription, BudgetUse
from llmos.core.suggest import nearest

DEFAULT_ALERTS = (80, 100)

MAX_ALERTS = 10
MAX_BUDGETS = 10_000
MAX_OF_PROJECT = 100
"""Budgets that owners of one project may set."""

_MAX_MONEY = 10**9
_MAX_NUMBER = 10**15
_NUM_USERS = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class BudgetSettings:
    """The calls that a budget counts, and how much they may consume."""

    project: str = ""
    """Without key and user, and with neither a project: the whole installation."""
    key: str = ""
    user: str = ""
    each_user: bool = False
    """Every user has as much; one who has a budget of their own has that instead."""
    unit: str
    currency: str = ""
    limit: str
    """A decimal, of tokens and requests a whole number."""
    per: str = "month"
    is_hard: bool = True
    alerts: Sequence[int] = DEFAULT_ALERTS


@dataclass(frozen=True, kw_only=True, slots=True)
class Subjects:
    """Finds those whom budgets and prices are for. Each raises NotFound."""

    check_project: Callable[[str], object] = lambda name: None
    project_of_key: Callable[[str], str] = lambda id: ""
    check_provider: Callable[[str], object] = lambda name: None


class BudgetSource:
    """Reads the budgets as limits."""

    def read(self, session: Session) -> Iterable[Limit]:
        return [_limit(row, user) for row, user in limit_queries.budgets(session)]


class Budgets:
    """Any thread may use it."""

    def __init__(
        self,
        database: Database,
        book: LimitBook | None = None,
        subjects: Subjects | None = None,
        *,
        clock: Clock = utc_now,
    ) -> None:
        """`book`: forgets the limits whenever they change."""
        self._database, self._clock = database, clock
        self._book, self._subjects = book or LimitBook(database, [BudgetSource()]), subjects or Subjects()

    def set(
        self, name: str, settings: BudgetSettings, *, actor: str = "", project: str | None = None
    ) -> BudgetDescription:
        """Add a budget, or change one. What was used in this period counts, and so does what a call uses that runs.

        `project`: that of an owner who may set budgets for nothing else. Raises BadRequest, NotFound for a key or a
        project that there isn't, PermissionDenied and Conflict for budgets of others.
        """
        check_name(name, "a budget")
        facts = self._facts(settings)
        if project is not None:
            _check_own(settings, facts, project)
        facts["managed_by"] = project or ""
        now = self._clock()
        with self._database.transaction() as session:
            self._database.hold_counting(session)
            revision = limit_queries.count_limit_change(session)
            number = _user_number(session, settings)
            row = limit_queries.budget(session, name)
            if row is None:
                _check_room(limit_queries.budgets(session), project)
            elif project is not None:
                _check_managed(row, project)
            if row is not None and not _counts_the_same(row, facts, number):
                limit_queries.remove_counts(session, _id_of(row))
                session.delete(row)
                session.flush()
                row = None
            if row is None:
                row = BudgetRow(number=revision, name=name, created_at=now)
                session.add(row)
            for field, value in (*facts.items(), ("user_number", number), ("changed_at", now), ("changed_by", actor)):
                setattr(row, field, value)
            session.flush()
            self._count_now(session, row, settings.user)
        self._book.forget()
        return self.get(name)

    def list(self, project: str | None = None) -> Sequence[BudgetDescription]:
        """Return the budgets by name. `project`: only those of this one."""
        with self._database.session() as session:
            found = [
                (row, _limit(row, user))
                for row, user in limit_queries.budgets(session)
                if project is None or row.project == project
            ]
            keys = {limit.id: self._key(limit) for _, limit in found}
            counts = limit_queries.counts(session, list(keys.values()))
            reserved = limit_queries.reserved(session, list(keys.values()))
            return [
                self._described(session, row, limit, counts.get(key := keys[limit.id]), reserved.get(key, 0))
                for row, limit in found
            ]

    def get(self, name: str, *, user: str | None = None, project: str | None = None) -> BudgetDescription:
        """Return a budget. `user`: of one for each user, only what this one has used. Raises NotFound."""
        with self._database.session() as session:
            rows = [each for each in limit_queries.budgets(session) if project is None or each[0].project == project]
            row, user_name = _found(name, rows)
            limit = _limit(row, user_name)
            if limit.scope.kind == "each_user":
                described = self._described(session, row, limit, None, 0)
                users, alerts = self._users(session, limit, user), alerts_of(session, [self._key(limit)])
                alerts = [each for each in alerts if user in (None, each.user)]
                return msgspec.structs.replace(described, users=list(users), alerted=list(alerts))
            if user is not None:
                raise BadRequest(f"The budget {name} isn't for each user. Leave `user` out.", param="user")
            key = self._key(limit)
            count = limit_queries.counts(session, [key]).get(key)
            reserved = limit_queries.reserved(session, [key]).get(key, 0)
            described = self._described(session, row, limit, count, reserved)
            return msgspec.structs.replace(described, alerted=list(alerts_of(session, [key])))

    def remove(self, name: str, *, project: str | None = None) -> None:
        """Remove a budget with its counts. What was used stays in the ledger.

        `project`: that of an owner who may remove no others. Raises NotFound, PermissionDenied.
        """
        with self._database.transaction() as session:
            self._database.hold_counting(session)
            rows = [each for each in limit_queries.budgets(session) if project is None or each[0].project == project]
            row, _ = _found(name, rows)
            if project is not None:
                _check_managed(row, project)
            limit_queries.count_limit_change(session)
            limit_queries.remove_counts(session, _id_of(row))
            session.delete(row)
        self._book.forget()

    def remove_project(self, project: str) -> None:
        """Remove the budgets of a project, its keys and its users."""
        for each in self.list(project):
            self.remove(each.name)

    def _facts(self, settings: BudgetSettings) -> dict[str, Any]:
        """Return the columns of the settings. Raises BadRequest, NotFound."""
        scope, project = _scope_of(settings), settings.project
        if project:
            self._subjects.check_project(project)
        if settings.key:
            project = self._subjects.project_of_key(settings.key)
            if settings.project not in ("", project):
                raise BadRequest(
                    f"The key {settings.key} isn't one of the project {settings.project}. Leave `project` out.",
                    param="project",
                )
        if settings.unit not in UNITS:
            raise BadRequest(f"`unit` is {settings.unit!r:.40}. Write {', '.join(UNITS)}.", param="unit")
        if settings.per not in PERIODS:
            raise BadRequest(f"`per` is {settings.per!r:.40}. Write {', '.join(PERIODS)}.", param="per")
        if settings.unit != "money" and settings.currency:
            raise BadRequest(f"`currency` is for money; this budget counts {settings.unit}.", param="currency")
        return {
            "scope": scope,
            "project": project,
            "key_id": settings.key,
            "unit": settings.unit,
            "currency": check_currency(settings.currency) if settings.unit == "money" else "",
            "amount": _amount(settings),
            "period": settings.per,
            "is_hard": settings.is_hard,
            "alert_percents": json.dumps(_checked_alerts(settings.alerts)),
        }

    def _count_now(self, session: Session, row: BudgetRow, user: str) -> None:
        """Count what this period has used already, and let no share that is used up cause an alert now or again."""
        limit = _limit(row, user)
        if limit.scope.kind == "each_user":
            start = period_start(limit.period, int(self._clock().timestamp()))
            found = limit_queries.counts_of(session, limit.id, start)
        else:
            key = self._key(limit)
            count = limit_queries.counts(session, [key]).get(key)
            if count is None:
                spent = limit_queries.used_before(session, limit, key.subject, key.period_start)
                count = Used(key.subject, key.period_start, spent)
            found = [count]
        for each in found:
            crossed = [percent for percent in limit.alert_percents if each.spent * 100 >= percent * limit.amount]
            each.alerted_percent = max(crossed, default=0)
        changed = {CountKey(limit.id, each.subject, each.period_start): each for each in found}
        limit_queries.store_counts(session, changed)

    def _key(self, limit: Limit) -> CountKey:
        return CountKey(limit.id, "", period_start(limit.period, int(self._clock().timestamp())))

    def _users(self, session: Session, limit: Limit, user: str | None) -> Sequence[BudgetUse]:
        start = period_start(limit.period, int(self._clock().timestamp()))
        if user is None:
            found = limit_queries.top_counts(session, limit.id, start, _NUM_USERS)
        else:
            numbers = limit_queries.numbers_of_user(session, user, limit.scope.project or None)
            keys = [CountKey(limit.id, subject_of(limit, "", number), start) for number in numbers]
            found = [*limit_queries.counts(session, keys).values()]
        reserved = limit_queries.reserved(session, [CountKey(limit.id, each.subject, start) for each in found])
        users = limit_queries.users_by_number(
            session, [int(each.subject) for each in found if each.subject.isdecimal()]
        )
        uses = []
        for each in found:
            held = reserved.get(CountKey(limit.id, each.subject, start), 0)
            project, name = _user_of(each.subject, users)
            uses.append(BudgetUse(project=project, user=name, **_amounts(limit, each.spent, held)))
        return uses

    def _described(
        self, session: Session, row: BudgetRow, limit: Limit, count: Used | None, reserved: int
    ) -> BudgetDescription:
        start = period_start(limit.period, int(self._clock().timestamp()))
        amounts: dict[str, Any] = {}
        if limit.scope.kind != "each_user":
            spent = limit_queries.used_before(session, limit, "", start) if count is None else count.spent
            amounts = _amounts(limit, spent, reserved)
        end = period_end(limit.period, start)
        return BudgetDescription(
            name=row.name,
            scope=row.scope,
            project=row.project,
            key=row.key_id,
            user=limit.scope.user if limit.scope.user or row.user_number is None else f"erased-{row.user_number}",
            unit=row.unit,
            currency=row.currency,
            limit=_format(limit, row.amount),
            per=row.period,
            is_hard=row.is_hard,
            warning=currency_warning(session, row.currency, int(self._clock().timestamp())),
            alerts=list(limit.alert_percents),
            resets_at=None if end is None else datetime.fromtimestamp(end, UTC),
            managed_by=row.managed_by,
            created_at=row.created_at,
            changed_at=row.changed_at,
            changed_by=row.changed_by,
            **amounts,
        )


def _check_own(settings: BudgetSettings, facts: Mapping[str, Any], project: str) -> None:
    """Raise PermissionDenied unless a budget counts calls of the project only, and NotFound for a key of another."""
    if settings.key and facts["project"] != project:
        raise NotFound(f"There is no key {settings.key[:80]!r}. To list yours: llmos key list", param="key")
    if facts["project"] != project:
        raise PermissionDenied(
            f"Keys of the project {project} set budgets for its own calls. Name it with `project`, or one of its keys"
            " with `key`."
        )


def _check_managed(row: BudgetRow, project: str) -> None:
    """Raise PermissionDenied, or Conflict for one of another project, unless owners of the project have set it."""
    if row.managed_by == project:
        return
    if row.project == project:
        raise PermissionDenied(
            f"The budget {row.name} belongs to the installation's owners. Choose another name for yours; both"
            " apply to your calls."
        )
    raise Conflict(f"The name {row.name} is taken. Choose another one.", param="name")


def _check_room(budgets: Sequence[tuple[BudgetRow, str | None]], project: str | None) -> None:
    if len(budgets) >= MAX_BUDGETS:
        raise BadRequest(f"There are {MAX_BUDGETS:,} budgets, the maximum. Remove some.")
    if project is not None and sum(row.managed_by == project for row, _ in budgets) >= MAX_OF_PROJECT:
        raise BadRequest(f"The project {project} has set {MAX_OF_PROJECT} budgets, the maximum. Remove some.")


def _scope_of(settings: BudgetSettings) -> ScopeKind:
    given = [name for name in ("key", "user", "each_user") if getattr(settings, name)]
    if len(given) > 1:
        raise BadRequest(f"A budget is for one of key, user and each_user, and not for {' and '.join(given)}.")
    if settings.user and not settings.project:
        raise BadRequest("Users belong to projects. Give `project`, too.", param="project")
    if settings.each_user:
        return "each_user"
    if settings.user:
        return "user"
    if settings.key:
        return "key"
    return "project" if settings.project else "installation"


def _amount(settings: BudgetSettings) -> int:
    if settings.unit == "money":
        amount = parse_nanos(settings.limit, "limit", limit=_MAX_MONEY)
    elif not settings.limit.isascii() or not settings.limit.isdecimal() or int(settings.limit[:20]) > _MAX_NUMBER:
        raise BadRequest(f"`limit` is {settings.limit!r:.40}. Write a whole number of {settings.unit}.", param="limit")
    else:
        amount = int(settings.limit)
    if amount < 1:
        raise BadRequest("`limit` is 0, which allows no calls. Write a larger one.", param="limit")
    return amount


def _checked_alerts(alerts: Sequence[int]) -> list[int]:
    found = sorted(set(alerts))
    if len(found) > MAX_ALERTS or not all(1 <= each <= 100 for each in found):
        raise BadRequest(f"`alerts` are up to {MAX_ALERTS} percentages from 1 to 100.", param="alerts")
    return found


def _user_number(session: Session, settings: BudgetSettings) -> int | None:
    if not settings.user:
        return None
    user = (settings.project, settings.user[:512])
    return queries.ensure_users(session, {user})[user]


def _counts_the_same(row: BudgetRow, facts: dict[str, Any], user_number: int | None) -> bool:
    names = ("scope", "project", "key_id", "unit", "currency", "period", "managed_by")
    return row.user_number == user_number and all(getattr(row, name) == facts[name] for name in names)


def _id_of(row: BudgetRow) -> str:
    return f"budget:{row.number}"


def _limit(row: BudgetRow, user: str | None) -> Limit:
    kind: Any = row.scope
    unit: Any = row.unit
    period: Any = row.period
    return Limit(
        id=_id_of(row),
        name=row.name,
        scope=Scope(kind=kind, project=row.project, key_id=row.key_id, user=user or "", user_number=row.user_number),
        unit=unit,
        currency=row.currency,
        amount=row.amount,
        period=period,
        is_hard=row.is_hard,
        managed_by=row.managed_by,
        alert_percents=tuple(json.loads(row.alert_percents)),
    )


def _amounts(limit: Limit, spent: int, reserved: int) -> dict[str, str]:
    left = max(0, limit.amount - spent - reserved)
    return {
        "spent": _format(limit, spent),
        "reserved": _format(limit, reserved),
        "left": _format(limit, left),
    }


def _format(limit: Limit, number: int) -> str:
    return format_nanos(number) if limit.unit == "money" else str(number)


def _found(name: str, rows: Sequence[tuple[BudgetRow, str | None]]) -> tuple[BudgetRow, str | None]:
    for row, user in rows:
        if row.name == name:
            return row, user
    near = nearest(name, [row.name for row, _ in rows], 1)
    hint = f"Did you mean {near[0]}?" if near else "To list them: llmos budget list"
    raise NotFound(f"There is no budget {name[:80]!r}. {hint}", param="name")


def _user_of(subject: str, users: dict[int, tuple[str, str | None]]) -> tuple[str, str]:
    """Return the project and the name of a user with a count."""
    if not subject.isdecimal():
        return subject.removeprefix("project:"), ""
    project, name = users.get(int(subject), ("", None))
    return project, name or f"erased-{subject}"
