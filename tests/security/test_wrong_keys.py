"""Whoever tries keys is slowed down; whoever has a key that works is not."""

from collections.abc import Callable

import pytest

from llmos.core.errors import RateLimited
from llmos.security import wrong_keys
from llmos.security.wrong_keys import BURST, MAX_ADDRESSES, SECONDS_PER_KEY, WrongKeys

HERE, ELSEWHERE = "192.0.2.7", "192.0.2.8"


class Now:
    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def now() -> Now:
    return Now()


@pytest.fixture
def keys(now: Now) -> WrongKeys:
    return WrongKeys(monotonic=now)


@pytest.fixture
def spend(keys: WrongKeys) -> Callable[[str], None]:
    """Send as many wrong keys as an address may."""

    def spend(address: str) -> None:
        for number in range(BURST):
            keys.check(address, f"wrong {number}")
            keys.failed(address)

    return spend


def is_refused(keys: WrongKeys, address: str | None, key: str) -> bool:
    try:
        keys.check(address, key)
    except RateLimited:
        return True
    return False


def test_after_many_wrong_keys_an_address_must_wait(keys: WrongKeys, spend: Callable[[str], None], now: Now) -> None:
    spend(HERE)
    with pytest.raises(RateLimited, match="wrong API keys") as refused:
        keys.check(HERE, "any")
    assert refused.value.retry_after_seconds == SECONDS_PER_KEY
    assert not is_refused(keys, ELSEWHERE, "any")
    now.seconds += SECONDS_PER_KEY
    keys.check(HERE, "any")
    keys.failed(HERE)
    assert is_refused(keys, HERE, "any")


def test_a_key_that_has_worked_from_there_works_on(keys: WrongKeys, spend: Callable[[str], None]) -> None:
    keys.worked(HERE, "good")
    keys.worked(ELSEWHERE, "of elsewhere")
    spend(HERE)
    assert not is_refused(keys, HERE, "good")
    assert is_refused(keys, HERE, "of elsewhere")


@pytest.mark.parametrize("address", ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", None, "no address"])
def test_this_machine_is_never_slowed_down(
    keys: WrongKeys, spend: Callable[[str | None], None], address: str | None
) -> None:
    spend(address)
    assert not is_refused(keys, address, "any")


def test_addresses_of_one_ipv6_network_count_as_one(keys: WrongKeys, spend: Callable[[str], None]) -> None:
    spend("2001:db8::1")
    assert is_refused(keys, "2001:db8::ffff:2", "any")
    assert not is_refused(keys, "2001:db8:0:1::1", "any")
    spend("::ffff:192.0.2.7")
    assert is_refused(keys, "192.0.2.7", "any")


def test_its_memory_is_bounded(keys: WrongKeys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wrong_keys, "MAX_PROVEN", 10)
    for number in range(MAX_ADDRESSES + 10):
        keys.failed(f"10.0.{number >> 8}.{number & 255}")
        keys.worked(HERE, str(number))
    assert (len(keys._spent), len(keys._proven)) == (MAX_ADDRESSES, 10)
