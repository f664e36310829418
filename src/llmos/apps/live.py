"""LiveRun: a run while this process has it: what the journal has of it already, and what is written next.

Entries wait in a buffer until something must not happen without them: an effect, an answer of the model that somebody
has seen, the end. What is lost with the buffer is done again, and none of it is an effect.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from contextvars import ContextVar, Token
from dataclasses import dataclass, field
from typing import Any

import msgspec

from llmos.apps.errors import NoRun, Paused
from llmos.apps.results import Event
from llmos.apps.server import Server
from llmos.client.mocked_calls import MockedCalls
from llmos.client.recorded_calls import RecordedCalls
from llmos.core.errors import LLMOSError, RunConflict
from llmos.core.schemas.runs import RUN_HEADER, RunDescription, StepDescription

_current: ContextVar["LiveRun | None"] = ContextVar("llmos_app_run", default=None)


def current_run() -> "LiveRun":
    """Return the run that this code is a part of. Raises NoRun.

    It is a context variable, since steps are plain functions that any code of an application calls.
    """
    live = _current.get()
    if live is None:
        raise NoRun("This belongs into a run: call it from a tool, a step or the brain of an App.")
    return live


def run_headers() -> Mapping[str, str]:
    """Return the header that tells the server which run a request belongs to; none outside of a run."""
    live = _current.get()
    return {} if live is None else {RUN_HEADER: live.id}


def is_in_run() -> bool:
    return _current.get() is not None


@dataclass(slots=True)
class LiveRun:
    """The run that this process has."""

    server: Server
    description: RunDescription
    lease: str
    lease_seconds: float
    emit: Callable[[Event], None]
    is_dry: bool = False
    recorded: RecordedCalls | None = None
    """The results of tools and steps, where none is called."""
    mocks: MockedCalls | None = None
    """The results of some tools and steps, in a case of an eval."""
    before: Sequence[Mapping[str, Any]] = ()
    """The conversation before the input, where no session keeps it."""
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.get_running_loop)
    is_lost: bool = False
    """Another process has it, or it was cancelled."""
    effects: dict[str, "asyncio.Future[Any]"] = field(default_factory=dict)
    """The effects in progress: the same effect, if called concurrently, is executed once."""
    _known: dict[str, StepDescription] = field(default_factory=dict)
    _steps: dict[str, StepDescription] = field(default_factory=dict)
    _pending: list[dict[str, Any]] = field(default_factory=list)
    _counts: dict[str, int] = field(default_factory=dict)
    _writing: asyncio.Lock = field(default_factory=asyncio.Lock)
    _written_at: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self._known = {step.key: step for step in self.description.steps}

    @property
    def id(self) -> str:
        return self.description.id

    @property
    def steps(self) -> Sequence[StepDescription]:
        """Return the steps that this process did, or found done."""
        return [*self._steps.values()]

    def enter(self) -> "Token[LiveRun | None]":
        """Make it the current run of this task and of those that it starts, until leave()."""
        return _current.set(self)

    def leave(self, token: "Token[LiveRun | None]") -> None:
        _current.reset(token)

    def next_key(self, what: str) -> str:
        """Return the key of the next step that does this: the same one whenever the run is continued."""
        number = self._counts.get(what, 0)
        self._counts[what] = number + 1
        return f"{what}:{number}"

    def known(self, key: str) -> StepDescription | None:
        """Return a step that has ended, or is in doubt."""
        step = self._known.get(key)
        return step if step is not None and step.state in ("done", "failed", "in_doubt") else None

    def signal(self, name: str, waits_with: Any = None) -> Any:
        """Return what came for this name. Raises Paused if nothing did."""
        for signal in self.description.signals:
            if signal.name == name:
                return signal.value
        raise Paused(name, waits_with)

    def repeat(self, step: StepDescription) -> StepDescription:
        """Take a step that the journal has as one of this run."""
        self._steps[step.key] = step
        return step

    def record(self, step: StepDescription, *, is_reconciled: bool = False) -> None:
        """Add a step that has ended to what is written next."""
        self._steps[step.key] = self._known[step.key] = step
        self._pending.append(entry_of(step) | {"reconciled": is_reconciled})

    async def settle(self, seconds: float) -> None:
        """Wait for effects that are being done, so that the journal has their results. None is begun any more."""
        running = [effect for effect in self.effects.values() if not effect.done()]
        if running:
            done, _ = await asyncio.wait(running, timeout=seconds)
            for effect in done:
                effect.exception() if not effect.cancelled() else None

    async def flush(self) -> None:
        """Write what waits."""
        if self._pending:
            await self.write([])

    async def wait(self, end: dict[str, Any]) -> bool:
        """Write what waits, and that the run waits. Return whether what it waits for is there already."""
        await self.write([], end)
        return self.description.state == "ready"

    async def write(
        self, entries: Sequence[dict[str, Any]], end: dict[str, Any] | None = None
    ) -> list[StepDescription]:
        """Write what waits, then these entries, and the end, and return how the steps of the entries stand.

        Raises RunConflict if another process has the run.
        """
        async with self._writing:  # Entries keep their order.
            pending, self._pending = self._pending, []
            fields: dict[str, Any] = {"steps": [*pending, *entries], **({} if end is None else {"end": end})}
            try:
                written = await self.server.runs.write(
                    self.id, lease=self.lease, lease_seconds=self.lease_seconds, **fields
                )
            except RunConflict:
                self.is_lost = True
                raise
            except BaseException:
                self._pending = [*pending, *self._pending]
                raise
            self._written_at = time.monotonic()
            self.description = msgspec.structs.replace(self.description, state=written.run.state)
            return [*written.steps[len(pending) :]]

    async def keep_lease(self) -> None:
        """Renew the lease until cancelled. A server that doesn't answer is asked again."""
        while True:
            await asyncio.sleep(self.lease_seconds / 3)
            if time.monotonic() - self._written_at >= self.lease_seconds / 4:
                with suppress(LLMOSError):
                    await self.write([])


def entry_of(step: StepDescription) -> dict[str, Any]:
    """Return what the journal is sent about a step."""
    names = ("key", "kind", "name", "state", "digest", "is_effect", "attempt", "arguments", "result", "seconds")
    return {name: getattr(step, name) for name in names}
