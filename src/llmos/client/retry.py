"""Decides whether a failed call is retried, and after which delay."""

import random
from collections.abc import Callable
from dataclasses import dataclass

from llmos.core.errors import ConnectionFailed, LLMOSError, RunConflict

RETRIED_STATUSES = frozenset({408, 409, 429})


def is_worth_retrying(error: LLMOSError) -> bool:
    """Return True if the same request may succeed a moment later."""
    if isinstance(error, RunConflict):
        return False
    return isinstance(error, ConnectionFailed) or error.status in RETRIED_STATUSES or 500 <= error.status < 600


@dataclass(frozen=True, kw_only=True, slots=True)
class RetryPolicy:
    max_retries: int = 2
    first_delay_seconds: float = 0.5
    longest_delay_seconds: float = 8.0
    longest_retry_after_seconds: float = 60.0
    """If the server asks to wait longer than this, its error goes to the caller."""
    jitter: Callable[[], float] = random.random
    """Returns a number in [0, 1), so that callers that failed together don't retry together."""

    def delay_seconds(self, error: LLMOSError, num_failures: int) -> float | None:
        """Return how long to wait after `num_failures` failures, or None to give up."""
        if num_failures > self.max_retries or not is_worth_retrying(error):
            return None
        retry_after = error.retry_after_seconds
        if retry_after is not None:
            return retry_after if retry_after <= self.longest_retry_after_seconds else None
        delay: float = min(self.first_delay_seconds * 2 ** (num_failures - 1), self.longest_delay_seconds)
        return delay * (1 - self.jitter() / 2)
