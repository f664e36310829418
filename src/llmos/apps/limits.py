"""Limits: what a run may consume, and how far it is."""

from dataclasses import dataclass

from llmos.apps.errors import LimitReached
from llmos.client.answers import Usage
from llmos.core.schemas.runs import RunUsage


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """What one run may consume at most."""

    steps: int = 8
    """Calls of the model."""
    tokens: int | None = None
    """Tokens of all prompts and answers together."""
    seconds: float | None = None
    """The time of one process. A run that waits consumes none."""


class Consumption:
    """Counts what a run has consumed."""

    def __init__(self, limits: Limits, run_id: str) -> None:
        self._limits, self._run_id = limits, run_id
        self.usage = RunUsage()
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
        )
        self.last_tokens = usage.total_tokens if num_calls else self.last_tokens

    def check(self) -> None:
        """Raise LimitReached if there may be no further call of the model."""
        if self.usage.num_calls >= self._limits.steps:
            raise self._reached("steps", f"called the model {self.usage.num_calls} times")
        if self._limits.tokens is not None and self.usage.total_tokens >= self._limits.tokens:
            raise self._reached("tokens", f"used {self.usage.total_tokens:,} tokens")

    def max_tokens(self, wanted: int | None) -> int | None:
        """Return how many tokens the next answer may have."""
        if self._limits.tokens is None:
            return wanted
        left = self._limits.tokens - self.usage.total_tokens
        return left if wanted is None else min(wanted, left)

    def out_of_time(self) -> LimitReached:
        return self._reached("seconds", f"took {self._limits.seconds:g} s")

    def _reached(self, limit: str, what: str) -> LimitReached:
        error = LimitReached(
            f"The run {self._run_id} {what}, its limit, and has no answer. Raise Limits({limit}=…) if it needs more."
        )
        error.limit = limit
        return error
