"""Embeddings through the official client."""

import ollama
import pytest

from support.scripted import MINILM, FakePool, FakeRegistry

pytestmark = pytest.mark.shared_gateway


def test_texts_become_vectors(client: ollama.Client, pool: FakePool, registry: FakeRegistry) -> None:
    registry.versions.append(MINILM)
    several = client.embed("minilm:latest", ["river", "sea"], truncate=True, dimensions=2, options={"num_ctx": 256})
    assert [list(vector) for vector in several.embeddings] == [[5.0, 2.0], [3.0, 2.0]]
    assert (several.model, several.prompt_eval_count) == ("minilm@1", 8)
    assert several.total_duration is not None
    assert several.load_duration is not None
    assert 0 < several.load_duration <= several.total_duration
    assert list(client.embeddings("minilm", "river").embedding) == [5.0, 1.0]
    asked, older = pool.embedded
    assert (asked.truncate_to, asked.dimensions) == (0, 2)
    assert older.truncate_to is None
    assert [replica.state for replica in pool.replicas] == ["ready"]
    client.embed("minilm", "river", keep_alive=0)
    assert [replica.state for replica in pool.replicas] == ["stopped"]


def test_embedding_needs_an_encoder_and_texts(client: ollama.Client, registry: FakeRegistry) -> None:
    registry.versions.append(MINILM)
    with pytest.raises(ollama.ResponseError, match="makes no vectors"):
        client.embed("dialogue", "river")
    with pytest.raises(ollama.ResponseError, match="`input` is empty"):
        client.embed("minilm", [])
    with pytest.raises(ollama.ResponseError, match="10,000 inputs"):
        client.embed("minilm", ["river"] * 10_000)
