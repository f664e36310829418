"""Steps: plain functions whose results a run keeps, so that it does none of them again when it is continued.

    @app.step
    def look_up(order_id: str) -> Order: ...

    @app.step(effect=True)
    def refund(order_id: str, cents: int, key: EffectKey) -> str: ...

    @refund.reconcile
    def refunded(order_id: str, cents: int, key: EffectKey) -> Happened | NotHappened | None: ...

An effect has a key made of what it does: the same function with the same arguments happens once in a run, wherever it
is called. If the process died while it was done, or it took too long, it is in doubt: `reconcile` finds out, or a
person does.
"""

import asyncio
import inspect
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, ParamSpec, TypeVar

import msgspec
from pydantic_core import PydanticSerializationError, to_jsonable_python

from llmos.apps.errors import NoRun, Paused, StepFailed
from llmos.apps.functions import Function, NotJSON, Operation, TookTooLong, digest_of
from llmos.apps.live import LiveRun, current_run, entry_of, is_in_run
from llmos.apps.results import StepEvent
from llmos.core.portal import runs_here
from llmos.core.schemas.runs import CallMock, StepDescription

P = ParamSpec("P")
R = TypeVar("R")

IN_DOUBT = "in_doubt:"


@dataclass(frozen=True, slots=True)
class Happened:
    """The value that `reconcile` returns for an effect that has happened."""

    result: Any = None
    """The value that the effect would have returned."""


@dataclass(frozen=True, slots=True)
class NotHappened:
    """The value that `reconcile` returns for an effect that hasn't happened: it is done then."""


@dataclass(frozen=True, slots=True)
class _Called:
    """A step with the arguments of one call."""

    arguments: Mapping[str, Any]
    step: StepDescription
    """Begun."""


