"""Estimates how long a step may take, from the steps so far, to tell a slow machine from a stuck one."""

FADING = 0.99
"""Share of a slow step's time that is kept after one more step, so that a busy moment doesn't count for ever."""


class Pace:
    """Measures every step, and extrapolates the time of a full one.

    A full step that was never seen is estimated from the largest that were. A larger step takes less time for each
    token, so the estimate is rather too long than too short.
    """

    def __init__(self, max_batched_tokens: int) -> None:
        self._max_batched_tokens = max_batched_tokens
        self._slowest_seconds = 0.0
        self._most_tokens = 0
        self._token_seconds = 0.0
        """Seconds per token of a large step: the slowest, fading. Small steps don't change it, however many they are:
        after an hour of decoding, the time of a prompt chunk must still be known."""

    def record(self, seconds: float, num_tokens: int) -> None:
        """Record a step that took `seconds` and computed `num_tokens`, 0 if it failed."""
        self._slowest_seconds = max(FADING * self._slowest_seconds, seconds)
        if num_tokens > 2 * self._most_tokens:
            # So much closer to a full step that all smaller ones no longer count.
            self._most_tokens, self._token_seconds = num_tokens, seconds / num_tokens
        elif num_tokens > 0 and 2 * num_tokens >= self._most_tokens:
            self._most_tokens = max(self._most_tokens, num_tokens)
            self._token_seconds = max(FADING * self._token_seconds, seconds / num_tokens)

    @property
    def step_seconds(self) -> float | None:
        """Expected seconds of the longest step; None before the first step that computed a token."""
        if not self._most_tokens:
            return None
        return max(self._slowest_seconds, self._token_seconds * self._max_batched_tokens)
