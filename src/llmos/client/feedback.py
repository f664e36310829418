"""Feedback on answers."""

from typing import TYPE_CHECKING

from llmos.client import feedback_calls as calls
from llmos.client.control import Noun
from llmos.core.schemas.datasets import DatasetDescription
from llmos.core.schemas.feedback import ExportKind, FeedbackDescription, FeedbackPage

if TYPE_CHECKING:
    from typing import Unpack


class Feedback(Noun):
    """The opinions of persons on answers."""

    def give(self, answer: str, **fields: "Unpack[calls.FeedbackFields]") -> FeedbackDescription:
        """Say what you think of an answer, in place of what this key has said of it before. fields: FeedbackFields."""
        return self._client._request(calls.give_feedback(answer, fields))

    def list(self, **filters: "Unpack[calls.FeedbackFilters]") -> FeedbackPage:
        """Return a page of the project's feedback, newest first. filters: FeedbackFilters, such as `rating="down"`."""
        return self._client._request(calls.list_feedback(**filters))

    def export(self, dataset: str, *, kind: ExportKind = "preference") -> DatasetDescription:
        """Make a version of a dataset out of the project's feedback. kind: preference, or chat: good answers alone."""
        return self._client._request(calls.export_feedback(dataset, kind))

    def remove(self, id: str) -> None:
        """Take back what this key has said."""
        self._client._request(calls.remove_feedback(id))
