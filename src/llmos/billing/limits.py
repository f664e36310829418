"""Limits: how much callers may consume in a period. Budgets are limits, and so is prepaid credit.

A limit counts requests, tokens or money. What runs now is held against it by its worst case (reservations.py), and
what has ended counts by the ledger. A source of limits is one class and an entry in opening.py.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, NamedTuple, Protocol

from sqlalchemy.orm import Session

from llmos.core.money import format_nanos

Unit = Literal["requests", "tokens", "money"]
Period = Literal["day", "month", "total"]
ScopeKind = Literal["installation", "project", "key", "user", "each_user"]

UNITS: tuple[Unit, ...] = ("requests", "tokens", "money")
PERIODS: tuple[Period, ...] = ("day", "month", "total")

DAY = 86_400

FOREVER = 1 << 62


class Payer(NamedTuple):
    """The project, key and user that a call counts for."""

    project: str
    key_id: str
    user: str
    """The project's own end user; empty if the request names none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Scope:
    """The callers whose calls a limit counts."""

    kind: ScopeKind
    project: str = ""
    """The project; for each_user, empty if the limit is for the users of every project."""
    key_id: str = ""
    user: str = ""
    user_number: int | None = None
    """The number of the user in LedgerUserRow."""

    def covers(self, payer: Payer) -> bool:
        match self.kind:
            case "installation":
                return True
            case "project":
                return self.project == payer.project
            case "key":
                return self.key_id == payer.key_id
            case "user":
                return bool(self.user) and (self.project, self.user) == (payer.project, payer.user)
            case "each_user":
                return self.project in ("", payer.project)

    def title(self) -> str:
        """Return whom the limit is for, as messages call them."""
        match self.kind:
            case "installation":
                return "this installation"
            case "project":
                return f"the project {self.project}"
            case "key":
                return f"the key {self.key_id}"
            case "user":
                return f"the user {self.user or f'erased-{self.user_number}'} of the project {self.project}"
            case "each_user":
                return f"each user of the project {self.project}" if self.project else "each user"


@dataclass(frozen=True, kw_only=True, slots=True)
class Limit:
    """The amount that a period pays for."""

    id: str
    """Under which the counts are stored: KIND:NUMBER. Another scope, unit or period is another id."""
    kind: str = "budget"
    """The name of the kind in messages, such as budget or credit."""
    name: str
    scope: Scope
    unit: Unit
    currency: str = ""
    """The currency of a limit of money; empty for other units."""
    amount: int
    """Requests, tokens, or billionths of the currency."""
    period: Period
    is_hard: bool = True
    """A hard limit stops calls; a soft one is only watched."""
    managed_by: str = ""
    """The project whose owners have set it; empty: those of the installation."""
    first: int = 0
    """It applies to calls that begin from then on, in seconds since 1970, and before `end`."""
    end: int = FOREVER
    alert_percents: tuple[int, ...] = ()
    """The shares of the amount that listeners are told of, once in each period."""

    def format(self, number: int) -> str:
        """1500000000 -> "1.5 EUR"; 1200 -> "1,200 tokens"."""
        if self.unit == "money":
            return f"{format_nanos(number)} {self.currency}"
        return f"{number:,} {self.unit.removesuffix('s') if number == 1 else self.unit}"

    @property
    def per(self) -> str:
        return "in total" if self.period == "total" else f"per {self.period}"


@dataclass(frozen=True, kw_only=True, slots=True)
class ThresholdCrossed:
    """A share of a limit is used up. Happens once for each share in a period."""

    limit: Limit
    subject: str
    """For each_user, the user's number; see subject_of()."""
    payer: Payer
    """The payer of the call that crossed the threshold."""
    percent: int
    spent: int
    period_start: int
    """Seconds since 1970; 0 for `total`."""


class ThresholdListener(Protocol):
    def __call__(self, session: Session, event: ThresholdCrossed) -> None:
        """Store what follows from the event, in the transaction that counts the call."""


class LimitSource(Protocol):
    """Reads limits of one kind from the database.

    Whoever changes what it reads calls queries.count_limit_change() in the same transaction, which must hold the lock
    of Database.hold_counting(), and then LimitBook.forget().
    """

    def read(self, session: Session) -> Iterable[Limit]: ...


def period_start(period: Period, at: int) -> int:
    """Return when the period began that a moment is in, in seconds since 1970. Days and months are those of UTC."""
    if period == "total":
        return 0
    if period == "day":
        return at - at % DAY
    moment = datetime.fromtimestamp(at, UTC)
    return int(datetime(moment.year, moment.month, 1, tzinfo=UTC).timestamp())


def period_end(period: Period, start: int) -> int | None:
    """Return when the next period begins; None for `total`, which has no end."""
    if period == "total":
        return None
    if period == "day":
        return start + DAY
    moment = datetime.fromtimestamp(start, UTC)
    year, month = divmod(moment.year * 12 + moment.month, 12)
    return int(datetime(year, month + 1, 1, tzinfo=UTC).timestamp())


def subject_of(limit: Limit, project: str, user_number: int | None) -> str:
    """Return who has a count of their own: each user of `each_user`, and one for all calls that name no user."""
    if limit.scope.kind != "each_user":
        return ""
    return f"project:{project}" if user_number is None else str(user_number)
