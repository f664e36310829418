"""Knowledge: documents that an application answers from, by quoting them or by letting the model write."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from llmos.apps.server import Server
from llmos.client.grounding import Unsupported
from llmos.client.passages import PASSAGES_RULE, passages_text
from llmos.core.schemas.knowledge import SearchDescription

__all__ = ["PASSAGES_RULE", "AnswerMode", "Knowledge", "Source", "passages_text"]

AnswerMode = Literal["quote", "compose"]


class Source(Protocol):
    """Finds passages for a question. An app takes any object of this kind."""

    @property
    def name(self) -> str: ...
    @property
    def answer(self) -> AnswerMode: ...
    @property
    def unsupported(self) -> Unsupported: ...
    @property
    def abstain(self) -> str: ...

    async def search(self, server: Server, question: str) -> SearchDescription:
        """Return the passages that fit best, best first, and whether they answer the question."""
        ...


@dataclass(frozen=True, slots=True)
class Knowledge:
    """Documents on the server: NAME, NAME:ALIAS or NAME@NUMBER."""

    name: str
    top_k: int = 5
    """The number of passages that an answer may be based on."""
    answer: AnswerMode = "quote"
    """quote: sentences of the documents, word for word, so that nothing is invented. compose: the model writes."""
    unsupported: Unsupported = "drop"
    """The treatment of sentences that the model writes and no passage supports: leave them out, or mark them."""
    abstain: str = "The documents don't answer this."
    """The answer to a question that the documents don't answer, by the threshold that `llmos knowledge eval` found."""
    filters: Mapping[str, Any] | None = None
    """Filters on the metadata of documents."""
    reranker: str | None = None
    """A model that orders the passages."""

    async def search(self, server: Server, question: str) -> SearchDescription:
        given = {"filters": self.filters, "reranker": self.reranker}
        settings = {name: value for name, value in given.items() if value is not None}
        return await server.search(self.name, question, limit=self.top_k, **settings)
