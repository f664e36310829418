"""Every route that runs a model crosses the one pipeline."""

import ast
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

import llmos.gateway
from llmos.gateway.calls import pipeline
from llmos.gateway.calls.answer import Answer
from llmos.gateway.calls.call import Call
from llmos.gateway.calls.embedding import EmbedCall, Embeddings
from llmos.gateway.services import Services
from support.scripted import FakePool

pytestmark = pytest.mark.anyio

NO_BODY = {
    "/v1/responses/{response_id}/cancel",
    "/v1/batches/{batch_id}/cancel",
    "/llmos/v1/deployments/{name}/sleep",
    "/llmos/v1/deployments/{name}/wake",
}
PACKAGE = Path(llmos.gateway.__file__).parent


@pytest.fixture
def crossings(monkeypatch: pytest.MonkeyPatch, pool: FakePool) -> list[str]:
    """The requests that reached the pool from inside answer() or embed(). One from outside fails the test."""
    inside: list[str] = []
    answer, embed, generate, vectors = pipeline.answer, pipeline.embed, pool.generate, pool.embed
    depth = 0

    @asynccontextmanager
    async def watched(services: Services, call: Call, tenant: str, **options: Any) -> AsyncIterator[Answer]:
        nonlocal depth
        depth += 1
        async with answer(services, call, tenant, **options) as running:
            yield running
        depth -= 1

    def generate_inside(version: str, files: Any, request: Any) -> Any:
        assert depth, "a model was run outside pipeline.answer"
        inside.append(request.id)
        return generate(version, files, request)

    async def watched_embed(services: Services, call: EmbedCall, tenant: str) -> Embeddings:
        nonlocal depth
        depth += 1
        embeddings = await embed(services, call, tenant)
        depth -= 1
        return embeddings

    async def embed_inside(version: str, files: Any, request: Any) -> Any:
        assert depth, "a model was run outside pipeline.embed"
        inside.append(request.id)
        return await vectors(version, files, request)

    monkeypatch.setattr(pipeline, "answer", watched)
    monkeypatch.setattr(pipeline, "embed", watched_embed)
    monkeypatch.setattr(pool, "generate", generate_inside)
    monkeypatch.setattr(pool, "embed", embed_inside)
    return inside


async def test_every_route_that_runs_a_model_crosses_the_pipeline(
    app: FastAPI, http: httpx.AsyncClient, pool: FakePool, crossings: list[str]
) -> None:
    runs_a_model = set()
    for path, operations in app.openapi()["paths"].items():
        for method, operation in operations.items():
            body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("example")
            if method == "post" and path == "/v1/files":
                continue  # It takes a form, and asks no model.
            if method == "put" and path == "/llmos/v1/blobs/{digest}":
                continue  # It takes bytes, and asks no model.
            has_body = (method in ("post", "put", "patch") and path not in NO_BODY) or path == "/api/delete"
            assert (body is not None) == has_body, f"{method} {path} needs an example"
            can_stream = len(operation["responses"].get("200", {}).get("content", {})) > 1
            for stream in (False, True):
                before = len(crossings)
                asked = {**body, "stream": stream} if body and can_stream else body
                named = path.replace("{model}", "dialogue").replace("{name}", "x").replace("{version}", "1")
                reply = await http.request(method, named, json=asked)
                # What manages models asks rooms that the fakes have not; whether it runs one shows all the same.
                is_managing = path.startswith("/llmos/v1/") and path != "/llmos/v1/generate"
                assert is_managing or reply.status_code in (200, 204, 404), (method, path, reply.text)
                if len(crossings) > before:
                    runs_a_model.add(path)
    assert runs_a_model == {
        "/v1/chat/completions",
        "/v1/completions",
        "/v1/responses",
        "/v1/embeddings",
        "/v1/rerank",
        "/v1/score",
        "/v1/messages",
        "/llmos/v1/generate",
        "/api/chat",
        "/api/generate",
        "/v2/models/{model}/infer",
        "/v2/models/{model}/versions/{version}/infer",
        "/v2/models/{model}/generate",
        "/v2/models/{model}/generate_stream",
        "/api/embed",
        "/api/embeddings",
    }
    assert sorted(request.id for request in [*pool.requests, *pool.embedded]) == sorted(crossings)


def test_no_file_but_the_pipeline_asks_the_pool_to_compute() -> None:
    callers = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and node.attr in ("generate", "embed", "count")
        if isinstance(node.value, ast.Attribute) and node.value.attr == "pool"
    }
    assert callers == {"calls/pipeline.py"}
