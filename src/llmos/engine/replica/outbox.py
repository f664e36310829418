"""Gathers a replica's events into frames: every step if there are few streams, several steps together if many."""

from collections.abc import Callable

from llmos.engine.messages import Delta, EngineStats, Event, Failed
from llmos.engine.text.joining import join

HOLD_SECONDS = 0.03
"""Longest time that a delta is held back: thirty pieces of text a second are faster than anybody reads."""

FEW_STREAMS = 17
"""With fewer streams than this, every delta is sent at once, so that no stream comes in bursts. More streams have slow
steps anyway."""


class Outbox:
    """Holds deltas back while that saves work and nobody notices.

    Sending a delta costs the gateway some 30 microseconds, on a core that the forward pass then lacks: with 32 streams
    on two cores that is a tenth of every step. A choice's first and last delta, and events that are not deltas, are
    sent at once.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        """`clock`: monotonic, in seconds."""
        self._clock = clock
        self._held: dict[tuple[str, int], list[Delta]] = {}
        self._started: set[tuple[str, int]] = set()
        """(request id, index) of the choices whose first delta was sent, but not the last."""
        self._load: EngineStats | None = None
        self._sent_at = clock()

    def add(self, events: list[Event], *, is_last: bool) -> list[Event]:
        """Add the events of a step. Return what to send now: nothing, or all that was held, joined by choice.

        `is_last`: no step follows, so nothing may be held.
        """
        urgent: list[Event] = []
        is_due = is_last
        for event in events:
            match event:
                case Delta():
                    choice = (event.id, event.index)
                    self._held.setdefault(choice, []).append(event)
                    is_due = is_due or choice not in self._started or event.finish_reason is not None
                case EngineStats():
                    self._load = event
                case Failed():
                    # The tokens that were computed before the failure are sent, and billed.
                    urgent += [join(deltas) for (id, _), deltas in self._held.items() if id == event.id]
                    urgent.append(event)
                    self.forget(event.id)
                case _:
                    urgent.append(event)
        if not (is_due or urgent or len(self._held) < FEW_STREAMS or self._clock() - self._sent_at >= HOLD_SECONDS):
            return []
        return self._flush(urgent)

    def forget(self, request_id: str) -> None:
        """Discard what is held of an aborted request.

        The gateway therefore counts up to HOLD_SECONDS of its tokens fewer than were computed.
        """
        self._started = {choice for choice in self._started if choice[0] != request_id}
        self._held = {choice: deltas for choice, deltas in self._held.items() if choice[0] != request_id}

    def _flush(self, urgent: list[Event]) -> list[Event]:
        # Other events go first: Started precedes the deltas of its request. A failed request has no held deltas.
        events = urgent + [join(deltas) for deltas in self._held.values()]
        for choice, deltas in self._held.items():
            if deltas[-1].finish_reason is None:
                self._started.add(choice)
            else:
                self._started.discard(choice)
        self._held = {}
        if self._load is not None:
            events.append(self._load)
            self._load = None
        self._sent_at = self._clock()
        return events
