"""IndexCache: keeps the indexes that were searched last open. Each is opened once, whatever the number of threads."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar


class Closable(Protocol):
    def close(self) -> None: ...


T = TypeVar("T", bound=Closable)

MAX_BYTES = 1 << 30
"""The files of all open indexes together. One that is larger alone is open while it is used."""


@dataclass(slots=True)
class _Slot(Generic[T]):
    size: int
    lock: threading.Lock = field(default_factory=threading.Lock)
    """Held while it is opened."""
    opened: T | None = None
    num_users: int = 0


class IndexCache(Generic[T]):
    """Any thread may use it."""

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._slots: OrderedDict[str, _Slot[T]] = OrderedDict()
        """The cached indexes, the least recently used first."""

    @contextmanager
    def lent(self, key: str, size: int, open: Callable[[], T]) -> Iterator[T]:
        """Lend what `open` returned for this key. `size`: its bytes. Raises what `open` raises."""
        slot = self._enter(key, size)
        try:
            with slot.lock:
                if slot.opened is None:
                    slot.opened = open()
            yield slot.opened
        finally:
            self._leave(key, slot)

    def discard(self, key: str) -> None:
        """Close what was opened for this key, once nobody uses it."""
        with self._lock:
            slot = self._slots.pop(key, None)
            is_unused = slot is not None and not slot.num_users
        if slot is not None and is_unused:
            _close(slot)

    def close(self) -> None:
        for key in list(self._slots):
            self.discard(key)

    def _enter(self, key: str, size: int) -> _Slot[T]:
        with self._lock:
            slot = self._slots.setdefault(key, _Slot(size))
            slot.num_users += 1
            self._slots.move_to_end(key)
            evicted = self._evict()
        for each in evicted:
            _close(each)
        return slot

    def _leave(self, key: str, slot: _Slot[T]) -> None:
        with self._lock:
            slot.num_users -= 1
            if slot.opened is None and not slot.num_users and self._slots.get(key) is slot:
                del self._slots[key]  # It could not be opened.
            is_abandoned = not slot.num_users and self._slots.get(key) is not slot
            evicted = [slot] if is_abandoned else self._evict()
        for each in evicted:
            _close(each)

    def _evict(self) -> list[_Slot[T]]:
        """Take the unused slots out that were used longest ago, until the others fit. The caller closes them."""
        evicted, total = [], sum(slot.size for slot in self._slots.values())
        for key, slot in list(self._slots.items()):
            if total <= self._max_bytes:
                break
            if not slot.num_users:
                evicted.append(self._slots.pop(key))
                total -= slot.size
        return evicted


def _close(slot: _Slot[T]) -> None:
    if slot.opened is not None:
        slot.opened.close()
