"""Reservations: what calls hold of budgets, what entries use of them, and what is left when servers die."""

import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from llmos.billing import limit_queries
from llmos.billing.budgets import Budgets, BudgetSettings, BudgetSource
from llmos.billing.entries import Entry
from llmos.billing.ledger import Ledger
from llmos.billing.ledger_writer import LedgerWriter
from llmos.billing.limit_book import LimitBook
from llmos.billing.limit_queries import CountKey
from llmos.billing.limits import Payer, ThresholdCrossed, period_end, period_start
from llmos.billing.price_books import PriceBooks
from llmos.billing.reservation_writer import ReservationWriter
from llmos.billing.reservations import Grant, Reservations, Want
from llmos.billing.tables import LedgerRow, LimitCountRow, ReservationRow, ReservedCallRow
from llmos.billing.worst_cases import WorstCase
from llmos.core.database import Database
from llmos.core.errors import BadRequest, LLMOSError, NotFound, QuotaExceeded
from support.databases import Databases
from support.examples import examples
from support.ledger import AT, entry

ANN, BOB = Payer("acme", "key-1", "ann"), Payer("acme", "key-1", "bob")
NOW = datetime.fromtimestamp(AT, UTC)


class Server:
    """The counters of one server. `kill` ends it as a power cut does."""

    def __init__(self, database: Database, folder: Path, on_event: Callable[[ThresholdCrossed], None] = print) -> None:
        def listen(session: Session, event: ThresholdCrossed) -> None:
            on_event(event)

        self.database, self.now = database, AT
        book = LimitBook(database, [BudgetSource()])
        held = Reservations(book, listeners=[listen])
        self.ledger = Ledger(database, held, clock=self.clock)
        self.budgets = Budgets(database, book, clock=self.clock)
        self.ledger_writer = LedgerWriter(self.ledger, folder)
        self.writer = ReservationWriter(database, held, self.ledger, self.ledger_writer, folder)
        self._num_calls = 0

    def clock(self) -> datetime:
        return datetime.fromtimestamp(self.now, UTC)

    def reserve(
        self,
        payer: Payer = ANN,
        *,
        num_input: int = 5,
        num_output: int = 5,
        draft: Entry | None = None,
        call_id: str = "",
        **facts: Any,
    ) -> tuple[str, Grant | LLMOSError | None]:
        self._num_calls += 1
        id = call_id or f"{self.writer.server_id}-{self._num_calls}"
        case = WorstCase(
            operation="generate",
            versions=["smollm2@1"],
            input_tokens=num_input,
            num_outputs=1,
            output_tokens=num_output,
        )
        want = Want(call_id=id, payer=payer, at=self.now, case=case, **facts)
        try:
            return id, self.writer.reserve(want, lambda: draft).result()
        except LLMOSError as error:
            self.writer.end(id, is_charged=False)
            return id, error

    def settle(self, id: str, *, at: int | None = None, payer: Payer = ANN, **tokens: int) -> None:
        self.writer.end(id, is_charged=True)
        facts = {"project": payer.project, "key_id": payer.key_id, "user": payer.user}
        self.ledger.add([entry(id, at=self.now if at is None else at, **facts, **tokens)])

    def release(self, id: str) -> None:
        self.writer.end(id, is_charged=False)
        self.writer.flush()

    def kill(self) -> None:
        """Leave everything as it is. The lock goes with the process."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(self.writer, "_write", lambda *args: None)
            patch.setattr(self.writer, "_leave", lambda: None)
            self.close()
        if self.writer._lock is not None:
            self.writer._lock.close()

    def close(self) -> None:
        self.writer.close()
        self.ledger_writer.close()


@pytest.fixture
def server(database: Database, tmp_path: Path) -> Iterator[Server]:
    server = Server(database, tmp_path / "ledger")
    yield server
    server.close()


def tokens(limit: int, **fields: Any) -> BudgetSettings:
    return BudgetSettings(unit="tokens", limit=str(limit), **{"per": "day", **fields})


def use(server: Server, name: str) -> tuple[int, int]:
    found = server.budgets.get(name)
    return int(found.spent or 0), int(found.reserved or 0)


def test_a_call_holds_its_worst_case_until_its_entry_says_what_it_used(server: Server) -> None:
    server.budgets.set("team", tokens(20))
    id, grant = server.reserve()
    assert isinstance(grant, Grant)
    assert (grant.output_tokens, grant.shortened_by, use(server, "team")) == (5, None, (0, 10))
    second, shorter = server.reserve(num_output=9)
    assert isinstance(shorter, Grant)
    assert (shorter.output_tokens, shorter.shortened_by and shorter.shortened_by.name) == (5, "team")
    _, refused = server.reserve()
    assert isinstance(refused, QuotaExceeded)
    assert "0 tokens are left while other calls run" in refused.message
    assert refused.retry_after_seconds == 1
    server.settle(id, input_tokens=5, output_tokens=2)
    assert use(server, "team") == (7, 10)
    server.release(second)
    assert use(server, "team") == (7, 0)


def test_a_call_holds_no_more_than_any_call_consumes(server: Server) -> None:
    book = {"default": {"per_million_tokens": {"output": "1000000"}}}
    PriceBooks(server.database, clock=server.clock).set({"currency": "EUR", "prices": book})
    server.budgets.set("eur", BudgetSettings(unit="money", currency="EUR", limit="1000000000", per="month"))
    for _ in range(3):
        _, grant = server.reserve(num_output=2**62)
        assert isinstance(grant, Grant)
    assert server.budgets.get("eur").reserved == "27021597.764222976"  # 3 times 2**53 nanos.


def test_every_budget_that_applies_must_pay(server: Server) -> None:
    server.budgets.set("all", tokens(100))
    server.budgets.set("acme", tokens(9, project="acme"))
    server.budgets.set("other", tokens(1, project="other"))
    server.budgets.set("calls", BudgetSettings(unit="requests", limit="1", key="key-1", per="total"))
    id, grant = server.reserve()
    assert isinstance(grant, Grant)
    assert grant.output_tokens == 4
    server.settle(id, input_tokens=5, output_tokens=1)
    _, refused = server.reserve(num_input=1, num_output=1)
    assert isinstance(refused, QuotaExceeded)
    assert "The budget calls for the key key-1 is 1 request in total; 0 requests are left" in refused.message
    assert [use(server, name) for name in ("all", "acme", "other", "calls")] == [(6, 0), (6, 0), (0, 0), (1, 0)]


def test_each_user_has_as_much_and_a_budget_of_their_own_instead(server: Server) -> None:
    server.budgets.set("everybody", tokens(10, each_user=True))
    server.budgets.set("acme-users", tokens(12, project="acme", each_user=True))
    server.budgets.set("bob", tokens(40, project="acme", user="bob"))
    nobody, elsewhere = Payer("acme", "key-1", ""), Payer("other", "key-2", "ann")
    granted = {payer: server.reserve(payer, num_output=100)[1] for payer in (ANN, BOB, nobody, elsewhere)}
    lengths = [grant.output_tokens for grant in granted.values() if isinstance(grant, Grant)]
    assert lengths == [7, 35, 7, 5]
    assert isinstance(server.reserve(nobody)[1], QuotaExceeded), "calls that name no user share what one has"
    found = server.budgets.get("acme-users")
    assert {(each.user, each.reserved) for each in found.users} == {("ann", "12"), ("", "12")}
    assert [each.left for each in server.budgets.get("everybody", user="ann").users] == ["0"]
    server.ledger.forget("acme", "bob")
    assert server.budgets.get("bob").user.startswith("erased-")


def test_a_budget_counts_what_its_period_has_used_before_it_was_set(server: Server) -> None:
    yesterday = AT - 86_400
    server.ledger.add([entry("a"), entry("b", user="bob", key_id="key-2"), entry("c", at=yesterday)])
    server.ledger.add([entry("d", project="other", key_id="key-3", user="")])
    wanted = {
        "all": tokens(99), "acme": tokens(99, project="acme"), "key": tokens(99, key="key-1"),
        "ann": tokens(99, project="acme", user="ann"), "calls": BudgetSettings(unit="requests", limit="9", per="month"),
        "total": tokens(99, per="total"),
    }  # fmt: skip
    for name, each in wanted.items():
        server.budgets.set(name, each)
    assert {name: use(server, name)[0] for name in wanted} == {
        "all": 24, "acme": 16, "key": 8, "ann": 8, "calls": 4, "total": 0,
    }  # fmt: skip
    server.budgets.set("users", tokens(10, each_user=True))
    _, grant = server.reserve(BOB, num_input=1)
    assert isinstance(grant, Grant)
    assert grant.output_tokens == 1
    server.budgets.set("all", tokens(20))
    assert server.budgets.get("all").left == "0", "a change keeps what was used"


def test_a_reversal_gives_back(server: Server) -> None:
    server.budgets.set("team", tokens(20))
    server.ledger.add([entry("a")])
    server.ledger.reverse("a")
    assert use(server, "team") == (0, 0)


def test_money_is_counted_at_the_prices(server: Server) -> None:
    book = {"default": {"per_call": "0.1", "per_million_tokens": {"input": "1", "output": "100000"}}}
    PriceBooks(server.database, clock=server.clock).set({"currency": "EUR", "prices": book})
    server.budgets.set("eur", BudgetSettings(unit="money", currency="EUR", limit="0.5", per="month"))
    server.budgets.set("usd", BudgetSettings(unit="money", currency="USD", limit="0.01", per="month"))
    id, grant = server.reserve(num_output=9)
    assert isinstance(grant, Grant)
    assert grant.output_tokens == 3
    server.settle(id, input_tokens=5, output_tokens=3)
    assert (server.budgets.get("eur").spent, server.budgets.get("usd").spent) == ("0.400005", "0")


def test_periods_are_those_of_utc_and_a_clock_that_jumps_back_finds_its_period_again(server: Server) -> None:
    server.budgets.set("day", tokens(10))
    midnight = AT - AT % 86_400 + 86_400
    for server.now, used in ((midnight - 1, 8), (midnight, 3), (midnight - 5, 1), (midnight + 9, 2)):
        id, _ = server.reserve(num_input=0, num_output=1)
        server.settle(id, input_tokens=0, output_tokens=used)
    assert use(server, "day") == (5, 0)
    server.now = midnight - 1
    assert use(server, "day") == (9, 0)
    # A call that began before midnight counts to that day, however late it ends.
    id, _ = server.reserve(num_input=0, num_output=1)
    server.now = midnight + 60
    server.settle(id, at=midnight - 1, input_tokens=0, output_tokens=1)
    assert use(server, "day") == (5, 0)


def test_months_and_their_ends() -> None:
    start = period_start("month", int(datetime(2026, 12, 31, 23, 59, tzinfo=UTC).timestamp()))
    assert datetime.fromtimestamp(start, UTC) == datetime(2026, 12, 1, tzinfo=UTC)
    assert datetime.fromtimestamp(period_end("month", start) or 0, UTC) == datetime(2027, 1, 1, tzinfo=UTC)


def test_a_threshold_is_crossed_once_in_a_period(database: Database, tmp_path: Path) -> None:
    events: list[tuple[str, int]] = []
    server = Server(database, tmp_path, lambda event: events.append((event.limit.name, event.percent)))
    server.budgets.set("soft", tokens(10, is_hard=False, alerts=[50, 100]))
    for number in range(4):
        server.ledger.add([entry(str(number), input_tokens=0, output_tokens=3)])
    assert events == [("soft", 50), ("soft", 100)]
    assert use(server, "soft") == (12, 0)
    server.ledger.add([entry("next day", at=AT + 86_400, output_tokens=6)])
    assert events[2:] == [("soft", 50), ("soft", 100)]
    server.budgets.set("hard", tokens(19, alerts=[90, 100]))
    assert isinstance(server.reserve(num_input=8)[1], QuotaExceeded)
    assert events[4:] == [("hard", 90), ("hard", 100)], "what is left pays for no call"
    server.close()


def test_a_killed_server_leaves_what_it_had_computed_and_holds_nothing(database: Database, tmp_path: Path) -> None:
    first = Server(database, tmp_path)
    first.budgets.set("team", tokens(100))
    emitted = entry("emitted", outcome="cancelled", output_tokens=2)
    with_tokens, _ = first.reserve(draft=emitted)
    first.reserve()
    done, _ = first.reserve()
    first.settle(done, output_tokens=1)
    first.writer._progress_at = 0.0
    first.writer._write((), set())
    assert use(first, "team") == (6, 20)
    first.kill()
    second = Server(database, tmp_path)
    second.writer.start()
    second.reserve(num_input=1, num_output=0)
    assert use(second, "team") == (6 + 7, 1)
    with database.session() as session:
        ids = session.scalars(select(LedgerRow.call_id).order_by(LedgerRow.number)).all()
        assert (
            session.scalars(select(ReservedCallRow.call_id).where(ReservedCallRow.call_id == with_tokens)).all() == []
        )
    assert ids == [done, "emitted"]
    second.close()


def test_a_call_that_is_made_again_after_a_crash_is_counted_once_and_holds_nothing(server: Server) -> None:
    """Such as a line of a batch, whose answer has the same id again."""
    server.budgets.set("team", tokens(100))
    for _ in range(2):
        id, grant = server.reserve(call_id="line")
        assert isinstance(grant, Grant)
    server.settle(id, output_tokens=5)
    server.reserve(call_id="line")
    assert use(server, "team") == (10, 10)
    server.settle("line", output_tokens=5)
    assert use(server, "team") == (10, 0)


def test_an_entry_that_the_database_refuses_keeps_nothing_reserved(server: Server) -> None:
    server.budgets.set("team", tokens(100))
    id, _ = server.reserve()
    server.writer.end(id, is_charged=True)
    for reserved in (10, 0):
        assert use(server, "team") == (0, 10)
        server.writer._renewed_at = None
        server.writer._renew_if_due()
        assert use(server, "team") == (0, reserved)


def test_a_living_server_keeps_what_it_holds(database: Database, tmp_path: Path) -> None:
    """On this machine its lock says so, and elsewhere its lease."""
    here, there = Server(database, tmp_path / "here"), Server(database, tmp_path / "there")
    here.budgets.set("team", tokens(100))
    here.reserve()
    there.reserve()
    beside = Server(database, tmp_path / "here")
    beside.reserve()
    assert use(beside, "team") == (0, 30)
    there.kill()
    with database.counting() as session:
        limit_queries.renew_server(session, there.writer.server_id, limit_queries.now(session) - 1)
    beside.writer._renewed_at = beside.writer._renewed_at and beside.writer._renewed_at - 11
    beside.reserve(num_input=0, num_output=1)
    assert use(beside, "team") == (0, 21)
    here.close()
    beside.close()


def test_a_change_by_another_process_is_found_after_a_second(database: Database) -> None:
    now = [0.0]
    book = LimitBook(database, [BudgetSource()], monotonic=lambda: now[0])
    assert book.current() is None
    book.read()
    Budgets(database).set("team", tokens(9))
    current = book.current()
    assert current is not None
    assert current.limits == [], "it was read a moment ago"
    now[0] = 1.5
    assert book.current() is None
    assert book.recent() is current, "a call needn't wait for it to be read again"
    now[0] = 60.0
    assert book.recent() is None
    assert [each.name for each in book.read().limits] == ["team"]
    now[0] = 62.0
    assert book.current() is not None, "nothing has changed"


def test_old_counts_are_counted_again(server: Server) -> None:
    server.budgets.set("team", tokens(100))
    server.ledger.add([entry("a")])
    with server.database.counting() as session:
        limit_queries.remove_old_counts(session, AT + 1)
    assert use(server, "team") == (8, 0)
    server.ledger.add([entry("b")])
    assert use(server, "team") == (16, 0)


def test_budgets_are_set_changed_and_removed(server: Server) -> None:
    server.budgets.set("team", tokens(10, project="acme"), actor="owner")
    server.budgets.set("all", tokens(10))
    server.ledger.add([entry("a")])
    assert [each.name for each in server.budgets.list()] == ["all", "team"]
    assert [each.name for each in server.budgets.list("acme")] == ["team"]
    changed = server.budgets.set("team", tokens(10, project="other"))
    assert (changed.spent, changed.scope, changed.project) == ("0", "project", "other")
    server.budgets.remove("team")
    with pytest.raises(NotFound, match="no budget 'team'"):
        server.budgets.get("team")
    assert isinstance(server.reserve(num_output=1)[1], QuotaExceeded)


WRONG: dict[str, tuple[BudgetSettings, str]] = {
    "two subjects": (tokens(1, key="k", each_user=True), "one of key, user and each_user"),
    "user alone": (tokens(1, user="ann"), "belong to projects"),
    "unit": (BudgetSettings(unit="hours", limit="1"), "requests, tokens, money"),
    "period": (tokens(1, per="week"), "day, month, total"),
    "half a token": (BudgetSettings(unit="tokens", limit="1.5"), "whole number"),
    "nothing": (tokens(0), "allows no calls"),
    "currency": (BudgetSettings(unit="money", limit="1"), "three letters"),
    "currency of tokens": (tokens(1, currency="EUR"), "counts tokens"),
    "alerts": (tokens(1, alerts=[101]), "from 1 to 100"),
}


@pytest.mark.parametrize("what", WRONG)
def test_wrong_settings_are_named(what: str, server: Server) -> None:
    wrong, message = WRONG[what]
    with pytest.raises(BadRequest, match=message):
        server.budgets.set("team", wrong)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["reserve", "settle", "release", "kill", "clock"]),
        st.integers(0, 12),
        st.sampled_from([ANN, BOB]),
    ),
    max_size=25,
)


@given(steps=STEPS)
@settings(max_examples=examples(15))
def test_no_interleaving_uses_more_than_a_limit_or_counts_other_than_the_ledger(
    databases: Databases, database_kind: str, steps: list[tuple[str, int, Payer]]
) -> None:
    with tempfile.TemporaryDirectory() as folder, databases.create(database_kind, Path(folder) / "database") as url:
        database = Database(url)
        try:
            _run(database, Path(folder) / "ledger", steps)
        finally:
            database.close()


def _run(database: Database, folder: Path, steps: list[tuple[str, int, Payer]]) -> None:
    server, open_calls = Server(database, folder), list[tuple[str, int, int, Payer]]()
    server.budgets.set("day", tokens(30))
    server.budgets.set("user", tokens(20, each_user=True))
    server.budgets.set("total", BudgetSettings(unit="requests", limit="6", per="total"))
    for step, number, payer in steps:
        if step == "reserve":
            id, grant = server.reserve(payer, num_input=number // 2, num_output=number)
            if isinstance(grant, Grant):
                open_calls.append((id, server.now, number // 2 + grant.output_tokens, payer))
        elif step == "clock":
            server.now += (number - 6) * 20_000
        elif step == "kill":
            server.kill()
            now, open_calls = server.now, []
            server = Server(database, folder)
            server.now = now
            server.writer._renew_if_due()
        elif open_calls:
            id, at, most, payer = open_calls.pop(number % len(open_calls))
            if step == "release":
                server.release(id)
            else:
                server.settle(id, at=at, payer=payer, input_tokens=0, output_tokens=min(number, most))
        with database.session() as session:
            _check_counts(session, server)
    for id, *_ in open_calls:
        server.release(id)
    with database.session() as session:
        assert session.scalar(select(func.count()).select_from(ReservationRow)) == 0
    server.close()


def _check_counts(session: Session, server: Server) -> None:
    index = LimitBook(server.database, [BudgetSource()]).in_session(session)
    for limit in index.limits:
        rows = session.scalars(select(LimitCountRow).filter_by(limit_id=limit.id)).all()
        held = limit_queries.reserved(session, [CountKey(limit.id, row.subject, row.period_start) for row in rows])
        for row in rows:
            key = CountKey(limit.id, row.subject, row.period_start)
            assert row.spent + held.get(key, 0) <= limit.amount
            assert row.spent == _sum_of_entries(session, limit.unit, row.subject, limit.period, row.period_start)


def _sum_of_entries(session: Session, unit: str, subject: str, period: Any, start: int) -> int:
    measure = LedgerRow.num_calls if unit == "requests" else LedgerRow.output_tokens
    statement = select(func.coalesce(func.sum(measure), 0))
    if (end := period_end(period, start)) is not None:
        statement = statement.where(LedgerRow.at >= start, LedgerRow.at < end)
    if subject:
        statement = statement.where(LedgerRow.user_number == int(subject))
    return int(session.scalar(statement) or 0)
