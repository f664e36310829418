"""How many replicas a load asks for. A pure function of the time, the limits, the demand and what it said before.

    replicas      up    when the demand has been more than they take for UP_SECONDS: at once to as many as it fills
                  down  when one fewer would be filled to LOW_SHARE at most, for DOWN_SECONDS: one at a time

Between the two lies a band in which nothing changes, so a constant demand settles: as many replicas as were begun for a
demand are never too many for it.
"""

import math
from dataclasses import dataclass

CHOICES_PER_REPLICA = 16
"""Choices, computed or waiting, that fill a replica: more of them together make each slow and add little in all."""

TOKENS_PER_REPLICA = 8192
"""Tokens in flight that fill a replica: prompts not yet computed, and what the answers may still come to."""

LOW_SHARE = 0.6

UP_SECONDS = 2.0

DOWN_SECONDS = 30.0

COOLDOWN_SECONDS = 5.0
"""After any change: a new replica must load before it shows what it is good for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    num_choices: int
    """Open: computed or waiting."""
    tokens_in_flight: int

    @property
    def in_replicas(self) -> float:
        """How many replicas it fills."""
        return max(self.num_choices / CHOICES_PER_REPLICA, self.tokens_in_flight / TOKENS_PER_REPLICA)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    num_replicas: int
    high_since: float | None = None
    """When the demand became more than they take, and has been since."""
    low_since: float | None = None
    """When it became so little that one fewer would do."""
    changed_at: float = -math.inf


def rescale(before: Scale, now: float, demand: Demand, least: int, most: int) -> Scale:
    """Return the scale that follows. Its number of replicas is from `least` to `most`, whatever it was before."""
    num = min(max(before.num_replicas, least), most)
    if num != before.num_replicas:
        return Scale(num_replicas=num, changed_at=now)
    filled = demand.in_replicas
    is_high = filled > num and num < most
    is_low = filled <= (num - 1) * LOW_SHARE and num > least
    high_since = (now if before.high_since is None else before.high_since) if is_high else None
    low_since = (now if before.low_since is None else before.low_since) if is_low else None
    has_rested = now - before.changed_at >= COOLDOWN_SECONDS
    if high_since is not None and has_rested and now - high_since >= UP_SECONDS:
        return Scale(num_replicas=min(most, math.ceil(filled)), changed_at=now)
    if low_since is not None and has_rested and now - low_since >= DOWN_SECONDS:
        return Scale(num_replicas=num - 1, changed_at=now)
    return Scale(num_replicas=num, high_since=high_since, low_since=low_since, changed_at=before.changed_at)
