"""Adapters are loaded when somebody asks for them, and go when others need their place: never from under a request."""

import pytest

from llmos.core.errors import BadModelFile, Unavailable
from llmos.engine.adapter_shelf import AdapterShelf
from llmos.engine.runner import MAX_ADAPTERS


class Runner:
    def __init__(self):
        self.held = {}

    def set_adapter(self, number, adapter):
        assert 0 <= number < MAX_ADAPTERS
        self.held[number] = adapter


@pytest.fixture
def runner():
    return Runner()


@pytest.fixture
def shelf(runner):
    shelf = AdapterShelf(runner)
    yield shelf
    shelf.check_invariants()


def opener(name):
    return lambda: {"of": name}


def never():
    raise AssertionError("it is there already")


def test_an_adapter_is_opened_once(shelf, runner):
    number = shelf.take("a", opener("a"))
    assert runner.held[number] == {"of": "a"}
    assert shelf.take("a", never) == number
    assert shelf.has("a")
    assert not shelf.has("b")


def test_one_that_was_released_stays_until_its_place_is_needed(shelf, runner):
    numbers = {name: shelf.take(name, opener(name)) for name in map(str, range(MAX_ADAPTERS))}
    assert len(set(numbers.values())) == MAX_ADAPTERS
    shelf.release("5")
    shelf.release("3")
    assert shelf.take("3", never) == numbers["3"]
    shelf.release("3")
    # 5 was taken before 3 was taken again.
    assert shelf.take("new", opener("new")) == numbers["5"]
    assert not shelf.has("5")
    assert shelf.has("3")
    assert runner.held[numbers["5"]] == {"of": "new"}


def test_more_than_there_is_room_for_are_refused_until_one_ends(shelf):
    for name in map(str, range(MAX_ADAPTERS)):
        shelf.take(name, opener(name))
    with pytest.raises(Unavailable, match="32 adapters"):
        shelf.take("one more", opener("one more"))
    shelf.release("0")
    shelf.take("one more", opener("one more"))


def test_one_that_can_not_be_opened_leaves_nothing_behind(shelf):
    def broken():
        raise BadModelFile("broken")

    with pytest.raises(BadModelFile):
        shelf.take("a", broken)
    assert not shelf.has("a")
    assert shelf.take("b", opener("b")) == 0
