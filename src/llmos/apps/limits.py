"""Limits: what a run may consume, and how far it is."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from llmos.apps.errors import LimitReached
from llmos.client.answers import Usage
from llmos.core.money import parse_cost
from llmos.core.schemas.runs import RunUsage


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """The most that one run may consume."""

    steps: int = 8
    """Calls of the model."""
    tokens: int | None = None
    """Tokens of all prompts and answers together."""
    seconds: float | None = None
    """The time of one process. A run that waits consumes none."""
    parallel: int = 32
    """The calls by `ask` that run at once; further ones wait."""


class Consumption:
    """Counts what a run has consumed."""

    def __init__(self, limits: Limits, run_id: str) -> None:
        self.limits, self._run_id = limits, run_id
        self._num_begun = 0
        self._held_tokens = 0
        self._has_ended = asyncio.Event()
        self.usage = RunUsage()
        self._has_currencies = False
        """Prices of several currencies applied."""
        self.last_tokens = 0
        """The tokens of the last prompt and its answer."""

    def add(self, usage: Usage, *, num_calls: int = 1) -> None:
        """Count the tokens of a call. One that only scores a text has `num_calls` 0: it generates nothing."""
        before = self.usage
        self.usage = RunUsage(
            num_calls=before.num_calls + num_calls,
            prompt_tokens=before.prompt_tokens + usage.prompt_tokens,
            completion_tokens=before.completion_tokens + usage.completion_tokens,
            cached_tokens=before.cached_tokens + usage.cached_tokens,
            **self._cost_with(usage),
        )
        self.last_tokens = usage.total_tokens if num_calls else self.last_tokens

    def _cost_with(self, usage: Usage) -> dict[str, Any]:
        """Return the cost so far, with that of a call. Costs in several currencies have no sum."""
        before = self.usage
        if usage.cost is None or self._has_currencies:
            return {"cost": before.cost, "currency": before.currency}
        if before.currency not in ("", usage.currency):
            self._has_currencies = True
            return {"cost": None, "currency": ""}
        return {"cost": (before.cost or 0) + parse_cost(usage.cost), "currency": usage.currency}

    def check(self) -> None:
        """Raise LimitReached if there may be no further call of the model."""
        self._check(self.usage.num_calls, self.usage.total_tokens)

    def max_tokens(self, wanted: int | None) -> int | None:
        """Return how many tokens the next answer may have."""
        if self.limits.tokens is None:
            return wanted
        left = self.limits.tokens - self.usage.total_tokens
        return left if wanted is None else min(wanted, left)

    @asynccontextmanager
    async def room(self, wanted: int | None) -> AsyncIterator[int | None]:
        """Hold a place, and tokens for an answer, while a call runs beside others. Yield the most that it may have.

        It waits while other calls hold the tokens that are left. Raises LimitReached.
        """
        while True:
            self._check(self.usage.num_calls + self._num_begun, self.usage.total_tokens)
            left = self.max_tokens(None)
            if left is None or left - self._held_tokens >= min(left, wanted or left):
                break
            self._has_ended.clear()
            await self._has_ended.wait()
        max_tokens = self.max_tokens(wanted)
        held = 0 if left is None else max_tokens or 0
        self._num_begun, self._held_tokens = self._num_begun + 1, self._held_tokens + held
        try:
            yield max_tokens
        finally:
            self._num_begun, self._held_tokens = self._num_begun - 1, self._held_tokens - held
            self._has_ended.set()

    def out_of_time(self) -> LimitReached:
        return self._reached("seconds", f"took {self.limits.seconds:g} s")

    def _check(self, num_calls: int, num_tokens: int) -> None:
        if num_calls >= self.limits.steps:
            raise self._reached("steps", f"called the model {num_calls} times")
        if self.limits.tokens is not None and num_tokens >= self.limits.tokens:
            raise self._reached("tokens", f"used {num_tokens:,} tokens")

    def _reached(self, limit: str, what: str) -> LimitReached:
        error = LimitReached(
            f"The run {self._run_id} {what}, its limit, and has no answer. Raise Limits({limit}=…) if it needs more."
        )
        error.limit = limit
        return error
