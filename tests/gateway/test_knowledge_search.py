"""Searches of knowledge: the query crosses the pipeline as its caller, and hits may be reranked."""

from pathlib import Path
from typing import Any

import pytest

from llmos.core.errors import BadRequest, ModelNotFound, PermissionDenied
from llmos.core.schemas.knowledge_eval import KnowledgeEvalDescription, ThresholdDescription
from llmos.data.knowledge.adding import remove_documents
from llmos.data.knowledge.evaluations import keep_report
from llmos.data.knowledge.index import Mode
from llmos.data.knowledge.knowledge import ProjectKnowledge
from llmos.gateway.knowledge_search import KnowledgeSearch, Search
from llmos.gateway.question_reader import QuestionReader
from llmos.gateway.services import Services
from llmos.security.callers import Caller, owner
from llmos.security.permissions import Permission
from support.gateway_knowledge import FILES, make_faq
from support.scripted import FakePool

pytestmark = [pytest.mark.anyio, pytest.mark.process]


@pytest.fixture
def knowledge(services: Services, tmp_path: Path) -> ProjectKnowledge:
    return make_faq(services, tmp_path)


@pytest.fixture
def searching(services: Services) -> KnowledgeSearch:
    return KnowledgeSearch(services.pipeline, services.registry, services.question_reader)


async def test_the_query_is_embedded_by_the_pipeline_for_its_caller(
    searching: KnowledgeSearch, knowledge: ProjectKnowledge, pool: FakePool
) -> None:
    caller = Caller(project="acme", key_id="key-1", permissions=frozenset({Permission.INFERENCE}))
    hits = await searching.search(knowledge, knowledge.resolve("faq"), Search(query="steep", limit=1), caller)
    assert [hit.place.document for hit in hits] == ["a.md"]
    assert hits[0].cosine is not None
    [request] = pool.embedded
    assert (request.inputs, request.role, request.caller) == (["steep"], "query", "acme\n")


async def test_words_alone_ask_no_model(
    searching: KnowledgeSearch, knowledge: ProjectKnowledge, pool: FakePool
) -> None:
    nobody = Caller(project="owner", key_id="key-1")
    version = knowledge.resolve("faq")
    hits = await searching.search(knowledge, version, Search(query="leaves", mode="text"), nobody)
    assert [(hit.place.document, hit.cosine) for hit in hits] == [("b.md", None)]
    assert pool.embedded == []
    with pytest.raises(PermissionDenied, match="permission inference"):
        await searching.search(knowledge, version, Search(query="leaves"), nobody)


@pytest.mark.parametrize(("asked", "used"), [(None, "text"), ("hybrid", "hybrid"), ("vector", "vector")])
async def test_the_mode_of_the_evaluation_is_used_unless_another_one_is_asked_for(
    searching: KnowledgeSearch, knowledge: ProjectKnowledge, pool: FakePool, asked: Mode | None, used: str
) -> None:
    version = knowledge.resolve("faq")
    threshold = ThresholdDescription(measure="m/1", intercept=-1, cosine=0, words=2, threshold=0.5)
    keep_report(knowledge, version, KnowledgeEvalDescription(mode="text", threshold=threshold))
    found = await searching.answer(knowledge, version, Search(query="leaves", mode=asked), owner())
    assert (found.mode, found.answerable) == (used, True)
    assert len(pool.embedded) == (used != "text")
    hits = await searching.search(knowledge, version, Search(query="leaves", mode=asked), owner())
    assert [hit.cosine is None for hit in hits] == [each.cosine is None for each in found.hits]


async def test_a_question_that_the_model_cannot_read_is_searched_for_by_its_words(
    searching: KnowledgeSearch, knowledge: ProjectKnowledge, monkeypatch: pytest.MonkeyPatch
) -> None:
    version, caller = knowledge.resolve("faq"), owner()
    monkeypatch.setattr(QuestionReader, "unknown_share", lambda *_: 0.5)
    [hit] = await searching.search(knowledge, version, Search(query="leaves"), caller)
    assert (hit.place.document, hit.cosine is None) == ("b.md", False)
    for search in Search(query="nowhere"), Search(query="leaves", mode="vector"):
        assert len(await searching.search(knowledge, version, search, caller)) == 2


async def test_filters_and_documents_narrow_the_search(searching: KnowledgeSearch, knowledge: ProjectKnowledge) -> None:
    version, caller = knowledge.resolve("faq"), owner()
    filters = {"type": "eq", "key": "name", "value": "b.md"}
    for narrowed in (Search(query="tea", filters=filters), Search(query="tea", documents=["b.md"])):
        hits = await searching.search(knowledge, version, narrowed, caller)
        assert [hit.place.document for hit in hits] == ["b.md"]


async def test_a_reranker_orders_the_hits(
    searching: KnowledgeSearch, knowledge: ProjectKnowledge, pool: FakePool
) -> None:
    search = Search(query="steep", reranker="bge", limit=1)
    hits = await searching.search(knowledge, knowledge.resolve("faq"), search, owner())
    # The fake reranker's score is the length of the text.
    assert [(hit.place.document, hit.score) for hit in hits] == [("b.md", len(hits[0].text))]
    assert [pair[0] for pair in pool.embedded[1].pairs] == ["steep", "steep"]


async def test_a_version_without_documents_finds_nothing_and_asks_no_model(
    searching: KnowledgeSearch, knowledge: ProjectKnowledge, pool: FakePool
) -> None:
    empty = remove_documents(knowledge, "faq", list(FILES))
    assert await searching.search(knowledge, empty, Search(query="tea"), owner()) == []
    assert pool.embedded == []


async def test_a_model_that_is_gone_is_named(
    searching: KnowledgeSearch, knowledge: ProjectKnowledge, services: Services
) -> None:
    services.registry.unlisted.clear()  # type: ignore[attr-defined]
    with pytest.raises(ModelNotFound, match=r"The vectors of faq@1 were made by minilm@1 .* isn't here any more"):
        await searching.search(knowledge, knowledge.resolve("faq"), Search(query="tea"), owner())


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"query": " \n"}, "The query is empty"),
        ({"query": "x" * 20_000}, "has 20,000 characters"),
        ({"query": "tea", "limit": 0}, "must be 1 to 100"),
        ({"query": "tea", "limit": 101}, "must be 1 to 100"),
        ({"query": "tea", "filters": {"type": "like"}}, "filter"),
    ],
)
async def test_searches_that_make_no_sense_are_refused(
    searching: KnowledgeSearch, knowledge: ProjectKnowledge, fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(BadRequest, match=message):
        await searching.search(knowledge, knowledge.resolve("faq"), Search(**fields), owner())
