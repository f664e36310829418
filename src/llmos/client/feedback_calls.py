"""The calls about feedback: what each sends and how its reply is read."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypedDict
from urllib.parse import quote, urlencode

from llmos.client.call import Call, read_nothing, read_one
from llmos.core.schemas.datasets import DatasetDescription
from llmos.core.schemas.feedback import ExportKind, FeedbackDescription, FeedbackKind, FeedbackPage, Rating

if TYPE_CHECKING:
    from typing import Unpack

_FEEDBACK = "/llmos/v1/feedback"


class FeedbackFields(TypedDict, total=False):
    """The feedback on an answer."""

    kind: FeedbackKind
    """rating, or vote: it was the best one of several."""
    rating: Rating
    """up or down."""
    correction: str
    """The text that the answer should have had."""
    comment: str
    messages: Sequence[Mapping[str, Any]]
    """The conversation before the answer. With it and `text`, feedback becomes rows of datasets."""
    text: str
    """The answer."""
    version: str
    """The version, route or application that gave the answer."""
    rejected: Sequence[Mapping[str, str]]
    """The other answers of a vote, each with `answer`, `version` and `text`."""
    is_tie: bool
    is_blind: bool
    user: str
    """The person whose data it has."""


class FeedbackFilters(TypedDict, total=False):
    """The filters of a list of feedback; all that is given must hold."""

    answer: str | None
    kind: FeedbackKind | None
    rating: Rating | None
    after: str | None
    """`next` of the page before."""
    limit: int


def give_feedback(answer: str, fields: FeedbackFields) -> Call[FeedbackDescription]:
    body = {"answer": answer, **fields}
    return Call(method="POST", path=_FEEDBACK, body=body, read=read_one(FeedbackDescription))


def list_feedback(**filters: "Unpack[FeedbackFilters]") -> Call[FeedbackPage]:
    query = urlencode({name: value for name, value in filters.items() if value is not None})
    return Call(method="GET", path=f"{_FEEDBACK}?{query}", read=read_one(FeedbackPage))


def export_feedback(dataset: str, kind: ExportKind) -> Call[DatasetDescription]:
    body = {"dataset": dataset, "kind": kind}
    return Call(method="POST", path=f"{_FEEDBACK}/export", body=body, read=read_one(DatasetDescription))


def remove_feedback(id: str) -> Call[None]:
    return Call(method="DELETE", path=f"{_FEEDBACK}/{quote(id, safe='')}", read=read_nothing)
