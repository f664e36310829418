"""What a replica tells, gathered into frames: at once where few listen, several steps together where many do."""

from collections.abc import Callable

from llmos.engine.messages import Delta, EngineStats, Event, Failed
from llmos.engine.text.output import merge_deltas

HOLD_SECONDS = 0.03
"""Deltas of many streams wait so long at most: thirty pieces a second are faster than anybody reads."""

FEW_STREAMS = 8
"""So few are told of every token at once."""


class Outbox:
    """Holds deltas back while that saves work and nobody notices.

    Telling of a delta costs the gateway some 30 microseconds, and the forward pass misses the core that it runs on:
    with 32 streams on two cores that is a tenth of every step. A choice's first and last delta never wait, nor does
    what is no delta.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        """`clock`: seconds, rising steadily."""
        self._clock = clock
        self._held: dict[tuple[str, int], list[Delta]] = {}
        self._begun: set[tuple[str, int]] = set()
        """Choices that were told of."""
        self._load: EngineStats | None = None
        self._sent_at = clock()

    def take(self, events: list[Event], *, is_last: bool) -> list[Event]:
        """Add what a step tells. Return what goes out now: nothing, or all that was held, each choice's deltas as one.

        `is_last`: no step follows, so nothing may stay.
        """
        urgent: list[Event] = []
        is_due = is_last
        for event in events:
            match event:
                case Delta():
                    choice = (event.id, event.index)
                    self._held.setdefault(choice, []).append(event)
                    is_due = is_due or choice not in self._begun or event.finish_reason is not None
                case EngineStats():
                    self._load = event
                case Failed():
                    # What was computed for it is told, and paid for, whatever became of the rest.
                    urgent += [merge_deltas(deltas) for (id, _), deltas in self._held.items() if id == event.id]
                    urgent.append(event)
                    self.forget(event.id)
                case _:
                    urgent.append(event)
        if not (is_due or urgent or len(self._held) < FEW_STREAMS or self._clock() - self._sent_at >= HOLD_SECONDS):
            return []
        return self._all(urgent)

    def forget(self, request_id: str) -> None:
        """The request was given up, and its caller is gone: what is held of it goes nowhere. So the gateway counts up
        to HOLD_SECONDS of its tokens fewer than were computed."""
        self._begun = {choice for choice in self._begun if choice[0] != request_id}
        self._held = {choice: deltas for choice, deltas in self._held.items() if choice[0] != request_id}

    def _all(self, urgent: list[Event]) -> list[Event]:
        # First what is no delta: a request starts before it is told of. One that failed has no delta among the held.
        told = urgent + [merge_deltas(deltas) for deltas in self._held.values()]
        for choice, deltas in self._held.items():
            if deltas[-1].finish_reason is None:
                self._begun.add(choice)
            else:
                self._begun.discard(choice)
        self._held = {}
        if self._load is not None:
            told.append(self._load)
            self._load = None
        self._sent_at = self._clock()
        return told
