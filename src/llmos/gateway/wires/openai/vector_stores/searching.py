"""Searches of vector stores, and of knowledge by its own name."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from llmos.core.errors import NotFound
from llmos.data.knowledge.hits import Hit
from llmos.data.knowledge.index.fusion import join_ranks
from llmos.data.knowledge.knowledge import ProjectKnowledge
from llmos.data.knowledge.versions import KnowledgeVersion
from llmos.gateway.knowledge_search import Search
from llmos.gateway.services import Services
from llmos.gateway.wires.openai.passages import FoundPassage
from llmos.security.callers import Caller
from llmos.security.permissions import Permission

_PREFIX = "vs_"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """The source of a search: a version, and its documents that are files, {document: (id, name)}; None: for knowledge
    whose documents are named as they are."""

    version: KnowledgeVersion | None
    files: Mapping[str, tuple[str, str]] | None

    def passage(self, hit: Hit) -> FoundPassage:
        name = hit.place.document
        id, filename = (name, name) if self.files is None else self.files[name]
        score = min(1.0, max(0.0, hit.cosine or 0.0))
        return FoundPassage(file_id=id, filename=filename, score=score, text=hit.text, attributes=dict(hit.metadata))


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """The number of passages that are wanted, and their filters."""

    limit: int
    filters: Mapping[str, Any] | None = None
    score_threshold: float = 0


class VectorStoreSearch:
    """Searches some vector stores for a caller."""

    def __init__(self, services: Services, caller: Caller, ids: Sequence[str], wanted: Wanted) -> None:
        self._services, self._caller, self._ids, self._wanted = services, caller, ids, wanted

    async def check(self) -> None:
        """Raise PermissionDenied, NotFound for an unknown vector store, and Conflict for one that has expired."""
        self._caller.check(Permission.KNOWLEDGE_READ)
        for id in self._ids:
            await asyncio.to_thread(self._source, id)

    async def search(self, queries: Sequence[str]) -> Sequence[FoundPassage]:
        """Return the best passages for one or several queries, joined by reciprocal ranks."""
        lists, passages = [], _Passages()
        for id in self._ids:
            source = await asyncio.to_thread(self._source, id)
            for query in queries:
                found = [] if source.version is None else await self._hits(source, source.version, query)
                lists.append([passages.index_of(passage) for passage in found])
        best = [passages.found[index] for index, _ in join_ranks(*lists)]
        return [each for each in best if each.score >= self._wanted.score_threshold][: self._wanted.limit]

    async def _hits(self, source: Source, version: KnowledgeVersion, query: str) -> list[FoundPassage]:
        search = Search(
            query=query,
            limit=self._wanted.limit,
            mode="hybrid",  # Scores are cosines, which a search by words alone doesn't have.
            filters=self._wanted.filters,
            documents=None if source.files is None else list(source.files),
        )
        hits = await self._services.knowledge_search.search(self._knowledge, version, search, self._caller)
        return [source.passage(hit) for hit in hits]

    @property
    def _knowledge(self) -> ProjectKnowledge:
        return self._services.data.knowledge.of(self._caller.project)

    def _source(self, id: str) -> Source:
        """Raises NotFound, and Conflict for a vector store that has expired."""
        project, stores = self._caller.project, self._services.data.vector_stores
        if not id.startswith(_PREFIX):
            return Source(version=_named(self._knowledge, id), files=None)
        stores.get_live(project, id)
        stores.touch(project, id)
        files = {name: (file.file_id, file.filename) for name, file in stores.searchable(project, id).items()}
        return Source(version=self._knowledge.newest(id) if files else None, files=files)


class _Passages:
    """The different passages that several searches found, each with its best score."""

    def __init__(self) -> None:
        self.found: list[FoundPassage] = []
        self._indexes: dict[tuple[str, str], int] = {}

    def index_of(self, passage: FoundPassage) -> int:
        index = self._indexes.setdefault((passage.file_id, passage.text), len(self.found))
        if index == len(self.found):
            self.found.append(passage)
        elif passage.score > self.found[index].score:
            self.found[index] = passage
        return index


def _named(knowledge: ProjectKnowledge, ref: str) -> KnowledgeVersion:
    try:
        return knowledge.resolve(ref)
    except NotFound:
        raise NotFound(
            f"There is no vector store and no knowledge {ref[:80]!r}. GET /v1/vector_stores lists the vector stores.",
            param="vector_store_ids",
        ) from None
