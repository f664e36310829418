"""Autoscaling: how many replicas a demand needs. Pure functions of time, limits, demand and the scale before.

    replicas      up    when the demand has exceeded their capacity for UP_SECONDS: at once to as many as it fills
                  down  when one fewer would be filled to at most LOW_SHARE for DOWN_SECONDS: one at a time

Between the two lies a band in which nothing changes. A constant demand therefore leads to a constant number: replicas
that were started for a demand are never too many for it.
"""

import math
from dataclasses import dataclass

CHOICES_PER_REPLICA = 16
"""Choices, running or waiting, that fill a replica. More of them slow each other down and add little throughput."""

TOKENS_PER_REPLICA = 8192
"""Tokens in flight that fill a replica: prompts not yet computed, and output that may still come."""

LOW_SHARE = 0.6

UP_SECONDS = 2.0

DOWN_SECONDS = 30.0

COOLDOWN_SECONDS = 5.0
"""After any change: a new replica must load before it takes its share."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    num_choices: int
    """Open choices, running or waiting."""
    tokens_in_flight: int

    @property
    def in_replicas(self) -> float:
        """The number of replicas that it fills."""
        return max(self.num_choices / CHOICES_PER_REPLICA, self.tokens_in_flight / TOKENS_PER_REPLICA)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    num_replicas: int
    high_since: float | None = None
    """Since when the demand has exceeded the capacity of the replicas."""
    low_since: float | None = None
    """Since when one fewer would be enough."""
    changed_at: float = -math.inf


def rescale(before: Scale, now: float, demand: Demand, least: int, most: int) -> Scale:
    """Return the next scale, with `least` to `most` replicas. Times are seconds on any clock."""
    num = min(max(before.num_replicas, least), most)
    if num != before.num_replicas:
        return Scale(num_replicas=num, changed_at=now)
    filled = demand.in_replicas
    is_high = filled > num and num < most
    is_low = filled <= (num - 1) * LOW_SHARE and num > least
    high_since = (now if before.high_since is None else before.high_since) if is_high else None
    low_since = (now if before.low_since is None else before.low_since) if is_low else None
    has_cooled_down = now - before.changed_at >= COOLDOWN_SECONDS
    if high_since is not None and has_cooled_down and now - high_since >= UP_SECONDS:
        return Scale(num_replicas=min(most, math.ceil(filled)), changed_at=now)
    if low_since is not None and has_cooled_down and now - low_since >= DOWN_SECONDS:
        return Scale(num_replicas=num - 1, changed_at=now)
    return Scale(num_replicas=num, high_since=high_since, low_since=low_since, changed_at=before.changed_at)
