"""Limits: how much the callers with one key, or of one project, may use."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields

from llmos.core.errors import BadRequest

MAX_LIMIT = 1_000_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """The limits of one key or project; None where there is none."""

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    """The tokens of prompts and answers together."""
    concurrent_requests: int | None = None
    prompt_tokens: int | None = None
    output_tokens: int | None = None

    @property
    def is_counted(self) -> bool:
        """Return whether a limit needs a count of earlier calls."""
        return not (self.requests_per_minute is self.tokens_per_minute is self.concurrent_requests is None)

    def stored(self) -> dict[str, int]:
        """Return the limits that are set, as the database has them."""
        return {name: value for name, value in asdict(self).items() if value is not None}


NO_LIMITS = Limits()

LIMIT_NAMES = tuple(each.name for each in fields(Limits))


@dataclass(frozen=True, kw_only=True, slots=True)
class Allowance:
    """The limits that a caller has as one of those who share them."""

    scope: str
    """Under which the counts are stored: key:ID or project:NAME."""
    limits: Limits

    @property
    def name(self) -> str:
        """The key or the project, as messages call it."""
        kind, _, name = self.scope.partition(":")
        return f"The {kind} {name}"


def read_limits(stored: Mapping[str, int]) -> Limits:
    """Return limits out of the database. A limit that a newer version of LLMOS knows is left out."""
    return Limits(**{name: value for name, value in stored.items() if name in LIMIT_NAMES})


def check_limits(limits: Limits) -> Limits:
    """Return the limits. Raises BadRequest for one that isn't a whole number from 1 to a billion."""
    for name, value in limits.stored().items():
        if not 1 <= value <= MAX_LIMIT:
            raise BadRequest(f"`{name}` is {value}; it takes 1 to {MAX_LIMIT:,}, or nothing for no limit.", param=name)
    return limits
