"""Searching: runs the searches that the model asks for in the middle of an answer, and goes on with what they found."""

from collections.abc import Sequence
from dataclasses import replace

from llmos.core.errors import PromptTooLong
from llmos.data.knowledge.support import supported_sentences
from llmos.gateway.calls.answer import Answer
from llmos.gateway.calls.call import Call
from llmos.gateway.wires.openai.passages import FoundPassage, SearchFiles
from llmos.gateway.wires.openai.responses.fields import ResponseRequest
from llmos.gateway.wires.openai.responses.file_search import (
    MAX_SEARCHES,
    queries_of,
)
from llmos.gateway.wires.openai.responses.items import Item
from llmos.gateway.wires.openai.responses.output import Annotation, OutputItems
from llmos.gateway.wires.openai.responses.rounds import Rounds


class Searching:
    """The searches of one response."""

    def __init__(
        self, request: ResponseRequest, conversation: Sequence[Item], call: Call, rounds: Rounds, search: SearchFiles
    ) -> None:
        """`conversation`: its items up to this response. `call`: the first call to the model."""
        self._request, self._conversation, self._call = request, conversation, call
        self._rounds, self._search = rounds, search
        self._num_left = request.max_tool_calls or MAX_SEARCHES
        self._found: list[FoundPassage] = []

    async def run(self, output: OutputItems) -> None:
        """Run the searches that the model asked for. Those beyond the limit find nothing."""
        for pending in output.pending_searches():
            queries = queries_of(pending.arguments, self._conversation)
            pending.item["queries"] = queries
            found = await self._search(queries) if queries and self._num_left > 0 else []
            self._num_left -= 1
            pending.set_results(found)
            self._found += found
        output.cite = self._cite

    async def go_on(self, output: OutputItems, answers: Sequence[Answer]) -> Answer:
        """Return the model's answer to what was found.

        A conversation that the model has no room for gets fewer passages. Raises PromptTooLong if it has no room
        without any, and what else Pipeline.generate() raises.
        """
        num_passages = max(len(pending.item["results"]) for pending in output.pending_searches())
        while True:
            items = [*self._conversation, *output.items]
            call = self._request.next_call(
                replace(self._call, cache_control=answers[0].call.cache_control),
                items,
                num_used_tokens=sum(answer.num_completion_tokens for answer in answers),
                may_search=self._num_left > 0,
            )
            try:
                return await self._rounds.next(call)
            except PromptTooLong:
                if num_passages == 0:
                    raise
                num_passages //= 2
                for pending in output.pending_searches():
                    pending.item["results"] = pending.item["results"][:num_passages]

    def _cite(self, text: str) -> list[Annotation]:
        """Return a citation for each sentence that a passage supports."""
        return [
            {
                "type": "file_citation",
                "file_id": self._found[each.passage].file_id,
                "filename": self._found[each.passage].filename,
                "index": each.end,
            }
            for each in supported_sentences(text, [found.text for found in self._found])
        ]
