"""BackgroundCalls: requests of batches and jobs on the path of live calls, at the lowest priority, until answered.

A few at a time, fewer while there are live calls. What a live caller would be told to try again later is tried again.
"""

import asyncio
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from starlette.types import ASGIApp

from llmos.gateway.calls.admission import Admission
from llmos.gateway.jobs import internal_requests
from llmos.gateway.jobs.background_callers import BackgroundCallers
from llmos.gateway.jobs.internal_requests import Reply
from llmos.gateway.jobs.waking import Pause

NUM_RUNNING_ALONE = 16
"""Background calls that are answered at the same time while there are no live calls."""

NUM_RUNNING_BESIDE = 8
"""The same while there are live calls. In most steps of the engine they only wait; their prompts don't."""

MAX_FAILURES = 3
"""A call fails after the model's process has died this many times while answering it."""

MAX_RETRY_SECONDS = 60.0


@dataclass(frozen=True, kw_only=True, slots=True)
class BackgroundCall:
    project: str
    key_id: str | None
    """The key or user that began the work; see BackgroundCallers."""
    what: str
    """The name of the installation's owner in it: batch, job."""
    path: str
    body: bytes
    call_key: str = ""
    """The same for a call that is sent again after a crash; see Caller."""
    headers: Mapping[str, str] = field(default_factory=dict)


class BackgroundCalls:
    """Belongs to the event loop's thread."""

    def __init__(
        self, app: ASGIApp, admission: Admission, callers: BackgroundCallers, *, pause: Pause = asyncio.sleep
    ) -> None:
        self._app, self._callers, self._pause = app, callers, pause
        self._slots = BackgroundSlots(admission)

    async def post(self, call: BackgroundCall) -> Reply:
        """Return the reply. Waits as long as limits are reached and the model can't answer.

        Raises NotFound and Unauthenticated where the key doesn't work any more.
        """
        num_failures = 0
        while True:
            async with self._slots:
                caller = await asyncio.to_thread(self._callers.caller, call.project, call.key_id, call.what)
                caller = replace(caller, call_key=call.call_key) if call.call_key else caller
                reply = await internal_requests.post(self._app, call.path, call.body, caller, call.headers)
            num_failures += reply.status == 502
            if not (reply.status in (429, 503) or (reply.status == 502 and num_failures < MAX_FAILURES)):
                return reply
            retry_seconds = reply.headers.get("retry-after")
            if reply.status == 429 and retry_seconds is None:
                return reply  # A budget that never resets is used up.
            # No caller waits for the answer, so it is tried again here when a live caller would be told to. A budget
            # that is used up may be raised before it resets.
            await self._pause(min(float(retry_seconds or 1), MAX_RETRY_SECONDS))


class BackgroundSlots:
    """Limits the calls that are answered at the same time. First come, first served."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self._num_taken = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def __aenter__(self) -> None:
        while not self._num_free():
            waiter = asyncio.get_running_loop().create_future()
            self._waiting.append(waiter)
            try:
                await waiter
            except asyncio.CancelledError:
                self._wake()  # The free slot may have been for this one.
                raise
        self._num_taken += 1

    async def __aexit__(self, *_: object) -> None:
        self._num_taken -= 1
        self._wake()

    def _num_free(self) -> int:
        # Running lines aren't aborted for a live call: in each step of the engine, the live call comes first anyway.
        limit = NUM_RUNNING_BESIDE if self._admission.num_open else NUM_RUNNING_ALONE
        return max(0, limit - self._num_taken)

    def _wake(self) -> None:
        num_free = self._num_free()
        while num_free and self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():  # Otherwise it was cancelled.
                waiter.set_result(None)
                num_free -= 1
