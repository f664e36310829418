"""The throttle: exact over servers, bounded, and the same for names that there are not."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import text

from llmos.core.database import Database
from llmos.core.errors import RateLimited
from llmos.security.users.throttle import ADDRESS_RATE, NAME_RATE, NUM_BUCKETS, Throttle, network_of


def passes(throttle: Throttle, name: str | None, address: str | None = None) -> bool:
    try:
        throttle.take(name, address)
    except RateLimited:
        return False
    return True


@pytest.fixture
def elsewhere(database_url: str, database: Database, clock: Any) -> Iterator[Throttle]:
    """The throttle as another server on the same database has it."""
    other = Database(database_url)
    yield Throttle(other, clock=lambda: int(clock().timestamp()) * 10**9)
    other.close()


@pytest.mark.thorough
def test_of_200_tries_at_once_on_two_servers_exactly_as_many_pass_as_may(
    throttle: Throttle, elsewhere: Throttle
) -> None:
    with ThreadPoolExecutor(8) as threads:
        tried = [threads.submit(passes, each, "ann") for _ in range(100) for each in (throttle, elsewhere)]
        assert sum(each.result() for each in tried) == NAME_RATE.at_once


def test_after_that_one_try_passes_in_each_interval(throttle: Throttle, clock: Any) -> None:
    assert sum(passes(throttle, "ann") for _ in range(50)) == NAME_RATE.at_once
    with pytest.raises(RateLimited, match="Try again in 60 seconds") as error:
        throttle.take("ann", None)
    assert error.value.retry_after_seconds == 60
    clock.advance(seconds=59)
    assert not passes(throttle, "ann")
    clock.advance(seconds=1)
    assert sum(passes(throttle, "ann") for _ in range(5)) == 1
    clock.advance(hours=1)
    assert sum(passes(throttle, "ann") for _ in range(50)) == NAME_RATE.at_once


def test_an_address_is_limited_over_all_names(throttle: Throttle) -> None:
    assert sum(passes(throttle, f"user{i}", "203.0.113.7") for i in range(200)) == ADDRESS_RATE.at_once
    assert passes(throttle, "ann", "203.0.113.8")


def test_a_try_that_is_refused_counts_for_nobody(throttle: Throttle) -> None:
    for i in range(ADDRESS_RATE.at_once):
        throttle.take(f"user{i}", "203.0.113.7")
    for _ in range(100):
        assert not passes(throttle, "ann", "203.0.113.7")
    assert sum(passes(throttle, "ann") for _ in range(50)) == NAME_RATE.at_once


def test_a_success_gives_its_own_try_back_and_no_other(throttle: Throttle) -> None:
    for _ in range(100):
        throttle.take("ann", "203.0.113.7")
        throttle.give_back("ann", "203.0.113.7")
    for _ in range(NAME_RATE.at_once - 1):
        throttle.take("ann", None)
    throttle.take("ann", None)
    throttle.give_back("ann", None)
    assert passes(throttle, "ann")
    assert not passes(throttle, "ann")


def test_the_rows_are_bounded_and_go_when_they_say_nothing(
    database: Database, throttle: Throttle, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llmos.security.users.throttle.NUM_BUCKETS", 8)
    assert NUM_BUCKETS <= 20_000
    for i in range(100):
        passes(throttle, f"nobody{i}", f"2001:db8:{i:x}::1")

    def num_rows() -> Any:
        with database.session() as session:
            return session.execute(text("SELECT count(*) FROM sign_in_failures")).scalar()

    assert num_rows() <= 16
    clock.advance(hours=2)
    throttle.take("ann", None)
    assert num_rows() == 1


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("fe80::1%eth0", "fe80::"),
        ("unix socket", "unix socket"),
    ],
)
def test_one_customer_of_a_network_is_one_address(address: str, network: str) -> None:
    assert network_of(address) == network
