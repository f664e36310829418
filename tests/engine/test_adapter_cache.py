"""Adapters are loaded on demand, and evicted when others need their slot, but never while a request uses them."""

import pytest

from llmos.core.errors import BadModelFile, Unavailable
from llmos.engine.adapter_cache import AdapterCache
from llmos.engine.runner import MAX_ADAPTERS


class Runner:
    def __init__(self):
        self.held = {}

    def set_adapter(self, index, adapter):
        assert 0 <= index < MAX_ADAPTERS
        self.held[index] = adapter


@pytest.fixture
def runner():
    return Runner()


@pytest.fixture
def cache(runner):
    cache = AdapterCache(runner)
    yield cache
    cache.check_invariants()


def opener(name):
    return lambda: {"of": name}


def never():
    raise AssertionError("it is there already")


def test_an_adapter_is_opened_once(cache, runner):
    index = cache.acquire("a", opener("a"))
    assert runner.held[index] == {"of": "a"}
    assert cache.acquire("a", never) == index
    assert cache.has("a")
    assert not cache.has("b")


def test_a_released_adapter_stays_until_its_slot_is_needed(cache, runner):
    indexs = {name: cache.acquire(name, opener(name)) for name in map(str, range(MAX_ADAPTERS))}
    assert len(set(indexs.values())) == MAX_ADAPTERS
    cache.release("5")
    cache.release("3")
    assert cache.acquire("3", never) == indexs["3"]
    cache.release("3")
    # 5 was taken before 3 was taken again.
    assert cache.acquire("new", opener("new")) == indexs["5"]
    assert not cache.has("5")
    assert cache.has("3")
    assert runner.held[indexs["5"]] == {"of": "new"}


def test_an_adapter_without_a_free_slot_is_refused_until_one_is_released(cache):
    for name in map(str, range(MAX_ADAPTERS)):
        cache.acquire(name, opener(name))
    with pytest.raises(Unavailable, match="All 32 adapter slots"):
        cache.acquire("one more", opener("one more"))
    cache.release("0")
    cache.acquire("one more", opener("one more"))


def test_an_adapter_that_cannot_be_opened_takes_no_slot(cache):
    def broken():
        raise BadModelFile("broken")

    with pytest.raises(BadModelFile):
        cache.acquire("a", broken)
    assert not cache.has("a")
    assert cache.acquire("b", opener("b")) == 0
