"""Searches of knowledge: the query is embedded by the pipeline, for the caller; then the index is searched.

The hits may be ordered by a reranker. Endpoints, vector stores and applications search in this way.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import msgspec

from llmos.core.errors import BadRequest, ModelNotFound, PromptTooLong
from llmos.core.schemas.knowledge import SearchDescription
from llmos.core.schemas.knowledge_eval import KnowledgeEvalDescription
from llmos.data.knowledge.descriptions import describe_search
from llmos.data.knowledge.embedder import Vectors, unit
from llmos.data.knowledge.evaluations import answer_probability, find_applicable_evaluation
from llmos.data.knowledge.hits import Hit
from llmos.data.knowledge.index import Mode
from llmos.data.knowledge.knowledge import ProjectKnowledge
from llmos.data.knowledge.versions import KnowledgeVersion
from llmos.gateway.calls.embedding import EmbedCall
from llmos.gateway.calls.pipeline import Pipeline
from llmos.gateway.calls.text_vectors import TextsToEmbed, embed_texts
from llmos.gateway.question_reader import QuestionReader
from llmos.models.registry import Registry
from llmos.models.versions.versions import Version
from llmos.security.callers import Caller
from llmos.security.permissions import Permission

MAX_QUERY = 16_384
"""The most characters of a query."""

MAX_LIMIT = 100
"""The most hits of a search."""

RERANKED = 50
"""The hits that a reranker orders, at least: the best of them are returned."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """A search: its query and its options."""

    query: str
    limit: int = 10
    mode: Mode | None = None
    """None: that of the version's evaluation, or hybrid."""
    filters: Mapping[str, Any] | None = None
    """On the metadata of documents; see data/knowledge/index/filters.py."""
    documents: Sequence[str] | None = None
    """Search only in these."""
    reranker: str | None = None
    """The model that orders the hits by how well they answer the query. None: their order is that of the index."""


@dataclass(frozen=True, slots=True)
class _Found:
    hits: Sequence[Hit]
    vector: Vectors | None = None
    """The vector of the query."""
    notes: Sequence[str] = ()
    """Sentences for who reads the hits."""


