"""ResponseCache: answers that are given again to the same request, without computing them.

Opt-in for each route, and only where the answer is determined by the request: at temperature 0, or with a seed, on a
model of this server. An entry belongs to one project. It is what the model said, before guardrails and the wire format:
a hit passes both again, and is streamed with the deltas that it was computed with.

It is in memory alone: bounded, gone with the process, and purged at once where a person's data are erased. On disk, it
would have to be found, decrypted and erased there, to save a computation that the prefix cache makes short anyway.
"""

import hashlib
import time
from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from dataclasses import dataclass

import msgspec

from llmos.deployments.backend import Backend
from llmos.engine.messages import Counted, Delta, Event, Generate, Started
from llmos.gateway.calls.cache_control import CacheControl

MAX_ENTRY_SHARE = 8
"""An answer takes at most this part of the cache: one eighth."""

_ENTRY_BYTES = 400
"""About what an entry takes besides its events."""

_encode = msgspec.msgpack.Encoder().encode


class _Stored(msgspec.Struct, array_like=True):
    started: list[Started]
    events: list[tuple[int, Delta | Counted]]


_decode = msgspec.msgpack.Decoder(_Stored).decode


@dataclass(frozen=True, slots=True)
class _Entry:
    project: str
    content: bytes
    stored_at: float

    @property
    def num_bytes(self) -> int:
        return len(self.content) + _ENTRY_BYTES


@dataclass(frozen=True, slots=True)
class Hit:
    """An answer out of the cache."""

    started: Sequence[Started]
    events: Sequence[tuple[int, Event]]
    age_seconds: float

    async def replay(self) -> AsyncGenerator[tuple[int, Event], None]:
        for event in self.events:
            yield event


class ResponseCache:
    """Belongs to the event loop's thread."""

    def __init__(self, max_bytes: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.max_bytes, self._clock = max_bytes, clock
        self.num_bytes = 0
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        """The least recently used first."""
        self._purges: dict[str, int] = {}

    def get(self, key: str, control: CacheControl) -> Hit | None:
        """Return the answer, unless it is older than the request takes."""
        entry = self._entries.get(key)
        if entry is None or not control.may_read:
            return None
        age = self._clock() - entry.stored_at
        if control.max_age_seconds is not None and age > control.max_age_seconds:
            return None
        self._entries.move_to_end(key)
        stored = _decode(entry.content)
        return Hit(stored.started, stored.events, age)

    async def recording(
        self,
        key: str,
        project: str,
        started: Sequence[Started],
        events: AsyncIterator[tuple[int, Event]],
        *,
        num_choices: int,
    ) -> AsyncGenerator[tuple[int, Event], None]:
        """Yield the events, and keep them if every choice comes to its end. An answer that is cut short isn't kept."""
        kept: list[tuple[int, Delta | Counted]] = []
        num_running = num_choices
        num_purges = self._num_purges(project)
        async for index, event in events:
            assert not isinstance(event, Started), "it comes before"
            # The number of tokens from the prefix cache isn't a part of the answer.
            kept.append((index, _without_cached(event)))
            num_running -= isinstance(event, Delta) and event.finish_reason is not None
            yield index, event
        if not num_running and self._num_purges(project) == num_purges:
            self._put(key, _Entry(project, _encode(_Stored(list(started), kept)), self._clock()))

    def purge(self, project: str) -> None:
        """Remove what is kept for a project, and what is being recorded for it."""
        self._purges[project] = self._num_purges(project) + 1
        for key in [key for key, entry in self._entries.items() if entry.project == project]:
            self.num_bytes -= self._entries.pop(key).num_bytes

    def __len__(self) -> int:
        return len(self._entries)

    def _num_purges(self, project: str) -> int:
        return self._purges.get(project, 0)

    def _put(self, key: str, entry: _Entry) -> None:
        if entry.num_bytes > self.max_bytes // MAX_ENTRY_SHARE:
            return
        if (old := self._entries.pop(key, None)) is not None:
            self.num_bytes -= old.num_bytes
        self._entries[key] = entry
        self.num_bytes += entry.num_bytes
        while self.num_bytes > self.max_bytes:
            _, oldest = self._entries.popitem(last=False)
            self.num_bytes -= oldest.num_bytes


def cache_key(requests: Sequence[Generate], backend: Backend) -> str | None:
    """Return the name of the answer to these requests; None if it isn't determined by them.

    It is a digest of the version, of the partition of the project, and of everything in the requests that has an effect
    on the answer.
    """
    digest = backend.served.digest
    sampling = requests[0].sampling
    if digest is None or not (sampling.temperature == 0 or sampling.seed is not None):
        return None
    if requests[0].prompt_logprobs is not None:
        return None  # The scores of a prompt are many times as large as an answer.
    # The id and the caller's account change with each call and each user, and never an answer.
    same = [msgspec.structs.replace(request, id="", caller="", priority=0) for request in requests]
    return hashlib.sha256(_encode([digest, same])).hexdigest()


def _without_cached(event: Event) -> Delta | Counted:
    if isinstance(event, Delta):
        return msgspec.structs.replace(event, num_cached_tokens=0) if event.num_cached_tokens else event
    assert isinstance(event, Counted), "a backend yields Started once, and then deltas and counts"
    return event
