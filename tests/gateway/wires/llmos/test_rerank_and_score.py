"""POST /v1/rerank and /v1/score: similarity, order and invalid requests."""

import struct
from typing import Any

import httpx
import pytest

from llmos.engine.messages import Embed, Embedded
from support.fake_backend import FakeModel

pytestmark = [pytest.mark.anyio, pytest.mark.shared_gateway]

DIRECTIONS = {
    "north": (0.0, 2.0),
    "north-east": (1.0, 1.0),
    "east": (3.0, 0.0),
    "south": (0.0, -1.0),
    "nowhere": (0, 0),
}
RERANK: dict[str, Any] = {"model": "minilm", "query": "north", "documents": ["east", "north-east", "south", "north"]}


@pytest.fixture
def model() -> FakeModel:
    """One whose vectors point where the texts say."""

    class Compass(FakeModel):
        async def embed_texts(self, request: Embed) -> Embedded:
            if request.pairs:
                return await super().embed_texts(request)
            self.embedded.append(request)
            vectors = b"".join(struct.pack("<ff", *DIRECTIONS[str(each)]) for each in request.inputs)
            return Embedded(id=request.id, vectors=vectors, size=2, num_tokens=10 * len(request.inputs))

    return Compass()


async def test_documents_are_ordered_by_cosine_similarity(http: httpx.AsyncClient, model: FakeModel) -> None:
    reply = (await http.post("/v1/rerank", json=RERANK)).json()
    assert [each["index"] for each in reply["results"]] == [3, 1, 0, 2]
    assert [each["relevance_score"] for each in reply["results"]] == pytest.approx([1, 2**-0.5, 0, -1])
    assert reply["model"] == "minilm@1"
    assert reply["usage"] == {"prompt_tokens": 50, "total_tokens": 50}
    assert [(each.role, each.input_names) for each in model.embedded] == [
        ("query", ["query"]),
        ("document", [f"documents[{i}]" for i in range(4)]),
    ]


async def test_top_n_and_return_documents(http: httpx.AsyncClient) -> None:
    asked = RERANK | {"top_n": 1, "return_documents": True, "documents": [{"text": "east"}, "north"]}
    reply = (await http.post("/v1/rerank", json=asked)).json()
    assert reply["results"] == [{"index": 1, "relevance_score": 1.0, "document": {"text": "north"}}]


async def test_one_text_is_compared_with_many_or_pairwise(http: httpx.AsyncClient) -> None:
    async def scores(first: Any, second: Any) -> list[float]:
        reply = (await http.post("/v1/score", json={"model": "minilm", "text_1": first, "text_2": second})).json()
        assert [each["index"] for each in reply["data"]] == list(range(len(reply["data"])))
        return [each["score"] for each in reply["data"]]

    assert await scores("north", "north") == [1.0]
    assert await scores("north", ["south", "east", "nowhere"]) == [-1.0, 0.0, 0.0]
    assert await scores(["north", "east"], ["south", "east"]) == [-1.0, 1.0]


@pytest.mark.parametrize(
    ("path", "fields", "param", "words"),
    [
        ("rerank", {"documents": []}, "documents", "empty"),
        ("rerank", {"documents": ["x"] * 2048}, "documents", "2,047"),
        ("rerank", {"documents": [{"title": "x"}]}, "documents[0].title", "no field"),
        ("rerank", {"documents": ["x", ""]}, "documents[1]", "empty text"),
        ("rerank", {"query": ""}, "query", "empty text"),
        ("score", {"text_1": ""}, "text_1", "empty text"),
        ("rerank", {"top_n": 0}, "top_n", ">= 1"),
        ("rerank", {"query": ["x"]}, "query", "expected string"),
        ("rerank", {"rank_fields": ["text"]}, "rank_fields", "one field"),
        ("score", {"text_1": ["north", "east"]}, "text_1", "as many"),
        ("score", {"text_2": []}, "text_2", "empty"),
        ("score", {"text_2": ["x"] * 2048}, "text_2", "2,048"),
        ("score", {"text_2": 5}, "text_2", "expected"),
        ("score", {"model": "smollm2"}, "model", "no vectors"),
    ],
)
async def test_invalid_fields_are_rejected_by_name(
    http: httpx.AsyncClient, model: FakeModel, path: str, fields: dict[str, Any], param: str, words: str
) -> None:
    asked = RERANK if path == "rerank" else {"model": "minilm", "text_1": "north", "text_2": ["x", "y", "z"]}
    reply = await http.post(f"/v1/{path}", json=asked | fields)
    assert reply.status_code == 400, reply.text
    assert reply.json()["error"]["param"] == param
    assert words in reply.json()["error"]["message"]
    assert model.embedded == []


# --- rerankers


async def test_a_reranker_gets_pairs_and_its_scores_are_passed_on(http: httpx.AsyncClient, model: FakeModel) -> None:
    asked = RERANK | {"model": "bge", "documents": ["north", "northern lights"], "instruction": "Find lights."}
    reply = (await http.post("/v1/rerank", json=asked)).json()
    assert [(each["index"], each["relevance_score"]) for each in reply["results"]] == [(1, 15.0), (0, 5.0)]
    [sent] = model.embedded
    assert sent.pairs == [("north", "north"), ("north", "northern lights")]
    assert sent.input_names == ["documents[0]", "documents[1]"]
    assert (sent.inputs, sent.instruction) == ([], "Find lights.")


async def test_a_reranker_scores_pairwise(http: httpx.AsyncClient, model: FakeModel) -> None:
    asked = {"model": "bge", "text_1": ["a", "b"], "text_2": ["c", "dd"]}
    reply = (await http.post("/v1/score", json=asked)).json()
    assert [each["score"] for each in reply["data"]] == [1.0, 2.0]
    assert [sent.pairs for sent in model.embedded] == [[("a", "c"), ("b", "dd")]]
    assert model.embedded[0].input_names == ["text_2[0]", "text_2[1]"]


async def test_many_pairs_go_in_chunks(http: httpx.AsyncClient, model: FakeModel) -> None:
    reply = (await http.post("/v1/rerank", json=RERANK | {"model": "bge", "documents": ["x"] * 150})).json()
    assert len(reply["results"]) == 150
    assert sorted(len(sent.pairs) for sent in model.embedded) == [22, 64, 64]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("embeddings", {"input": "north"}),
        ("chat/completions", {"messages": [{"role": "user", "content": "Hello"}]}),
        ("completions", {"prompt": "Hello"}),
    ],
)
async def test_a_reranker_does_nothing_else(http: httpx.AsyncClient, path: str, body: dict[str, Any]) -> None:
    reply = await http.post(f"/v1/{path}", json={"model": "bge", **body})
    assert reply.status_code == 400, reply.text
    assert reply.json()["error"]["param"] == "model"
