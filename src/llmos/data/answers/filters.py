"""AnswerFilter: which answers are listed."""

from dataclasses import dataclass
from datetime import datetime

from llmos.core.errors import BadRequest
from llmos.core.suggest import nearest

OUTCOMES = ("answered", "blocked", "cached", "cancelled", "failed", "refused")
VERDICTS = ("flag", "redact", "block")

MAX_LIMIT = 1000

Place = tuple[int, int]
"""The time and the number of an answer, which say where it is in the list."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AnswerFilter:
    """Everything that is given must hold."""

    project: str | None = None
    key_id: str | None = None
    user: str | None = None
    model: str | None = None
    """The model that answered, without the version."""
    version: str | None = None
    route: str | None = None
    app: str | None = None
    run: str | None = None
    outcome: str | None = None
    verdict: str | None = None
    """The strictest verdict of its guardrails."""
    since: datetime | None = None
    until: datetime | None = None
    """Not included."""
    min_cost_nanos: int | None = None
    min_output_tokens: int | None = None
    min_seconds: float | None = None
    """From the acceptance of the call to its end."""
    after: Place | None = None
    """The last place of the previous page."""
    limit: int = 50

    def check(self) -> None:
        """Raise BadRequest for an unknown outcome or verdict, and for a limit out of range."""
        for name, known in (("outcome", OUTCOMES), ("verdict", VERDICTS)):
            if (value := getattr(self, name)) is not None and value not in known:
                near = nearest(value, list(known), 1)
                hint = f"Did you mean {near[0]}?" if near else f"There are {', '.join(known)}."
                raise BadRequest(f"There is no {name} {value[:80]!r}. {hint}", param=name)
        if not 1 <= self.limit <= MAX_LIMIT:
            raise BadRequest(f"`limit` is {self.limit}; it may be 1 to {MAX_LIMIT}.", param="limit")
