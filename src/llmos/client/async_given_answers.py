"""The answers that a server has given, for asyncio programs: the same calls as in given_answers.py, awaited."""

from typing import TYPE_CHECKING

from llmos.client import answer_calls as calls
from llmos.client.async_control import AsyncNoun
from llmos.core.schemas.answers import AnswerDetails, AnswerPage

if TYPE_CHECKING:
    from typing import Unpack


class AsyncGivenAnswers(AsyncNoun):
    """Answers: what they were asked of, how long they took, what they cost."""

    async def list(self, **filters: "Unpack[calls.AnswerFilters]") -> AnswerPage:
        """Return a page of answers, newest first. filters: AnswerFilters, such as `outcome="failed"`."""
        return await self._client._request(calls.list_answers(**filters))

    async def get(self, id: str) -> AnswerDetails:
        """Return what is known of an answer, by its id or by that of its request."""
        return await self._client._request(calls.get_answer(id))
