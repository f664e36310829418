"""Channel: sends events to one receiver, and finds those that it refuses.

accepted            2xx
refused             400, 413, 422: something in the batch is wrong. The receiver says which, or halves find it
not delivered       anything else: all of it is sent again later
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from llmos.billing.exporters.events import FORMATS, Event, EventOptions, Line, reason_of
from llmos.core.posting import MAX_REPLY_BYTES, Poster, Reply

_REFUSALS = (400, 413, 422)

BATCH_SECONDS = 30.0
"""No request of a batch begins after this time: what is left is part of the next batch."""


@dataclass(slots=True)
class Delivery:
    """The outcome of sending a batch of entries."""

    taken: set[int] = field(default_factory=set)
    """The numbers of entries that the receiver has."""
    refused: dict[int, str] = field(default_factory=dict)
    """The numbers of entries that it refused, with the reasons."""
    failure: Reply | None = None
    """Why the rest isn't delivered; None if it is, or there was no time."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Channel:
    url: str
    key: str | None = field(repr=False)
    allow_private: bool
    options: EventOptions

    async def deliver(
        self, poster: Poster, lines: Sequence[Line], monotonic: Callable[[], float] = time.monotonic
    ) -> Delivery:
        """Send entries, those that come first before the others."""
        form = FORMATS[self.options.kind]
        events = [event for line in lines for event in form.events(line, self.options)]
        groups: list[Sequence[Event]] = [
            events[first : first + form.max_events] for first in range(0, len(events), form.max_events)
        ]
        groups.reverse()  # The next one is the last.
        left = {line.number: 0 for line in lines}
        for event in events:
            left[event.number] += 1
        delivery, deadline = Delivery(), monotonic() + BATCH_SECONDS
        while groups and monotonic() < deadline:
            group = groups.pop()
            reply = await self.send(poster, group)
            if reply.is_success:
                verdicts: Mapping[int, str] = dict.fromkeys(range(len(group)), "")
            elif reply.status in _REFUSALS:
                verdicts = self._verdicts(reply, group)
            else:
                delivery.failure = reply
                break
            for index, reason in verdicts.items():
                left[group[index].number] -= 1
                if reason:
                    delivery.refused[group[index].number] = reason
            groups += _again(group, verdicts)
        done = {number for number, count in left.items() if not count}  # Of the others, a part may be delivered.
        delivery.taken = done - delivery.refused.keys()
        delivery.refused = {number: reason for number, reason in delivery.refused.items() if number in done}
        return delivery

    async def send(self, poster: Poster, events: Sequence[Event]) -> Reply:
        """Send events in one request, and return the receiver's answer."""
        form = FORMATS[self.options.kind]
        headers = {"Content-Type": form.content_type, "User-Agent": "llmos-exporter/1"}
        if self.key is not None:
            headers["Authorization"] = f"Bearer {self.key}"
        reply = await poster.post(
            self.url, form.encode(events), headers, allow_private=self.allow_private, max_bytes=MAX_REPLY_BYTES
        )
        if reply.status is None or reply.is_success:
            return reply
        error = f"{reply.error} {reason_of(reply.body, reply.status)}" if reply.body else reply.error
        return Reply(
            status=reply.status,
            error=error,
            body=reply.body,
            seconds=reply.seconds,
            retry_after_seconds=reply.retry_after_seconds,
        )

    def _verdicts(self, reply: Reply, group: Sequence[Event]) -> Mapping[int, str]:
        """Return which events are refused, with the reasons; empty for those that the receiver has already."""
        named = FORMATS[self.options.kind].verdicts(reply.body, len(group))
        if not named and len(group) == 1:
            return {0: reason_of(reply.body, reply.status)}
        return named


def _again(group: Sequence[Event], verdicts: Mapping[int, str]) -> list[Sequence[Event]]:
    """Return what is sent next, the last part first: what has no verdict, in halves if nothing has."""
    rest = [event for index, event in enumerate(group) if index not in verdicts]
    if verdicts or not rest:
        return [rest] if rest else []
    half = len(rest) // 2
    return [rest[half:], rest[:half]]
