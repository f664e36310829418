"""The events that webhooks can be told."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from llmos.core.errors import BadRequest
from llmos.core.suggest import nearest

EVENTS: Mapping[str, str] = {
    "handoff.created": "An application handed a question over to a person.",
    "handoff.answered": "A person answered it.",
    "handoff.closed": "A person closed it without an answer.",
    "budget.threshold": "A share of a budget is used up.",
    "plan.threshold": "A share of a plan's limit, or of what it includes, is used up.",
    "credit.threshold": "A share of prepaid credit is used up.",
    "webhook.test": "`llmos webhook test`; every webhook is told it.",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """Something that happened. `data` is a part of the message, as JSON."""

    type: str
    key: str
    """Names what happened: the same event, told twice, makes one message."""
    data: Any
    subjects: Collection[str] = ()
    """HMACs of the persons whose data it has."""


def check_events(events: Sequence[str]) -> list[str]:
    """Return the events without repetitions. Raises BadRequest for one that there is not."""
    for each in events:
        if each not in EVENTS:
            near = nearest(each, list(EVENTS), 1)
            hint = f"Did you mean {near[0]}?" if near else f"There are {', '.join(EVENTS)}."
            raise BadRequest(f"There is no event {each[:80]!r}. {hint}", param="events")
    return list(dict.fromkeys(events))
