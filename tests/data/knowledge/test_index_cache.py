"""The cache of open indexes: each is opened once, bounded, and closed when nobody uses it."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from llmos.data.knowledge.index_cache import IndexCache


class Opened:
    def __init__(self):
        self.is_closed = False

    def close(self):
        assert not self.is_closed
        self.is_closed = True


def test_threads_share_what_one_of_them_opens():
    cache, opened, barrier = IndexCache(), [], threading.Barrier(4)

    def open():
        opened.append(Opened())
        return opened[-1]

    def use():
        barrier.wait()
        with cache.lent("a", 1, open) as found:
            return found

    with ThreadPoolExecutor(4) as threads:
        found = {future.result() for future in [threads.submit(use) for _ in range(4)]}
    assert len(found) == len(opened) == 1
    cache.close()
    assert opened[0].is_closed


def test_those_used_longest_ago_are_closed_first():
    cache, opened = IndexCache(max_bytes=10), {}

    def use(key, size):
        with cache.lent(key, size, lambda: opened.setdefault(key, Opened())):
            pass

    use("a", 4)
    use("b", 4)
    use("a", 4)
    use("c", 4)
    assert {key: each.is_closed for key, each in opened.items()} == {"a": False, "b": True, "c": False}
    use("large", 100)
    assert all(each.is_closed for each in opened.values())


def test_what_is_used_is_closed_by_its_last_user():
    cache, opened = IndexCache(max_bytes=1), Opened()
    with cache.lent("a", 5, lambda: opened):
        with cache.lent("a", 5, lambda: pytest.fail("it is open")):
            cache.discard("a")
            assert not opened.is_closed
        assert not opened.is_closed
    assert opened.is_closed


def test_what_cannot_be_opened_is_tried_again():
    cache = IndexCache()

    def fail():
        raise ValueError("damaged")

    with pytest.raises(ValueError, match="damaged"), cache.lent("a", 1, fail):
        pass
    with cache.lent("a", 1, Opened) as opened:
        assert not opened.is_closed
    cache.close()
    assert opened.is_closed
