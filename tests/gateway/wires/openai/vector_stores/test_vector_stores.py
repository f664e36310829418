"""/v1/vector_stores with the official client: objects, lists, searches and refusals. The job is done by the test."""

import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from llmos.core.schemas.knowledge_eval import KnowledgeEvalDescription
from llmos.data.knowledge.adding import sync_documents
from llmos.data.knowledge.evaluations import keep_report
from llmos.data.knowledge.sources import SourceDocument
from llmos.data.vector_stores.syncing import sync_files
from llmos.engine.messages import Embed, Embedded, ToolCallDelta
from llmos.gateway.services import Services
from support.fake_backend import FakeModel
from support.knowledge_fixtures import FakeEmbedder, vector_of
from support.scripted import KEY, MINILM
from support.thinking_answer import delta

pytestmark = [pytest.mark.anyio, pytest.mark.process]

PATH = "/v1/vector_stores"
HOURS = "# Opening hours\n\nThe shop is open from nine to five. On Sundays it is closed.\n"
GUARANTEE = "# Guarantee\n\nThe guarantee covers material and workmanship for 24 months.\n"


class Embedder(FakeEmbedder):
    """The one of the version that the scripted backend answers for."""

    digest = MINILM.digest  # type: ignore[assignment]


@pytest.fixture
def model() -> FakeModel:
    class Words(FakeModel):
        async def embed_texts(self, request: Embed) -> Embedded:
            vectors = [vector_of(str(each)) for each in request.inputs]
            packed = b"".join(struct.pack(f"<{len(each)}f", *each) for each in vectors)
            return Embedded(id=request.id, vectors=packed, size=len(vectors[0]), num_tokens=len(vectors))

    return Words()