class KnowledgeSearch:
    """Belongs to the event loop's thread."""

    def __init__(self, pipeline: Pipeline, registry: Registry, reader: QuestionReader) -> None:
        self._pipeline, self._registry, self._reader = pipeline, registry, reader

    async def search(
        self, knowledge: ProjectKnowledge, version: KnowledgeVersion, search: Search, caller: Caller
    ) -> Sequence[Hit]:
        """Return the hits, best first. Raises BadRequest for a query, filters or models that make no sense,
        ModelNotFound where the version's embedding model isn't here any more, and what the pipeline raises."""
        report = None if search.mode is not None else await _report_of(knowledge, version)
        return (await self._search(knowledge, version, replace(search, mode=_mode_of(search, report)), caller)).hits

    async def answer(
        self, knowledge: ProjectKnowledge, version: KnowledgeVersion, search: Search, caller: Caller
    ) -> SearchDescription:
        """Return the hits, and whether the version answers the query by its threshold, if it has one. Raises what
        search() raises."""
        report = await _report_of(knowledge, version)
        mode = _mode_of(search, report)
        found = await self._search(knowledge, version, replace(search, mode=mode), caller)
        described = describe_search(version, mode, found.hits, found.notes)
        if report is None or (threshold := report.threshold) is None:
            return described
        measure = await asyncio.to_thread(answer_probability, knowledge, version, report, search.query, found.vector)
        if measure is None:
            return described
        return msgspec.structs.replace(
            described,
            answerable=measure >= threshold.threshold,
            threshold=threshold.threshold,
            measure=measure,
            evaluated=report.knowledge,
        )

    async def _search(
        self, knowledge: ProjectKnowledge, version: KnowledgeVersion, search: Search, caller: Caller
    ) -> _Found:
        _check(search)
        if not version.num_chunks:
            return _Found([])
        vector: Vectors | None = None
        notes: list[str] = []
        unknown_share = 0.0
        if search.mode != "text":
            embedding = await asyncio.to_thread(self._embedding_of, version)
            vector, notes = await self._vector(embedding, search.query, caller)
            if search.mode == "hybrid":
                share = partial(self._reader.unknown_share, self._registry, embedding, search.query)
                unknown_share = await asyncio.to_thread(share)
        limit = search.limit if search.reranker is None else max(search.limit, RERANKED)
        find = partial(
            knowledge.search,
            version,
            search.query,
            vector,
            limit=limit,
            mode=search.mode or "hybrid",
            unknown_share=unknown_share,
            filters=search.filters,
            documents=search.documents,
        )
        hits = await asyncio.to_thread(find)
        if search.reranker is None or not hits:
            return _Found(hits, vector, notes)
        best = (await self._reranked(search.query, search.reranker, hits, caller))[: search.limit]
        return _Found(best, vector, notes)

    async def _vector(self, embedding: Version, query: str, caller: Caller) -> tuple[Vectors, list[str]]:
        """Return the vector of the query, and a note if the model doesn't take all of it."""
        notes = []
        # A key's list of models is of those that it asks for. Here the knowledge asks, which its permission covers.
        caller = replace(caller, models=frozenset())
        request = TextsToEmbed(
            model=embedding.ref, digest=embedding.digest, texts=[query], role="query", may_be_cut=False
        )
        try:
            vectors = await embed_texts(self._pipeline, caller, request)
        except PromptTooLong:
            vectors = await embed_texts(self._pipeline, caller, msgspec.structs.replace(request, may_be_cut=True))
            notes.append(
                f"The query is longer than {embedding.ref} takes: the vector part read its beginning only. The text"
                " part looks for all of its words."
            )
        return unit(vectors)[0], notes

    def _embedding_of(self, version: KnowledgeVersion) -> Version:
        """Return the version of the model that made the version's vectors, whichever number it has by now."""
        name = version.embedding.partition("@")[0]
        try:
            return self._registry.resolve(f"{name}@{version.embedding_digest}")
        except ModelNotFound:
            raise ModelNotFound(
                f"The vectors of {version.ref} were made by {version.embedding} ({version.embedding_digest}), which"
                " isn't here any more. Pull it again, or search by words alone, with the mode `text`.",
                param="embedding",
            ) from None

    async def _reranked(self, query: str, model: str, hits: Sequence[Hit], caller: Caller) -> list[Hit]:
        """Return the hits with the scores of a reranker, best first."""
        caller.check(Permission.INFERENCE)
        embeddings = await self._pipeline.embed(
            EmbedCall(
                model=model,
                caller=caller,
                inputs=[query, *(hit.text for hit in hits)],
                names=["query", *(f"hits[{i}]" for i in range(len(hits)))],
                truncate_to=0,
                num_queries=1,
                id_prefix="rerank",
            )
        )
        scores = await asyncio.to_thread(embeddings.scores)
        # The sort is stable: of hits with equal scores, the better one of the index comes first.
        order = sorted(range(len(hits)), key=lambda i: -scores[i])
        return [replace(hits[i], score=scores[i]) for i in order]


async def _report_of(knowledge: ProjectKnowledge, version: KnowledgeVersion) -> KnowledgeEvalDescription | None:
    return await asyncio.to_thread(find_applicable_evaluation, knowledge, version)


def _mode_of(search: Search, report: KnowledgeEvalDescription | None) -> Mode:
    """Return the mode that was asked for, or else the default of the version."""
    return search.mode or ("hybrid" if report is None else report.mode)


def _check(search: Search) -> None:
    if not search.query.strip():
        raise BadRequest("The query is empty. Write a question or words.", param="query")
    if len(search.query) > MAX_QUERY:
        raise BadRequest(
            f"The query has {len(search.query):,} characters; at most {MAX_QUERY:,} are searched for. Shorten it.",
            param="query",
        )
    if not 1 <= search.limit <= MAX_LIMIT:
        raise BadRequest(f"`limit` is {search.limit}; it must be 1 to {MAX_LIMIT}.", param="limit")
