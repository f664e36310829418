"""Vectors for jobs: through the pipeline, in the background, with the rights of the job's key, as long as it takes."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from llmos.core.errors import (
    Conflict,
    NotFound,
    Overloaded,
    PermissionDenied,
    ReplicaFailed,
    Unauthenticated,
    Unavailable,
)
from llmos.core.jobs.jobs import Job
from llmos.engine.messages import Embed, Embedded
from llmos.gateway.calls.text_vectors import TextsToEmbed
from llmos.gateway.jobs.background_callers import BackgroundCallers
from llmos.gateway.jobs.job_embedding import MAX_FAILURES, JobEmbedding
from llmos.gateway.services import Services
from llmos.security.keys import NewKey
from support.looking import pause
from support.scripted import MINILM, FakePool

pytestmark = pytest.mark.anyio

TEXTS = TextsToEmbed(model="minilm@1", digest=MINILM.digest, texts=["a", "bcd"], role="document")


@pytest.fixture
def pauses() -> list[float]:
    return []


@pytest.fixture
def embedding(services: Services, pauses: list[float]) -> JobEmbedding:
    async def pause(seconds: float) -> None:
        pauses.append(seconds)

    return JobEmbedding(services.pipeline, BackgroundCallers(services.keys, services.users), pause=pause)


def job(actor: str | None = "owner", project: str = "owner", request: Mapping[str, Any] = {}) -> Job:
    return Job(
        number=1,
        id="job-1",
        project=project,
        kind="knowledge_sync",
        request=request,
        state="running",
        is_attached=False,
        progress=[],
        result=None,
        error=None,
        actor=actor,
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
        started_at=None,
        ended_at=None,
    )


async def test_texts_become_vectors_in_the_background_for_the_project(embedding: JobEmbedding, pool: FakePool) -> None:
    vectors = await embedding.embed(job(project="acme"), TEXTS)
    assert vectors.tolist() == [[1, 2], [3, 2]]
    [request] = pool.embedded
    assert (request.role, request.truncate_to, request.inputs) == ("document", 0, ["a", "bcd"])
    assert request.caller == "\nacme\n"  # Its account is that of background calls.


async def test_the_rights_of_the_key_hold_and_a_job_does_not_outlive_it(
    embedding: JobEmbedding, services: Services, pool: FakePool
) -> None:
    free, _ = services.keys.create(NewKey(role="developer"))
    viewer, _ = services.keys.create(NewKey(role="viewer"))
    bound, _ = services.keys.create(NewKey(routes=["dialogue"]))
    await embedding.embed(job(free.id), TEXTS)
    with pytest.raises(PermissionDenied, match="doesn't have the permission inference"):
        await embedding.embed(job(viewer.id), TEXTS)
    with pytest.raises(PermissionDenied, match="may not ask for 'minilm@1'"):
        await embedding.embed(job(bound.id), TEXTS)
    services.keys.revoke(free.id)
    with pytest.raises(Unauthenticated, match="was revoked"):
        await embedding.embed(job(free.id), TEXTS)
    with pytest.raises(NotFound):
        await embedding.embed(job(free.id, project="acme"), TEXTS)
    assert len(pool.embedded) == 1


async def test_a_key_for_the_name_of_the_model_may_embed_with_its_version(
    embedding: JobEmbedding, services: Services
) -> None:
    key, _ = services.keys.create(NewKey(routes=["minilm"]))
    assert len(await embedding.embed(job(key.id), TEXTS)) == 2


async def test_vectors_of_another_version_are_refused(embedding: JobEmbedding) -> None:
    other = TextsToEmbed(model="minilm@1", digest="sha256:other", texts=["a"], role="document")
    with pytest.raises(Conflict, match=r"minilm@1 answered for minilm@1, whose vectors are compared"):
        await embedding.embed(job(), other)


async def test_a_job_waits_while_limits_are_reached_and_the_model_cannot_answer(
    embedding: JobEmbedding, pool: FakePool, pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    errors: list[Exception] = [
        Overloaded("Full.", retry_after_seconds=7),
        Unavailable("Loading."),
        ReplicaFailed("Died."),
    ]
    real = pool.embed_texts

    async def embed(request: Embed) -> Embedded:
        if errors:
            raise errors.pop(0)
        return await real(request)

    monkeypatch.setattr(pool, "embed_texts", embed)
    assert len(await embedding.embed(job(), TEXTS)) == 2
    assert pauses == [7, 1, 1]


async def test_a_model_that_keeps_dying_fails_the_job(embedding: JobEmbedding, pool: FakePool) -> None:
    pool.embed_error = ReplicaFailed("Died.")
    with pytest.raises(ReplicaFailed):
        await embedding.embed(job(), TEXTS)
    assert len(pool.embedded) == MAX_FAILURES


async def test_several_calls_run_at_once(embedding: JobEmbedding, pool: FakePool) -> None:
    pool.gate = asyncio.Event()
    calls = [asyncio.create_task(embedding.embed(job(), TEXTS)) for _ in range(3)]
    while len(pool.embedded) < 3:
        await pause()
    pool.gate.set()
    assert [len(vectors) for vectors in await asyncio.gather(*calls)] == [2, 2, 2]
