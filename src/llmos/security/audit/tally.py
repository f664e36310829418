"""Tally: which of the events that callers can cause at will are stored at once, and which are only counted.

The first event of a kind is stored at once. Equal ones are counted until the window ends, and share an entry then. So
are the kinds beyond MAX_KINDS, and the windows become longer while there are such: whoever tries keys, or asks again
and again for what is forbidden, can't fill the disk.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from llmos.security.audit.entries import Event

MAX_KINDS = 20
"""The kinds of events that have entries of their own in one window."""

FIRST_WINDOW_SECONDS = 60.0
MAX_WINDOW_SECONDS = 3600.0


@dataclass(slots=True)
class _Kind:
    event: Event
    num_more: int = 0
    """Equal events after the one that was stored."""


class Tally:
    """Belongs to one thread, or to those that hold its owner's lock."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._window = FIRST_WINDOW_SECONDS
        self._ends_at = 0.0
        self._kinds: dict[Event, _Kind] = {}
        self._others: dict[Event, _Kind] = {}
        """Events beyond MAX_KINDS, by action and outcome alone."""

    def add(self, event: Event) -> Sequence[Event]:
        """Count an event. Returns the entries that are to be stored now."""
        due = self.due()
        if not self._kinds:
            self._ends_at = self._monotonic() + self._window
        key = replace(event, request_id="", details=_Details(event.details))
        if (kind := self._kinds.get(key)) is not None:
            kind.num_more += 1
            return due
        if len(self._kinds) < MAX_KINDS:
            self._kinds[key] = _Kind(event)
            return [*due, event]
        other = Event(action=event.action, outcome=event.outcome, error=event.error, details=_Details({}))
        self._others.setdefault(other, _Kind(other)).num_more += 1
        return due

    def due(self) -> Sequence[Event]:
        """Return the counts of a window that has ended."""
        return self.end() if self._kinds and self._monotonic() >= self._ends_at else []

    @property
    def ends_at(self) -> float | None:
        """The moment at which counts are due; None: there are none."""
        has_counts = self._others or any(kind.num_more for kind in self._kinds.values())
        return self._ends_at if has_counts else None

    def end(self) -> Sequence[Event]:
        """Return all counts, and begin a new window."""
        counted = [kind.event.repeated(kind.num_more) for kind in self._kinds.values() if kind.num_more]
        counted += [kind.event.repeated(kind.num_more, others=True) for kind in self._others.values()]
        self._window = min(self._window * 2, MAX_WINDOW_SECONDS) if self._others else FIRST_WINDOW_SECONDS
        self._kinds, self._others = {}, {}
        return counted


class _Details(dict[str, str | int | bool]):
    """Details that are part of a key."""

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(tuple(sorted(self.items())))
