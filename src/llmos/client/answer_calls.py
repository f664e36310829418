"""The calls about answers that were given: what each sends and how its reply is read."""

from datetime import datetime
from typing import TYPE_CHECKING, TypedDict
from urllib.parse import quote, urlencode

from llmos.client.call import Call, read_one
from llmos.core.schemas.answers import AnswerDetails, AnswerPage

if TYPE_CHECKING:
    from typing import Unpack

_ANSWERS = "/llmos/v1/answers"


class AnswerFilters(TypedDict, total=False):
    """The filters of a list of answers; all that is given must hold."""

    project: str | None
    key: str | None
    """The id of the key."""
    user: str | None
    """The end user whom the request named."""
    model: str | None
    """A version, or a model, whichever version."""
    route: str | None
    app: str | None
    run: str | None
    """The run of an application."""
    outcome: str | None
    """answered, blocked, cached, cancelled, failed or refused."""
    verdict: str | None
    """The strictest verdict of guardrails: flag, redact or block."""
    since: datetime | None
    until: datetime | None
    min_cost: str | None
    """A decimal, such as "0.01"."""
    min_output_tokens: int | None
    min_seconds: float | None
    """From the acceptance of the call to its end."""
    text: str | None
    """Words that all occur in the kept conversation, of the key's own project."""
    after: str | None
    """`next` of the page before."""
    limit: int


def list_answers(**filters: "Unpack[AnswerFilters]") -> Call[AnswerPage]:
    given = {name: _text(value) for name, value in filters.items() if value is not None}
    return Call(method="GET", path=f"{_ANSWERS}?{urlencode(given)}", read=read_one(AnswerPage))


def get_answer(id: str) -> Call[AnswerDetails]:
    return Call(method="GET", path=f"{_ANSWERS}/{quote(id, safe='')}", read=read_one(AnswerDetails))


def _text(value: object) -> str:
    """Return a value as the query has it. A time without a zone is one of this machine's."""
    if isinstance(value, datetime):
        return (value.astimezone() if value.tzinfo is None else value).isoformat()
    return str(value)
