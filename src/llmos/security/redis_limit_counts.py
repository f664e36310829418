"""RedisLimitCounts: the use of limits in Redis, for all servers on it, by the rules of LimitCounts.

One script (limits_script.lua) counts all steps that a server hands over, by Redis' clock. Everything in Redis has an
expiry, and may be lost: buckets are then full, and each server says again how many calls it runs.

All keys have one hash tag, so that a cluster keeps them together, which one script needs.
"""

import json
import threading
from collections.abc import Callable, Sequence
from functools import cached_property
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from llmos.core.errors import BadRequest, RateLimited, Unavailable
from llmos.core.ids import new_id
from llmos.security.limit_counts import (
    LEASE,
    GiveBack,
    ScopeCount,
    Take,
    cost,
    cost_of_call,
    rate_refusal,
    running_refusal,
)
from llmos.security.limits import Allowance

if TYPE_CHECKING:
    from redis.commands.core import Script

PREFIX = "llmos:{limits}:"

TIMEOUT_SECONDS = 2.0
"""A call waits so long for Redis, and is then refused."""

_RETRY_SECONDS = 2


class RedisLimitCounts:
    """Any thread may use it. Blocks on Redis."""

    def __init__(self, url: str, *, server_id: str | None = None, clock: Callable[[], int] | None = None) -> None:
        """`url`: redis://, rediss:// or unix://. `clock`: nanoseconds since 1970, for tests; None: Redis' own.

        Raises BadRequest for a URL that can't be one, and if the client of Redis isn't installed.
        """
        try:
            from redis import Redis
            from redis.backoff import NoBackoff
            from redis.exceptions import ConnectionError as RedisConnectionError
            from redis.retry import Retry
        except ModuleNotFoundError:
            raise BadRequest(
                "LLMOS_LIMITS_URL needs the client of Redis. Install it: pip install 'llmos[redis]'",
                param="LLMOS_LIMITS_URL",
            ) from None
        try:
            self._redis = Redis.from_url(
                url,
                socket_timeout=TIMEOUT_SECONDS,
                socket_connect_timeout=TIMEOUT_SECONDS,
                # Once more, because an idle connection may have been closed.
                retry=Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,)),
                decode_responses=True,
            )
        except ValueError as error:
            raise BadRequest(
                f"LLMOS_LIMITS_URL can't be used: {error}. Use redis://HOST:PORT, rediss:// or unix://PATH.",
                param="LLMOS_LIMITS_URL",
            ) from None
        self.server_id = server_id or new_id("server")
        self._clock = clock
        self._own: dict[str, int] = {}
        """The calls that this server runs, by key. Redis has a copy."""
        self._lock = threading.Lock()

    @property
    def last_counts(self) -> Sequence[ScopeCount]:
        """None: the script doesn't return them."""
        return ()

    def apply(self, steps: Sequence[Take | GiveBack]) -> list[RateLimited | None]:
        """Do the steps in their order, and return for each why it was refused. What is refused counts nowhere.

        Raises Unavailable if Redis can't be asked. Nothing is let in then.
        """
        keys: dict[str, int] = {}
        encoded = [_encoded(step, keys) for step in steps]
        with self._lock:
            *replies, own = self._run(list(keys), encoded, {key: self._own.get(key, 0) for key in _running(keys)})
            self._own |= {key: int(number) for key, number in _object(own).items()}
            self._own = {key: number for key, number in self._own.items() if number > 0}
        return [
            _refusal(step, reply) if isinstance(step, Take) and reply else None
            for step, reply in zip(steps, replies, strict=True)
        ]

    def renew(self) -> None:
        """Extend the lease of what this server runs, and say again how much that is."""
        with self._lock:
            if self._own:
                self._run(list(self._own), [], self._own)

    def close(self) -> None:
        self._redis.close()

    def _run(self, keys: Sequence[str], steps: Sequence[Any], own: dict[str, int]) -> list[Any]:
        from redis.exceptions import RedisError

        asked: dict[str, Any] = {
            "server": self.server_id,
            "own": own,
            "steps": steps,
            "lease": LEASE // 1000,
            "prefix": PREFIX,
        }
        if self._clock is not None:
            asked["now"] = self._clock() // 1000
        try:
            replies: list[Any] = self._script(keys=keys, args=[json.dumps(asked)])
        except RedisError as error:
            raise Unavailable(
                f"Limits can't be counted now, because Redis doesn't answer ({type(error).__name__}). Try again in a"
                " moment. The server's log has the cause.",
                retry_after_seconds=_RETRY_SECONDS,
            ) from error
        return replies

    @cached_property
    def _script(self) -> "Script":
        return self._redis.register_script((files("llmos.security") / "limits_script.lua").read_text())


def _encoded(step: Take | GiveBack, keys: dict[str, int]) -> list[Any]:
    """Return the step as the script reads it. Adds its keys to `keys`, with their indexes."""
    taken = step if isinstance(step, Take) else step.taken
    return [isinstance(step, Take), [_allowance(each, step, keys) for each in taken.allowances]]


def _allowance(allowance: Allowance, step: Take | GiveBack, keys: dict[str, int]) -> list[int]:
    limits, scope, is_take = allowance.limits, allowance.scope, isinstance(step, Take)

    def index(kind: str, limit: int | None) -> int:
        # A limit that changes has another bucket, which is full.
        key = f"{PREFIX}{kind}:{scope}" if kind == "running" else f"{PREFIX}{kind}:{limit}:{scope}"
        return 0 if limit is None else keys.setdefault(key, len(keys) + 1)

    requests, tokens = limits.requests_per_minute if is_take else None, limits.tokens_per_minute
    num_tokens = 0 if tokens is None else _token_cost(step, tokens)
    return [
        index("requests", requests),
        0 if requests is None else cost(1, requests),
        index("tokens", tokens),
        num_tokens,
        index("running", limits.concurrent_requests),
        limits.concurrent_requests or 0,
    ]


def _token_cost(step: Take | GiveBack, limit: int) -> int:
    if isinstance(step, Take):
        return cost_of_call(step.num_tokens, limit)
    return cost(step.num_tokens, limit) - cost_of_call(step.taken.num_tokens, limit)


def _running(keys: dict[str, int]) -> list[str]:
    return [key for key in keys if key.startswith(f"{PREFIX}running:")]


def _object(text: str) -> dict[str, Any]:
    """Return a JSON object that Lua wrote: an empty one looks like an empty list."""
    found = json.loads(text)
    return found if isinstance(found, dict) else {}


def _refusal(step: Take, reply: Sequence[Any]) -> RateLimited:
    index, kind, wait = int(reply[0]), int(reply[1]), int(reply[2])
    allowance = step.allowances[index - 1]
    if kind == 3:
        return running_refusal(allowance)
    return rate_refusal(allowance, "requests" if kind == 1 else "tokens", wait)
