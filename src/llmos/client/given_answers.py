"""The answers that a server has given: their facts."""

from typing import TYPE_CHECKING

from llmos.client import answer_calls as calls
from llmos.client.control import Noun
from llmos.core.schemas.answers import AnswerDetails, AnswerPage

if TYPE_CHECKING:
    from typing import Unpack


class GivenAnswers(Noun):
    """Answers: what they were asked of, how long they took, what they cost."""

    def list(self, **filters: "Unpack[calls.AnswerFilters]") -> AnswerPage:
        """Return a page of answers, newest first. filters: AnswerFilters, such as `outcome="failed"`."""
        return self._client._request(calls.list_answers(**filters))

    def get(self, id: str) -> AnswerDetails:
        """Return what is known of an answer, by its id or by that of its request."""
        return self._client._request(calls.get_answer(id))
