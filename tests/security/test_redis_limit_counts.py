"""Behavior that only Redis has in the counting of limits: its clock, expiry, and what happens while it is away."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from redis import Redis

from llmos.core.errors import BadRequest, RateLimited, Unavailable
from llmos.gateway.calls.limits_hold import LimitsHold
from llmos.security.limit_counts import LEASE, GiveBack, Take
from llmos.security.limits import Allowance, Limits
from llmos.security.redis_limit_counts import PREFIX, RedisLimitCounts
from support.redis_server import RedisServer, redis_server

pytestmark = pytest.mark.process


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with redis_server() as server:
        yield server


@pytest.fixture
def counts(server: RedisServer) -> Iterator[RedisLimitCounts]:
    counts = RedisLimitCounts(server.url)
    yield counts
    counts.close()


@pytest.fixture
def client(server: RedisServer) -> Iterator[Any]:
    with Redis.from_url(server.url, decode_responses=True) as client:
        yield client


def take(num_tokens: int = 0, **limits: int) -> Take:
    return Take([Allowance(scope="key:key-1", limits=Limits(**limits))], num_tokens)


def test_of_200_calls_at_once_from_many_servers_exactly_10_pass_by_redis_own_clock(server: RedisServer) -> None:
    servers = [RedisLimitCounts(server.url) for _ in range(8)]
    with ThreadPoolExecutor(8) as threads:
        begun = [threads.submit(each.apply, [take(concurrent_requests=10)] * 5) for each in servers for _ in range(5)]
        outcomes = [outcome for each in begun for outcome in each.result()]
    for each in servers:
        each.close()
    assert len(outcomes) == 200
    assert outcomes.count(None) == 10


def test_a_refusal_says_how_long_to_wait_by_redis_own_clock(counts: RedisLimitCounts) -> None:
    (*_, refusal) = counts.apply([take(requests_per_minute=2)] * 3)
    assert isinstance(refusal, RateLimited)
    assert refusal.retry_after_seconds in (29, 30)


def test_every_key_expires(counts: RedisLimitCounts, client: Any) -> None:
    call = take(600, requests_per_minute=6, tokens_per_minute=1000, concurrent_requests=3)
    counts.apply([call, call])
    keys = client.keys("*")
    assert len(keys) == 4
    assert all(key.startswith(PREFIX) for key in keys)
    for key in keys:
        assert 0 < client.pttl(key) <= 2 * LEASE // 1_000_000, key
    counts.apply([GiveBack(call, 0)])
    assert counts.apply([GiveBack(call, 0)]) == [None]


def test_a_lost_redis_refuses_and_remembers_what_runs(counts: RedisLimitCounts, server: RedisServer) -> None:
    call = take(concurrent_requests=2)
    assert counts.apply([call, call]) == [None, None]
    server.stop()
    with pytest.raises(Unavailable, match="Redis doesn't answer") as error:
        counts.apply([call])
    assert (error.value.status, error.value.retry_after_seconds) == (503, 2)
    server.start()  # Empty.
    other = RedisLimitCounts(server.url)
    counts.renew()
    assert isinstance(other.apply([call])[0], RateLimited), "the calls of the first server run still"
    counts.apply([GiveBack(call, 0)])
    assert other.apply([call]) == [None]
    other.close()


def test_what_a_server_runs_survives_a_reply_that_was_lost(
    counts: RedisLimitCounts, server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = take(concurrent_requests=2)
    with monkeypatch.context() as patch:
        script = counts._script

        def lose_the_reply(**options: Any) -> Any:
            from redis.exceptions import TimeoutError

            script(**options)
            raise TimeoutError("lost")

        patch.setitem(counts.__dict__, "_script", lose_the_reply)
        with pytest.raises(Unavailable):
            counts.apply([call])
    assert counts.apply([call, call, call])[:2] == [None, None], "the call that was refused counts nowhere"


def test_another_limit_begins_with_a_full_bucket(counts: RedisLimitCounts) -> None:
    assert counts.apply([take(requests_per_minute=2)] * 3).count(None) == 2
    assert counts.apply([take(requests_per_minute=3)] * 4).count(None) == 3


@pytest.mark.parametrize("limit", [1, 999, 7_746, 100_000])
def test_large_limits_are_as_exact_as_small_ones(server: RedisServer, limit: int) -> None:
    counts = RedisLimitCounts(server.url, clock=lambda: 1_790_000_000 * 10**9)
    big = take(limit - 1, tokens_per_minute=limit)
    assert counts.apply([big, take(1, tokens_per_minute=limit), take(1, tokens_per_minute=limit)]).count(None) == (
        2 if limit > 1 else 1
    )
    counts.close()


def test_calls_are_refused_with_503_while_redis_is_away(server: RedisServer) -> None:
    async def ask() -> None:
        counts = RedisLimitCounts(server.url)
        hold = LimitsHold(counts)
        server.stop()
        with pytest.raises(Unavailable):
            await hold._take(take(requests_per_minute=5))
        server.start()
        await hold._take(take(requests_per_minute=5))
        await hold.finish()
        counts.close()

    asyncio.run(ask())


@pytest.mark.parametrize("url", ["", "memcached://here", "redis://host:port", "/var/run/redis.sock"])
def test_another_url_is_refused(url: str) -> None:
    with pytest.raises(BadRequest, match="LLMOS_LIMITS_URL"):
        RedisLimitCounts(url)
