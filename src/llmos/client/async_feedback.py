"""Feedback on answers, for asyncio programs: the same calls as in feedback.py, awaited."""

from typing import TYPE_CHECKING

from llmos.client import feedback_calls as calls
from llmos.client.async_control import AsyncNoun
from llmos.core.schemas.datasets import DatasetDescription
from llmos.core.schemas.feedback import ExportKind, FeedbackDescription, FeedbackPage

if TYPE_CHECKING:
    from typing import Unpack


class AsyncFeedback(AsyncNoun):
    """The opinions of persons on answers."""

    async def give(self, answer: str, **fields: "Unpack[calls.FeedbackFields]") -> FeedbackDescription:
        """Say what you think of an answer, in place of what this key has said of it before. fields: FeedbackFields."""
        return await self._client._request(calls.give_feedback(answer, fields))

    async def list(self, **filters: "Unpack[calls.FeedbackFilters]") -> FeedbackPage:
        """Return a page of the project's feedback, newest first. filters: FeedbackFilters, such as `rating="down"`."""
        return await self._client._request(calls.list_feedback(**filters))

    async def export(self, dataset: str, *, kind: ExportKind = "preference") -> DatasetDescription:
        """Make a version of a dataset out of the project's feedback. kind: preference, or chat: good answers alone."""
        return await self._client._request(calls.export_feedback(dataset, kind))

    async def remove(self, id: str) -> None:
        """Take back what this key has said."""
        await self._client._request(calls.remove_feedback(id))