class Step(Generic[P, R]):
    """A function that is a step of runs. Outside of a run, it is the plain function."""

    def __init__(
        self, function: Callable[P, R], *, effect: bool, seconds: float | None, operation: Operation | None = None
    ) -> None:
        """`operation`: what the function calls, if that is in another program."""
        self.operation: Operation = operation or Function(function)
        self.is_effect, self.seconds = effect, seconds
        self.__name__, self.__doc__, self.__wrapped__ = self.operation.name, function.__doc__, function
        self._reconcile: Function | None = None

    def reconcile(self, function: Callable[P, Happened | NotHappened | None]) -> Callable[P, Any]:
        """Find out with this function whether an effect in doubt has happened. None: nobody knows."""
        self._reconcile = Function(function)
        return function

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        if not is_in_run():
            return self.__wrapped__(*args, **kwargs)
        if inspect.iscoroutinefunction(self.__wrapped__):
            return self._run(args, kwargs)  # type: ignore[return-value]
        live = current_run()
        if runs_here(live.loop):
            raise NoRun(f"{self.__name__} isn't async: write `await {self.__name__}.awaited(…)` in an async function.")
        done: R = asyncio.run_coroutine_threadsafe(self._run(args, kwargs), live.loop).result()
        return done

    async def awaited(self, *args: P.args, **kwargs: P.kwargs) -> Any:
        """Call the step in an async function, whether or not it is async itself."""
        return await self._run(args, kwargs)

    async def _run(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        live = current_run()
        called = self._called(live, self.operation.bind(args, kwargs))
        if live.recorded is not None:
            return self._repeat(live, live.recorded.step(called.step.key, self.__name__))
        if live.mocks is not None:
            if (mock := live.mocks.find(self.__name__, called.step.arguments)) is not None:
                return self._repeat(live, _mocked(called.step, mock))
            if self.is_effect:
                live.mocks.check_effect(self.__name__)
        known = live.known(called.step.key)
        if known is not None and known.state != "in_doubt":
            return self._repeat(live, known)
        if not self.is_effect:
            done = await self._do(called, called.step.key)
            self._record(live, done)
            return self._result(done)
        if live.is_dry:
            raise StepFailed.of(self.__name__, "this is a dry run, which has no effects.")
        if called.step.key not in live.effects:
            live.effects[called.step.key] = asyncio.ensure_future(self._do_effect(live, called, known))
        return self._result(await asyncio.shield(live.effects[called.step.key]))

    def _called(self, live: LiveRun, arguments: Mapping[str, Any]) -> _Called:
        try:
            dumped = to_jsonable_python(arguments)
            digest = digest_of(dumped)
        except (PydanticSerializationError, ValueError) as error:
            raise StepFailed.of(self.__name__, f"its arguments aren't JSON: {error}") from None
        what = f"step:{digest_of([self.__name__, dumped])[:40]}"
        key = what if self.is_effect else live.next_key(what)
        step = StepDescription(
            key=key,
            kind="step",
            name=self.__name__,
            digest=digest,
            is_effect=self.is_effect,
            state="begun",
            arguments=dumped,
        )
        return _Called(arguments, step)

    async def _do_effect(self, live: LiveRun, called: _Called, known: StepDescription | None) -> StepDescription:
        """Do an effect that may be done, and keep its result at once."""
        is_cleared = False
        if known is not None:
            found = await self._find_out(live, called)
            if found is not None:
                self._record(live, found, is_reconciled=True)
                await live.flush()
                return found
            is_cleared = True
        begun = msgspec.structs.replace(called.step, attempt=os.urandom(8).hex())
        (stands,) = await live.write([entry_of(begun) | {"reconciled": is_cleared}])
        if stands.state in ("done", "failed"):
            return live.repeat(stands)
        if stands.state != "begun" or stands.attempt != begun.attempt:
            raise self._in_doubt(called)
        done = await self._do(_Called(called.arguments, begun), f"{live.id}:{called.step.key}")
        self._record(live, done)
        await live.flush()
        return done

    async def _find_out(self, live: LiveRun, called: _Called) -> StepDescription | None:
        """Return the effect as done if it has happened, None if it hasn't. Raises Paused if nobody knows."""
        key = f"{live.id}:{called.step.key}"
        found = None if self._reconcile is None else await self._reconcile.call(called.arguments, key=key)
        if isinstance(found, Happened):
            return msgspec.structs.replace(called.step, state="done", result=self.operation.dump(found.result))
        if isinstance(found, NotHappened):
            return None
        raise self._in_doubt(called)

    def _in_doubt(self, called: _Called) -> Paused:
        return Paused(IN_DOUBT + called.step.key, {"step": self.__name__, "arguments": called.step.arguments})

    async def _do(self, called: _Called, key: str) -> StepDescription:
        """Call the function, and return the step as done or failed."""
        began, state = time.monotonic(), "done"
        try:
            value = await self.operation.call(called.arguments, key=key, seconds=self.seconds)
            result = self.operation.dump(value)
        except NotJSON as error:
            state, result = "failed", f"it returned something that isn't JSON: {error}"
        except (TookTooLong, TimeoutError, ConnectionError) as error:
            if self.is_effect:  # It may have happened, or may happen yet.
                raise self._in_doubt(called) from error
            state, result = "failed", str(error) or type(error).__name__
        except Exception as error:
            state, result = "failed", f"{type(error).__name__}: {error}"
        seconds = time.monotonic() - began
        return msgspec.structs.replace(called.step, state=state, result=result, seconds=seconds)

    def _record(self, live: LiveRun, done: StepDescription, *, is_reconciled: bool = False) -> None:
        live.record(done, is_reconciled=is_reconciled)
        live.emit(StepEvent(name=done.name, state=_ended(done), result=done.result))

    def _repeat(self, live: LiveRun, known: StepDescription) -> Any:
        live.repeat(known)
        live.emit(StepEvent(name=known.name, state=_ended(known), result=known.result, is_repeated=True))
        return self._result(known)

    def _result(self, done: StepDescription) -> Any:
        """Return what the journal has: the same when the step is done, and when it is repeated."""
        if done.state == "failed":
            raise StepFailed.of(self.__name__, str(done.result))
        return self.operation.load(done.result)


def wait_for(name: str, **waits_with: Any) -> Any:
    """Return the value that somebody gave the run under this name. Until then, the run waits, without a process.

    `waits_with`: what the person who decides must know.
    """
    return current_run().signal(name, waits_with or None)


def _mocked(step: StepDescription, mock: CallMock) -> StepDescription:
    """Return a step as ended in the way that a mock says."""
    state, result = ("failed", mock.error) if mock.error else ("done", mock.result)
    return msgspec.structs.replace(step, state=state, result=result)


def _ended(step: StepDescription) -> Any:
    return "done" if step.state == "done" else "failed"
