"""The use of limits: exact for any number of calls and servers, and refilled evenly."""

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from redis import Redis

from llmos.core.database import Database
from llmos.security.limit_counts import LEASE, MINUTE, GiveBack, LimitCounter, LimitCounts, Take
from llmos.security.limits import Allowance, Limits
from llmos.security.redis_limit_counts import RedisLimitCounts
from support.redis_server import RedisServer, redis_server

SECOND = MINUTE // 60
MICROSECOND = 1_000  # Redis' clock knows nothing shorter.


class Nanoseconds:
    def __init__(self) -> None:
        self.now = 1_790_000_000 * 10**9

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def time() -> Nanoseconds:
    return Nanoseconds()


@pytest.fixture(
    scope="module",
    params=["sqlite", *(pytest.param(each, marks=pytest.mark.process) for each in ("postgresql", "redis"))],
)
def kind(request: pytest.FixtureRequest) -> str:
    """The place where it is counted."""
    kind: str = request.param
    return kind


@pytest.fixture(scope="module")
def database_kind(kind: str) -> str:
    return "sqlite" if kind == "redis" else kind


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with redis_server() as server:
        yield server


@pytest.fixture
def counts(kind: str, request: pytest.FixtureRequest, time: Nanoseconds) -> Iterator[LimitCounter]:
    if kind == "redis":
        server = request.getfixturevalue("redis")
        with Redis.from_url(server.url) as client:
            client.flushall()
        counts = RedisLimitCounts(server.url, clock=time)
        yield counts
        counts.close()
    else:
        yield LimitCounts(request.getfixturevalue("database"), clock=time)


@pytest.fixture
def elsewhere(
    counts: LimitCounter, kind: str, request: pytest.FixtureRequest, time: Nanoseconds
) -> Iterator[LimitCounter]:
    """The counts as another server on the same database has them."""
    if kind == "redis":
        other = RedisLimitCounts(request.getfixturevalue("redis").url, clock=time)
        yield other
        other.close()
    else:
        database = Database(request.getfixturevalue("database_url"))
        yield LimitCounts(database, clock=time)
        database.close()


def take(num_tokens: int = 0, scope: str = "key:key-1", **limits: int) -> Take:
    return Take([Allowance(scope=scope, limits=Limits(**limits))], num_tokens)


def num_passed(outcomes: list[Any]) -> int:
    return outcomes.count(None)


@pytest.mark.parametrize("limit", [1, 7, 10, 60, 199])
def test_of_200_calls_at_once_exactly_as_many_pass_as_may(counts: LimitCounter, limit: int) -> None:
    assert num_passed(counts.apply([take(requests_per_minute=limit)] * 200)) == limit


def test_two_servers_on_one_database_share_the_limit(counts: LimitCounter, elsewhere: LimitCounter) -> None:
    call = take(requests_per_minute=10)
    with ThreadPoolExecutor(8) as threads:
        begun = [threads.submit(each.apply, [call] * 10) for _ in range(10) for each in (counts, elsewhere)]
        outcomes = [outcome for each in begun for outcome in each.result()]
    assert len(outcomes) == 200
    assert num_passed(outcomes) == 10


def test_a_bucket_refills_evenly(counts: LimitCounter, time: Nanoseconds) -> None:
    call = take(requests_per_minute=6)
    (*_, refusal) = counts.apply([call] * 7)
    assert refusal is not None
    assert refusal.message == "The key key-1 may make 6 requests a minute. Try again in 10 seconds."
    assert (refusal.status, refusal.retry_after_seconds) == (429, 10)
    time.now += 10 * SECOND - 1
    assert num_passed(counts.apply([call])) == 0
    time.now += 1
    assert num_passed(counts.apply([call] * 5)) == 1
    time.now += 30 * SECOND
    assert num_passed(counts.apply([call] * 5)) == 3
    time.now += 60 * MINUTE
    assert num_passed(counts.apply([call] * 20)) == 6, "a bucket holds one minute"