@pytest.fixture
def client(served: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{served}/v1", api_key=KEY, max_retries=0) as client:
        yield client


@pytest.fixture
def sync(services: Services, tmp_path: Path) -> Callable[[str], None]:
    """Return a function that does what the job does."""

    def sync(id: str) -> None:
        stores = services.data.vector_stores
        knowledge = services.data.knowledge.of("owner")
        embedder = Embedder(ref=MINILM.ref)
        sync_files(
            stores, stores.get("owner", id), services.data.files, knowledge, lambda ref: embedder, tmp_path / "copies"
        )

    return sync


@pytest.fixture(autouse=True)
def no_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs are queued, and nobody begins them."""

    async def wait(self: object) -> None: ...

    monkeypatch.setattr("llmos.gateway.jobs.job_runner.JobRunner.run", wait)


def upload(client: openai.OpenAI, name: str, text: str, purpose: Any = "assistants") -> str:
    return client.files.create(file=(name, text.encode()), purpose=purpose).id


@pytest.fixture
def store(client: openai.OpenAI, sync: Callable[[str], None]) -> Any:
    """A vector store with two files."""
    ids = [upload(client, "hours.md", HOURS), upload(client, "guarantee.md", GUARANTEE, "user_data")]
    store = client.vector_stores.create(name="FAQ")
    files: Any = [{"file_id": ids[0], "attributes": {"city": "Berlin"}}, {"file_id": ids[1]}]
    client.vector_stores.file_batches.create(store.id, files=files)
    sync(store.id)
    return client.vector_stores.retrieve(store.id)


def test_a_vector_store_is_made_with_files_changed_and_deleted(
    client: openai.OpenAI, sync: Callable[[str], None]
) -> None:
    file = upload(client, "hours.md", HOURS)
    made = client.vector_stores.create(
        name="FAQ",
        file_ids=[file],
        metadata={"team": "shop"},
        expires_after={"anchor": "last_active_at", "days": 7},
        chunking_strategy={"type": "static", "static": {"max_chunk_size_tokens": 100, "chunk_overlap_tokens": 20}},
    )
    assert (made.object, made.name, made.status, made.metadata) == (
        "vector_store", "FAQ", "in_progress", {"team": "shop"},
    )  # fmt: skip
    assert (made.file_counts.in_progress, made.file_counts.total) == (1, 1)
    assert made.expires_at is not None
    assert made.expires_at - (made.last_active_at or 0) == 7 * 86400
    sync(made.id)
    assert client.vector_stores.retrieve(made.id).status == "completed"
    in_store = client.vector_stores.files.retrieve(file, vector_store_id=made.id)
    assert in_store.chunking_strategy is not None
    assert in_store.chunking_strategy.to_dict() == {
        "type": "static", "static": {"max_chunk_size_tokens": 100, "chunk_overlap_tokens": 20},
    }  # fmt: skip
    changed = client.vector_stores.update(made.id, name="Help", metadata={})
    assert (changed.name, changed.metadata) == ("Help", {})
    assert client.vector_stores.delete(made.id).deleted
    with pytest.raises(openai.NotFoundError, match="There is no vector store"):
        client.vector_stores.retrieve(made.id)
    assert client.files.retrieve(file).id == file


def test_the_files_of_a_vector_store(client: openai.OpenAI, store: Any) -> None:
    guarantee, hours = client.vector_stores.files.list(store.id)
    assert (hours.object, hours.status, hours.attributes, hours.last_error) == (
        "vector_store.file", "completed", {"city": "Berlin"}, None,
    )  # fmt: skip
    assert hours.usage_bytes > 0
    assert store.usage_bytes == hours.usage_bytes + guarantee.usage_bytes
    page = client.vector_stores.files.content(hours.id, vector_store_id=store.id)
    assert [part.text for part in page] == [HOURS.strip()]
    assert client.vector_stores.files.delete(hours.id, vector_store_id=store.id).deleted
    assert [each.id for each in client.vector_stores.files.list(store.id)] == [guarantee.id]
    with pytest.raises(openai.NotFoundError, match="has no file"):
        client.vector_stores.files.retrieve(hours.id, vector_store_id=store.id)


def test_lists_have_pages_that_the_client_follows(client: openai.OpenAI, store: Any) -> None:
    others = [client.vector_stores.create(name=str(number)).id for number in range(4)]
    assert [each.id for each in client.vector_stores.list(limit=2)] == [*others[::-1], store.id]
    assert [each.id for each in client.vector_stores.list(limit=2, order="asc", after=others[1])] == others[2:]
    first = client.vector_stores.list(limit=2, order="asc")
    assert first.has_more
    assert [each.id for each in client.vector_stores.list(before=others[0], order="asc").data] == [store.id]
    assert len(list(client.vector_stores.files.list(store.id, limit=1))) == 2
    assert list(client.vector_stores.files.list(store.id, filter="failed")) == []


def test_a_batch_is_read_cancelled_and_listed(client: openai.OpenAI, store: Any, sync: Callable[[str], None]) -> None:
    batches = client.vector_stores.file_batches
    late = upload(client, "late.md", "Late.")
    batch = batches.create(store.id, file_ids=[late], attributes={"late": True})
    assert (batch.object, batch.status, batch.vector_store_id) == ("vector_store.files_batch", "in_progress", store.id)
    (file,) = batches.list_files(batch.id, vector_store_id=store.id)
    assert (file.id, file.attributes) == (late, {"late": True})
    assert batches.cancel(batch.id, vector_store_id=store.id).status == "cancelled"
    sync(store.id)
    assert batches.retrieve(batch.id, vector_store_id=store.id).file_counts.cancelled == 1


def test_a_search_finds_passages_with_file_score_and_attributes(client: openai.OpenAI, store: Any) -> None:
    found = client.vector_stores.search(store.id, query="closed on sundays").data
    assert found[0].filename == "hours.md"
    assert found[0].attributes == {"city": "Berlin"}
    assert "On Sundays it is closed." in found[0].content[0].text
    assert all(0 <= each.score <= 1 for each in found)
    berlin: Any = {"type": "eq", "key": "city", "value": "Berlin"}
    assert {each.filename for each in client.vector_stores.search(store.id, query="months", filters=berlin)} == {
        "hours.md"
    }
    assert len(client.vector_stores.search(store.id, query="months", max_num_results=1).data) == 1
    strict: Any = {"score_threshold": 0.999, "ranker": "none"}
    assert client.vector_stores.search(store.id, query="sundays", ranking_options=strict).data == []


def test_several_questions_are_answered_together(client: openai.OpenAI, store: Any) -> None:
    found = client.vector_stores.search(store.id, query=["closed on sundays", "guarantee months"], max_num_results=2)
    assert {each.filename for each in found} == {"hours.md", "guarantee.md"}
    assert found.to_dict()["search_query"] == ["closed on sundays", "guarantee months"]


def test_a_passage_that_several_questions_find_is_there_once_with_its_best_score(
    client: openai.OpenAI, store: Any
) -> None:
    best = client.vector_stores.search(store.id, query="closed on sundays").data[0]
    found = client.vector_stores.search(store.id, query=["months", "closed on sundays"]).data
    texts = [each.content[0].text for each in found]
    assert len(set(texts)) == len(texts)
    assert found[texts.index(best.content[0].text)].score == pytest.approx(best.score)


def test_a_removed_file_is_not_found_from_then_on(client: openai.OpenAI, store: Any) -> None:
    (_, hours) = client.vector_stores.files.list(store.id)
    client.files.delete(hours.id)
    found = client.vector_stores.search(store.id, query="closed on sundays").data
    assert {each.filename for each in found} == {"guarantee.md"}


def test_an_empty_vector_store_finds_nothing(client: openai.OpenAI) -> None:
    store = client.vector_stores.create()
    assert client.vector_stores.search(store.id, query="anything").data == []


async def test_what_has_no_effect_is_named(http: httpx.AsyncClient, store: Any) -> None:
    reply = await http.post(f"{PATH}/{store.id}/search", json={"query": "sunday", "rewrite_query": True})
    assert reply.status_code == 200
    assert "rewrite_query" in reply.headers["llmos-ignored"]


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        ("", {"chunking_strategy": {"type": "static", "static": {"max_chunk_size_tokens": 100,
          "chunk_overlap_tokens": 51}}}, "may be half of"),
        ("", {"chunking_strategy": {"type": "semantic"}}, "chunking_strategy"),
        ("", {"expires_after": {"anchor": "created_at", "days": 1}}, "expires_after.anchor"),
        ("/{id}/search", {}, "`query` is missing"),
        ("/{id}/search", {"query": " "}, "query is empty"),
        ("/{id}/search", {"query": "x", "filters": {"type": "like", "key": "a", "value": "b"}}, "filters"),
        ("/{id}/search", {"query": "x", "max_num_results": 51}, "max_num_results"),
        ("/{id}/files", {"file_id": "file-1", "chunking_strategy": {"type": "static", "static": {}}}, "cut alike"),
        ("/{id}/file_batches", {}, "either `file_ids` or `files`"),
        ("/{id}/file_batches", {"file_ids": ["a"], "files": [{"file_id": "a"}]}, "either `file_ids` or `files`"),
    ],
)  # fmt: skip
async def test_a_wrong_request_is_answered_with_what_to_do(
    http: httpx.AsyncClient, store: Any, path: str, body: dict[str, Any], said: str
) -> None:
    reply = await http.post(PATH + path.format(id=store.id), json=body)
    assert reply.status_code == 400
    assert said in reply.json()["error"]["message"]


def test_a_file_of_a_batch_of_requests_is_no_document(client: openai.OpenAI, store: Any) -> None:
    requests = upload(client, "requests.jsonl", "{}", "batch")
    with pytest.raises(openai.BadRequestError, match="has the purpose `batch`"):
        client.vector_stores.files.create(store.id, file_id=requests)
    with pytest.raises(openai.NotFoundError, match="There is no file"):
        client.vector_stores.create(file_ids=["file-unknown"])
    assert len(client.vector_stores.list().data) == 1  # nothing remains of the second attempt


def search_by_model(client: openai.OpenAI, model: FakeModel, id: str, question: str) -> Any:
    """Have the model call file_search, and return what was found."""
    call = ToolCallDelta(0, "call_1", "file_search", '{"query": "shop"}')
    model.enqueue(delta(tool_calls=[call], num_output_tokens=1), delta(finish_reason="tool_calls", num_output_tokens=2))
    tool: Any = {"type": "file_search", "vector_store_ids": [id]}
    include: Any = ["file_search_call.results"]
    return client.responses.create(model="dialogue", input=question, tools=[tool], include=include).output[0]


def test_file_search_finds_the_files(client: openai.OpenAI, store: Any, model: FakeModel) -> None:
    search = search_by_model(client, model, store.id, "When is it closed?")
    assert search.queries == ["When is it closed?", "shop"]
    assert search.results[0].filename == "hours.md"
    assert search.results[0].file_id.startswith("file-")
    assert search.results[0].attributes == {"city": "Berlin"}


def test_file_search_finds_the_documents_of_knowledge_by_its_name(
    client: openai.OpenAI, model: FakeModel, services: Services, tmp_path: Path
) -> None:
    (tmp_path / "hours.md").write_text(HOURS)
    source = SourceDocument(name="hours.md", path=tmp_path / "hours.md")
    sync_documents(services.data.knowledge.of("owner"), "faq", [source], lambda ref: Embedder(ref=MINILM.ref))
    for id in ("faq", "faq@1"):
        (result, *_) = search_by_model(client, model, id, "When is it closed?").results
        assert (result.file_id, result.filename) == ("hours.md", "hours.md")
        assert {each.filename for each in client.vector_stores.search(id, query="closed")} == {"hours.md"}


def test_scores_are_cosines_also_where_knowledge_is_searched_by_words(
    client: openai.OpenAI, services: Services, tmp_path: Path
) -> None:
    (tmp_path / "hours.md").write_text(HOURS)
    source = SourceDocument(name="hours.md", path=tmp_path / "hours.md")
    knowledge = services.data.knowledge.of("owner")
    version = sync_documents(knowledge, "faq", [source], lambda ref: Embedder(ref=MINILM.ref))
    keep_report(knowledge, version, KnowledgeEvalDescription(mode="text"))
    assert all(each.score > 0 for each in client.vector_stores.search("faq", query="closed"))


@pytest.mark.parametrize(("id", "said"), [("vs_1", "no vector store 'vs_1'"), ("faq", "and no knowledge 'faq'")])
def test_file_search_in_what_is_not_there_fails_before_the_model_is_asked(
    client: openai.OpenAI, model: FakeModel, id: str, said: str
) -> None:
    with pytest.raises(openai.NotFoundError, match=said):
        search_by_model(client, model, id, "x")
    assert model.requests == []


def test_a_job_that_was_cancelled_fails_its_files(client: openai.OpenAI, services: Services) -> None:
    store = client.vector_stores.create(file_ids=[upload(client, "a.md", HOURS)])
    (job,) = services.jobs.live()
    assert job.request["vector_store"] == store.id
    services.jobs.cancel(job.id)
    (file,) = client.vector_stores.files.list(store.id)
    assert file.status == "failed"
    assert file.last_error is not None
    assert job.id in file.last_error.message


def test_changes_that_wait_share_one_job(client: openai.OpenAI, services: Services) -> None:
    store = client.vector_stores.create()
    for number in range(3):
        client.vector_stores.files.create(store.id, file_id=upload(client, f"{number}.md", HOURS))
    assert len(services.jobs.live()) == 1
