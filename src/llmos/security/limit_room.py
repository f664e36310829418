"""LimitRoom: lets calls begin that are far from their limits, before they are counted.

Between two counts a server knows what was used a moment ago, by all servers, and what it has let in since. Where that
leaves half of a limit, a call needs no count to begin: it is counted with those that come in the next milliseconds.
What is let in and not counted is a fiftieth of a limit at most, so that 25 servers together stay within it. Of a limit
below 50, everything is counted first.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from llmos.security.limit_counts import MINUTE, ScopeCount, Take, cost

MAX_AGE = 50_000_000
"""The nanoseconds for which a count says enough."""

_MAX_SCOPES = 4096

_SHARE_USED, _SHARE_UNCOUNTED = 2, 50
"""One over the share of a limit that may be used, and that may be uncounted."""


@dataclass(slots=True)
class _Uncounted:
    num_calls: int = 0
    num_tokens: int = 0


class LimitRoom:
    """Belongs to one thread."""

    def __init__(self) -> None:
        self._counts: dict[str, ScopeCount] = {}
        self._uncounted: dict[str, _Uncounted] = {}

    def take(self, take: Take, now: int) -> bool:
        """Return whether the call may begin without being counted, and remember it if so. `now`: as in ScopeCount."""
        if not all(self._has_room(take, index, now) for index in range(len(take.allowances))):
            return False
        for allowance in take.allowances:
            uncounted = self._uncounted.setdefault(allowance.scope, _Uncounted())
            uncounted.num_calls += 1
            uncounted.num_tokens += take.num_tokens
        return True

    def counted(self, counts: Iterable[ScopeCount], takes: Iterable[Take]) -> None:
        """Take over what was counted now, the calls among it that take() had let in."""
        for take in takes:
            for allowance in take.allowances:
                uncounted = self._uncounted[allowance.scope]
                uncounted.num_calls -= 1
                uncounted.num_tokens -= take.num_tokens
                if not uncounted.num_calls:
                    del self._uncounted[allowance.scope]
        if len(self._counts) >= _MAX_SCOPES:
            self._counts.clear()
        self._counts.update((each.scope, each) for each in counts)

    def forget(self) -> None:
        """Let no call begin until there is a new count."""
        self._counts.clear()

    def _has_room(self, take: Take, index: int, now: int) -> bool:
        scope, limits = take.allowances[index].scope, take.allowances[index].limits
        count, uncounted = self._counts.get(scope), self._uncounted.get(scope)
        if count is None or not 0 <= now - count.at <= MAX_AGE:
            return False
        num_calls = 1 if uncounted is None else uncounted.num_calls + 1
        num_tokens = take.num_tokens if uncounted is None else uncounted.num_tokens + take.num_tokens
        if (limit := limits.requests_per_minute) is not None and not _is_far(
            count.requests_full_at - now, cost(num_calls, limit), MINUTE
        ):
            return False
        if (limit := limits.tokens_per_minute) is not None and not _is_far(
            count.tokens_full_at - now, cost(max(num_calls, num_tokens), limit), MINUTE
        ):
            return False
        limit = limits.concurrent_requests
        return limit is None or _is_far(count.num_running, num_calls, limit)


def _is_far(used: int, uncounted: int, limit: int) -> bool:
    used = max(0, used) + uncounted
    return used * _SHARE_USED <= limit and uncounted * _SHARE_UNCOUNTED <= limit
