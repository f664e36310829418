"""How long a step may well take, by the steps so far: what tells a slow machine from a stuck one."""

FADING = 0.99
"""Of a slow step, so much is left after one more: a moment when the machine was busy must not count for ever."""


class Pace:
    """Notes every step. A full step that was never seen is foretold by the largest that were: a step of many tokens
    takes less for each of them, so that what is foretold is rather too long than too short."""

    def __init__(self, max_batched_tokens: int) -> None:
        self._max_batched_tokens = max_batched_tokens
        self._slowest_seconds = 0.0
        self._most_tokens = 0
        self._token_seconds = 0.0
        """Of a large step: the slowest, fading. Small steps leave it alone, however many they are: who decodes for an
        hour must still know how long a chunk of a prompt takes."""

    def note(self, seconds: float, num_tokens: int) -> None:
        """A step took `seconds` and computed `num_tokens`; 0 where it failed."""
        self._slowest_seconds = max(FADING * self._slowest_seconds, seconds)
        if num_tokens > 2 * self._most_tokens:
            # Tells so much more of a full step than all before that these don't count.
            self._most_tokens, self._token_seconds = num_tokens, seconds / num_tokens
        elif num_tokens > 0 and 2 * num_tokens >= self._most_tokens:
            self._most_tokens = max(self._most_tokens, num_tokens)
            self._token_seconds = max(FADING * self._token_seconds, seconds / num_tokens)

    @property
    def step_seconds(self) -> float | None:
        """What the longest step is expected to take. None before the first that computed a token."""
        if not self._most_tokens:
            return None
        return max(self._slowest_seconds, self._token_seconds * self._max_batched_tokens)
