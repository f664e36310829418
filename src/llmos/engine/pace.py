"""How long a step may well take, by the steps so far: what tells a slow machine from a stuck one."""


class Pace:
    """Notes every step. A full step that was never seen is foretold by the cheapest token that was: a step of many
    tokens takes less for each of them, so that what is foretold is rather too long than too short."""

    def __init__(self, max_batched_tokens: int) -> None:
        self._max_batched_tokens = max_batched_tokens
        self._slowest_seconds = 0.0
        self._token_seconds: float | None = None

    def note(self, seconds: float, num_tokens: int) -> None:
        """A step took `seconds`. `num_tokens`: computed in it, as far as is known; 0 where it isn't."""
        # Fades: one step of a moment when the machine was busy must not count for ever.
        self._slowest_seconds = max(0.99 * self._slowest_seconds, seconds)
        if num_tokens > 0:
            token_seconds = seconds / num_tokens
            self._token_seconds = min(self._token_seconds or token_seconds, token_seconds)

    @property
    def step_seconds(self) -> float | None:
        """What the longest step is expected to take. None before the first that computed a token."""
        if self._token_seconds is None:
            return None
        return max(self._slowest_seconds, self._token_seconds * self._max_batched_tokens)