def test_what_a_call_did_not_use_is_given_back_and_what_it_used_more_is_owed(
    counts: LimitCounter, time: Nanoseconds
) -> None:
    call = take(600, tokens_per_minute=1000)
    assert num_passed(counts.apply([call, call])) == 1
    assert num_passed(counts.apply([GiveBack(call, 100), call])) == 2
    (_, refusal) = counts.apply([GiveBack(call, 1900), take(1, tokens_per_minute=1000)])
    assert refusal is not None
    assert refusal.retry_after_seconds == 61  # 2,000 were used, and one more is asked for.
    assert "may use 1,000 tokens a minute" in refusal.message
    time.now += 61 * SECOND
    assert num_passed(counts.apply([take(1, tokens_per_minute=1000)])) == 1


def test_a_call_larger_than_a_minutes_tokens_waits_for_a_full_bucket(counts: LimitCounter, time: Nanoseconds) -> None:
    assert num_passed(counts.apply([take(100, tokens_per_minute=1000), take(5000, tokens_per_minute=1000)])) == 1
    time.now += 6 * SECOND
    assert num_passed(counts.apply([take(5000, tokens_per_minute=1000)])) == 1


def test_running_calls_are_counted_on_all_servers(counts: LimitCounter, elsewhere: LimitCounter) -> None:
    call = take(concurrent_requests=3)
    assert num_passed(counts.apply([call] * 2)) == 2
    (_, refusal) = elsewhere.apply([call] * 2)
    assert refusal is not None
    assert "may have 3 requests running at the same time" in refusal.message
    assert refusal.retry_after_seconds == 1
    assert num_passed(counts.apply([call])) == 0
    counts.apply([GiveBack(call, 0)])
    assert num_passed(elsewhere.apply([call, call])) == 1


def test_what_a_dead_server_held_is_free_when_its_lease_ends(
    counts: LimitCounter, elsewhere: LimitCounter, time: Nanoseconds
) -> None:
    call = take(concurrent_requests=1)
    counts.apply([call])
    time.now += LEASE - MICROSECOND
    assert num_passed(elsewhere.apply([call])) == 0
    counts.renew()
    time.now += LEASE - MICROSECOND
    assert num_passed(elsewhere.apply([call])) == 0
    time.now += MICROSECOND
    assert num_passed(elsewhere.apply([call])) == 1


def test_a_call_is_refused_as_a_whole_and_for_the_longest_wait(counts: LimitCounter) -> None:
    key = Allowance(scope="key:key-1", limits=Limits(requests_per_minute=60, concurrent_requests=5))
    project = Allowance(scope="project:acme", limits=Limits(requests_per_minute=2))
    outcomes = counts.apply([Take([key, project], 1)] * 70)
    assert num_passed(outcomes) == 2
    assert {str(each) for each in outcomes[2:]} == {
        "The project acme may make 2 requests a minute. Try again in 30 seconds."
    }
    assert num_passed(counts.apply([Take([key], 1)] * 70)) == 3, "refused calls are counted nowhere"


def test_scopes_do_not_share(counts: LimitCounter) -> None:
    calls = [take(scope=f"key:{i % 4}", requests_per_minute=3) for i in range(40)]
    assert num_passed(counts.apply(calls)) == 12


def test_no_order_of_steps_lets_more_run_than_may(counts: LimitCounter, elsewhere: LimitCounter) -> None:
    call, running, drawn = take(concurrent_requests=4), 0, random.Random(7)
    held: list[LimitCounter] = []
    for _ in range(60):
        server = drawn.choice([counts, elsewhere])
        if held and drawn.random() < 0.5:
            held.pop(drawn.randrange(len(held))).apply([GiveBack(call, 0)])
            running -= 1
        elif server.apply([call]) == [None]:
            held.append(server)
            running += 1
        else:
            assert running == 4
        assert 0 <= running <= 4


def test_counts_that_say_nothing_are_removed(
    counts: LimitCounter, kind: str, database: Database, time: Nanoseconds
) -> None:
    from llmos.security import queries

    if kind == "redis":
        pytest.skip("Redis removes them; see test_redis_limit_counts.py")
    counts.apply([take(5, requests_per_minute=5, tokens_per_minute=5, concurrent_requests=5)])
    time.now += 120 * MINUTE
    LimitCounts(database, clock=time).renew()
    with database.plain_counting() as transaction:
        assert [*queries.buckets(transaction, "key:key-1"), *queries.running(transaction, "key:key-1")] == []
