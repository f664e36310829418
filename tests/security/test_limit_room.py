"""LimitRoom: calls that begin before they are counted never use more of a limit than it has."""

from llmos.security.limit_counts import MINUTE, ScopeCount, Take
from llmos.security.limit_room import MAX_AGE, LimitRoom
from llmos.security.limits import Allowance, Limits

NOW = 10 * MINUTE


def take_of(num_tokens: int = 1, **limits: int) -> Take:
    return Take([Allowance(scope="key:1", limits=Limits(**limits))], num_tokens, has_begun=True)


def room_with(*, requests: float = 0.0, tokens: float = 0.0, running: int = 0) -> LimitRoom:
    """Return a room that knows which shares of a minute's requests and tokens are used."""
    room = LimitRoom()
    count = ScopeCount("key:1", NOW, NOW + round(requests * MINUTE), NOW + round(tokens * MINUTE), running)
    room.counted([count], [])
    return room


def num_taken(room: LimitRoom, take: Take, now: int = NOW) -> int:
    num = 0
    while num < 1000 and room.take(take, now):
        num += 1
    return num


def test_a_fiftieth_of_each_limit_may_begin_uncounted():
    assert num_taken(room_with(), take_of(requests_per_minute=500)) == 10
    assert num_taken(room_with(), take_of(20, tokens_per_minute=5000)) == 5
    assert num_taken(room_with(), take_of(concurrent_requests=350)) == 7
    assert num_taken(room_with(), take_of(20, requests_per_minute=500, tokens_per_minute=5000)) == 5
    assert num_taken(room_with(), take_of(requests_per_minute=49)) == 0


def test_nothing_begins_uncounted_where_half_of_a_limit_is_used():
    assert num_taken(room_with(requests=0.49), take_of(requests_per_minute=500)) == 5
    assert num_taken(room_with(requests=0.5), take_of(requests_per_minute=500)) == 0
    assert num_taken(room_with(tokens=0.5), take_of(tokens_per_minute=5000)) == 0
    assert num_taken(room_with(running=175), take_of(concurrent_requests=350)) == 0


def test_one_limit_without_room_is_enough():
    limits = [
        Allowance(scope="key:1", limits=Limits(requests_per_minute=500)),
        Allowance(scope="project:1", limits=Limits(requests_per_minute=500)),
    ]
    room = room_with()
    assert not room.take(Take(limits, 1, has_begun=True), NOW)
    assert num_taken(room, take_of(requests_per_minute=500)) == 10  # The refused one took nothing.


def test_an_old_count_says_nothing():
    assert num_taken(room_with(), take_of(requests_per_minute=500), NOW + MAX_AGE) == 10
    assert num_taken(room_with(), take_of(requests_per_minute=500), NOW + MAX_AGE + 1) == 0
    assert num_taken(room_with(), take_of(requests_per_minute=500), NOW - 1) == 0
    room = room_with()
    room.forget()
    assert num_taken(room, take_of(requests_per_minute=500)) == 0


def test_what_is_counted_makes_room_for_others():
    room, take = room_with(), take_of(requests_per_minute=500)
    assert num_taken(room, take) == 10
    room.counted([ScopeCount("key:1", NOW, NOW + MINUTE // 50, NOW, 0)], [take] * 10)
    assert num_taken(room, take) == 10
