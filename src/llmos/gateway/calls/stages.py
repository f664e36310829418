"""The kinds of stages that a call passes, each with one method. The pipeline runs them in a fixed order.

    record opened
      holds     acquire something for the duration of the call, and release it on exit: limits, budget
      checks    raise, or rewrite the call: guardrails on the prompt
        per target: admission → backend → tokens counted
      filters   change or end the stream of deltas: guardrails on the output
    record closed

On exit everything is released in reverse order, however the call ended. Holds and checks apply to generate, embed,
rate and count alike; filters apply to generate. A new stage is a class and one entry in opening.py.
"""

from collections.abc import AsyncIterator, Coroutine
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from llmos.engine.messages import Delta
from llmos.gateway.calls.call import ModelCall
from llmos.gateway.calls.record import Record

C = TypeVar("C", bound=ModelCall)


class Hold(Protocol):
    """Holds something while the call runs."""

    def __call__(self, call: C, record: Record) -> AbstractAsyncContextManager[C]:
        """Enter with the call, which may come out changed (a budget lowers max_tokens). Raises LLMOSError to refuse.

        On exit the record's attempts have their final counts.
        """


class Entered(Generic[C]):
    """A hold that has something to do before the call, and nothing to release after it."""

    __slots__ = ("_entering",)

    def __init__(self, entering: Coroutine[Any, Any, C]) -> None:
        """`entering`: returns the call."""
        self._entering = entering

    async def __aenter__(self) -> C:
        return await self._entering

    async def __aexit__(self, *_: object) -> None:
        return None


class Check(Protocol):
    """Examines the call before any work is done for it."""

    async def __call__(self, call: C, record: Record) -> C:
        """Return the call as it is, or rewritten. Raises LLMOSError to refuse it."""


class Filter(Protocol):
    """Sits between the model and the caller."""

    def __call__(self, deltas: AsyncIterator[Delta], record: Record) -> AsyncIterator[Delta]:
        """Return the deltas as the caller may see them; the same where it has nothing to do. Closed afterwards."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Stages:
    """All stages of a pipeline, each kind in the order in which it runs."""

    holds: tuple[Hold, ...] = ()
    checks: tuple[Check, ...] = ()
    filters: tuple[Filter, ...] = ()
    makes_receipts: bool = False
    """A sink makes a receipt of each answer, so the record keeps what the caller gets."""
