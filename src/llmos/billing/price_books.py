"""PriceBooks: the versions of the prices. None ever changes; the one that is valid at the time of a call applies."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy.orm import Session

from llmos.billing import queries
from llmos.billing.dated import read_valid_from, valid_at
from llmos.billing.entries import Entry
from llmos.billing.plans.plan import Plan
from llmos.billing.plans.queries import newest_numbers
from llmos.billing.plans.spans import PlanTable, plan_at
from llmos.billing.prices import TOKENS, PriceBook, check_currency, read_prices, read_units
from llmos.billing.tables import PriceBookRow
from llmos.core.clock import Clock, utc_now
from llmos.core.database import Database
from llmos.core.errors import BadRequest, NotFound
from llmos.core.money import format_nanos
from llmos.core.schemas.prices import PriceBookDescription, PriceExample

_MONEY = frozenset({"per_call", "per_second", "per_million_tokens", "price", "spend", "monthly_fee"})

FIELDS = ("from", "currency", "prices", "free")


class PriceBooks:
    """Any thread may use it."""

    def __init__(self, database: Database, *, clock: Clock = utc_now) -> None:
        self._database, self._clock = database, clock

    def set(self, document: Any, *, actor: str = "") -> PriceBookDescription:
        """Add a version, which applies from a time on that isn't in the past. Raises BadRequest."""
        if not isinstance(document, dict) or not set(document) <= set(FIELDS):
            raise BadRequest(f"A price book has the fields {', '.join(FIELDS)}.", param="prices")
        now = self._clock()
        valid_from = read_valid_from(document.get("from"), now, "Prices apply to calls from now on.")
        with self._database.transaction() as session:
            row = add_book(session, document, valid_from, now=now, actor=actor)
        return _described(row)

    def list(self) -> Sequence[PriceBookDescription]:
        """Return the versions, newest first."""
        with self._database.session() as session:
            return [_described(row) for row in queries.price_books(session)]

    def get(self, version: int | None = None) -> PriceBookDescription:
        """Return a version; by default the one that applies now. Raises NotFound."""
        with self._database.session() as session:
            rows = queries.price_books(session)
        if version is None:
            book = valid_at(general_books([_book(row) for row in rows]), int(self._clock().timestamp()))
            version = None if book is None else book.version
        found = next((row for row in rows if row.version == version), None)
        if found is None:
            what = "No prices apply now" if version is None else f"There is no version {version} of the prices"
            raise NotFound(f"{what}. To see all: llmos price list")
        return _described(found)

    def try_out(self, entry: Entry, *, plan: str = "") -> PriceExample:
        """Return what an entry would cost its project. `plan`: what it would with this one. Raises NotFound."""
        with self._database.session() as session:
            table = PriceTable(read_books(session), PlanTable.read(session))
            if plan:
                book = table.book_of_plan(plan_at(session, plan, entry.at), entry.at)
            else:
                book = table.book(entry.project, entry.at)
        applied = None if book is None else book.applied(entry)
        if book is None or applied is None:
            return PriceExample()
        cost = book.cost(entry)
        return PriceExample(
            cost=None if cost is None else format_nanos(cost),
            currency=book.currency,
            price_version=book.version,
            applied=applied,
            plan=book.plan,
        )


class PriceTable:
    """The prices of every project at one moment. Any thread may use it."""

    def __init__(self, books: Sequence[PriceBook] = (), plans: PlanTable | None = None) -> None:
        self._general, self._plans = general_books(books), plans or PlanTable({})
        self._own = {(book.plan, book.plan_version): book for book in books if book.plan}

    def book(self, project: str, at: int) -> PriceBook | None:
        """Return the prices of a call: those of the project's plan if it has any, else the general ones."""
        span = self._plans.at(project, at)
        return self.book_of_plan(None if span is None else span.plan, at)

    def book_of_plan(self, plan: Plan | None, at: int) -> PriceBook | None:
        """Return the prices of those who have a version of a plan."""
        if plan is not None and plan.has_prices:
            return self._own[plan.name, plan.version]
        return valid_at(self._general, at)


class PriceCache:
    """The prices as a transaction sees them; they are read again when prices or plans have changed."""

    def __init__(self) -> None:
        self._known: tuple[tuple[int, ...], PriceTable] = (), PriceTable()

    def read(self, session: Session) -> PriceTable:
        known, numbers = self._known, newest_numbers(session)
        if known[0] != numbers:
            known = self._known = numbers, PriceTable(read_books(session), PlanTable.read(session))
        return known[1]


def example(
    *,
    version: str = "",
    route: str = "",
    project: str = "",
    calls: int = 1,
    replica_micros: int = 0,
    **num_tokens: int,
) -> Entry:
    """Return the entry of a call that ends now. `num_tokens`: by the kinds of TOKENS."""
    tokens: dict[str, Any] = {TOKENS[kind]: number for kind, number in num_tokens.items()}
    return Entry(
        call_id="example",
        at=int(utc_now().timestamp()),
        project=project,
        key_id="",
        route=route,
        model=version,
        version=version,
        operation="generate",
        outcome="answered",
        num_calls=calls,
        replica_micros=replica_micros,
        **tokens,
    )


def add_book(
    session: Session,
    document: Mapping[str, Any],
    valid_from: int,
    *,
    now: datetime,
    actor: str,
    plan: tuple[str, int] | None = None,
) -> PriceBookRow:
    """Add the prices in a document as a version. `plan`: the version of a plan that has them. Raises BadRequest."""
    free = document.get("free") or {}
    read_prices(document.get("prices"))
    read_units(free, "free")
    row = PriceBookRow(
        version=queries.newest_price_version(session) + 1,
        valid_from=valid_from,
        currency=check_currency(document.get("currency")),
        document=json.dumps(texts_of(document["prices"])),
        free=json.dumps(free),
        plan="" if plan is None else plan[0],
        plan_version=None if plan is None else plan[1],
        created_at=now,
        created_by=actor,
    )
    session.add(row)
    return row


def general_books(books: Sequence[PriceBook]) -> Sequence[PriceBook]:
    """Return the books that aren't those of a plan."""
    return [each for each in books if not each.plan]


def read_books(session: Session) -> Sequence[PriceBook]:
    return [_book(row) for row in queries.price_books(session)]


def _book(row: PriceBookRow) -> PriceBook:
    return PriceBook(
        version=row.version,
        valid_from=row.valid_from,
        currency=row.currency,
        prices=read_prices(json.loads(row.document)),
        free=read_units(json.loads(row.free), "free"),
        plan=row.plan,
        plan_version=row.plan_version,
    )


def texts_of(value: Any, *, is_money: bool = False) -> Any:
    """Return a document with amounts of money as texts. Numbers of units stay numbers."""
    if isinstance(value, dict):
        return {
            key: texts_of(each, is_money=(is_money or key in _MONEY) and key != "up_to") for key, each in value.items()
        }
    if isinstance(value, list):
        return [texts_of(each, is_money=is_money) for each in value]
    return str(value) if is_money else value


def _described(row: PriceBookRow) -> PriceBookDescription:
    return PriceBookDescription(
        version=row.version,
        valid_from=datetime.fromtimestamp(row.valid_from, UTC),
        currency=row.currency,
        prices=json.loads(row.document),
        free=json.loads(row.free),
        plan=row.plan,
        created_at=row.created_at,
        created_by=row.created_by,
    )
