"""Every endpoint that runs a model goes through the pipeline."""

import ast
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from fastapi import FastAPI

import llmos.gateway
from llmos import AsyncClient
from llmos.core.errors import BadRequest, PromptTooLong, ReplicaFailed
from llmos.engine.messages import Delta
from llmos.gateway.app import create_app
from llmos.gateway.calls.answer import Answer
from llmos.gateway.calls.call import Call, ModelCall
from llmos.gateway.calls.record import Record, Recorder, Sink
from llmos.gateway.calls.stages import Stages
from llmos.gateway.services import Services
from llmos.security.callers import owner
from support.gateway_knowledge import make_faq
from support.pipelines import with_parts
from support.scripted import KEY, Connection, FakePool, FakeStatus

pytestmark = pytest.mark.anyio

PACKAGE = Path(llmos.gateway.__file__).parent


@pytest.fixture
def crossings(monkeypatch: pytest.MonkeyPatch, services: Services, pool: FakePool) -> list[str]:
    """The calls that reached the pool from inside the pipeline: ids of requests, and `ensure` and `stop`.

    Anything from outside fails the test.
    """
    inside: list[str] = []
    depth = 0
    pipeline = services.pipeline

    def watch_method(name: str) -> None:
        method = getattr(pipeline, name)

        async def watched(*args: Any, **options: Any) -> Any:
            nonlocal depth
            depth += 1
            try:
                return await method(*args, **options)
            finally:
                depth -= 1

        monkeypatch.setattr(pipeline, name, watched)

    generate = pipeline.generate

    @asynccontextmanager
    async def watched_generate(call: Call, **options: Any) -> AsyncIterator[Answer]:
        nonlocal depth
        depth += 1
        try:
            async with generate(call, **options) as answer:
                yield answer
        finally:
            depth -= 1

    def watch_pool(name: str) -> None:
        method = getattr(pool, name)

        def watched(version: str, *args: Any, **options: Any) -> Any:
            assert depth, f"pool.{name} was called outside the pipeline"
            inside.append(args[-1].id if name in ("generate", "embed", "rate", "count", "tokenize") else name)
            return method(version, *args, **options)

        monkeypatch.setattr(pool, name, watched)

    monkeypatch.setattr(pipeline, "generate", watched_generate)
    for name in ("embed", "rate", "count", "tokenize", "load", "unload", "stop"):
        watch_method(name)
    for name in ("generate", "embed", "rate", "count", "tokenize", "ensure", "stop"):
        watch_pool(name)
    return inside


@pytest.mark.process
async def test_every_route_that_runs_a_model_crosses_the_pipeline(
    app: FastAPI, http: httpx.AsyncClient, pool: FakePool, crossings: list[str]
) -> None:
    runs_a_model: set[str] = set()
    loads_a_model: set[str] = set()
    for path, operations in app.openapi()["paths"].items():
        for method, operation in operations.items():
            content = operation.get("requestBody", {}).get("content", {})
            if content and "application/json" not in content:
                continue  # It takes a form or bytes, and asks no model.
            if (method, path) == ("post", "/llmos/v1/evals"):
                continue  # Its calls come while later paths are asked; see the test below.
            body = content["application/json"].get("example") if content else None
            assert not content or body is not None, f"{method} {path} needs an example"
            may_stream = len(operation["responses"].get("200", {}).get("content", {})) > 1
            can_stream = may_stream and not path.endswith("/generate_stream")  # which streams without being asked
            for stream in (False, True):
                before = len(crossings)
                asked = {**body, "stream": stream} if body and can_stream else body
                named = path.replace("{model}", "dialogue").replace("{version}", "1")
                named = named.replace("{name}", "x").replace("{vector_store_id}", "x")
                challenge = {"llmos-challenge": "0" * 32}  # of /health/identity
                reply = await http.request(method, named, json=asked, headers=challenge)
                # Endpoints that manage models need services that the fakes lack; the test still shows whether they run
                # one.
                is_managing = path.startswith("/llmos/v1/") and path not in (
                    "/llmos/v1/generate",
                    "/llmos/v1/likelihood",
                )
                assert is_managing or reply.status_code in (200, 204, 404), (method, path, reply.text)
                new = crossings[before:]
                runs_a_model |= {path} if any(each not in ("ensure", "stop") for each in new) else set()
                loads_a_model |= {path} if new == ["ensure"] else set()
    assert loads_a_model == set(), "without a prompt, see the tests of Ollama's format"
    assert runs_a_model == {
        "/v1/chat/completions",
        "/v1/completions",
        "/v1/responses",
        "/v1/responses/compact",
        "/v1/tokenize",
        "/v1/detokenize",
        "/tokenize",
        "/detokenize",
        "/v1/responses/input_tokens",
        "/v1/embeddings",
        "/v1/rerank",
        "/v1/score",
        "/v1/messages",
        "/v1/messages/count_tokens",
        "/llmos/v1/generate",
        "/llmos/v1/likelihood",
        "/api/chat",
        "/api/generate",
        "/v2/models/{model}/infer",
        "/v2/models/{model}/versions/{version}/infer",
        "/v2/models/{model}/generate",
        "/v2/models/{model}/generate_stream",
        "/api/embed",
        "/api/embeddings",
    }
    requests = [*pool.requests, *pool.embedded, *pool.rated, *pool.counted, *pool.tokenized]
    assert sorted(request.id for request in requests) == sorted(set(crossings) - {"ensure", "stop"})


async def test_the_cases_of_an_eval_cross_the_pipeline(
    app: FastAPI, http: httpx.AsyncClient, crossings: list[str]
) -> None:
    async with AsyncClient("http://127.0.0.1:9", api_key=KEY, transport=httpx.ASGITransport(app)) as client:
        cases = [{"id": "a", "input": "Hi", "expect": {"contains": "hello"}}]
        assert (await client.evals.run({"name": "greetings", "cases": cases}, models=["dialogue"])).num_done == 1
    assert len([each for each in crossings if each not in ("ensure", "stop")]) == 1


@pytest.mark.process
async def test_a_search_of_knowledge_crosses_the_pipeline(
    http: httpx.AsyncClient, services: Services, crossings: list[str], tmp_path: Path
) -> None:
    make_faq(services, tmp_path)
    for search, num_calls in (({"query": "tea"}, 1), ({"query": "tea", "reranker": "bge"}, 2)):
        before = len(crossings)
        reply = await http.post("/llmos/v1/knowledge/faq/search", json=search)
        assert reply.status_code == 200, reply.text
        assert len([each for each in crossings[before:] if each not in ("ensure", "stop")]) == num_calls


@pytest.mark.parametrize(
    ("method", "path", "body", "expected"),
    [
        ("POST", "/api/chat", {"model": "dialogue"}, ["ensure"]),
        ("POST", "/api/generate", {"model": "dialogue"}, ["ensure"]),
        ("POST", "/api/generate", {"model": "dialogue", "keep_alive": 0}, ["stop"]),
        ("DELETE", "/llmos/v1/deployments/smollm2@1", None, ["stop"]),
        ("POST", "/llmos/v1/deployments/smollm2@1/sleep", None, ["stop"]),
    ],
)
async def test_loading_and_unloading_go_through_the_pipeline(
    http: httpx.AsyncClient,
    pool: FakePool,
    crossings: list[str],
    method: str,
    path: str,
    body: Any,
    expected: list[str],
) -> None:
    pool.replicas.append(FakeStatus("smollm2@1"))
    reply = await http.request(method, path, json=body)
    assert reply.status_code in (200, 204), reply.text
    assert crossings == expected


def test_no_file_but_the_backend_asks_the_pool_to_compute_load_or_stop() -> None:
    callers = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and node.attr in ("generate", "embed", "rate", "count", "ensure", "stop")
        if (isinstance(node.value, ast.Attribute) and node.value.attr == "pool")
        or (isinstance(node.value, ast.Name) and node.value.id == "pool")
    }
    assert callers == set()


# --- stages


class Journal:
    """Stages that write down when they run."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.records: list[Record] = []

    @asynccontextmanager
    async def hold(self, call: Any, record: Record) -> AsyncIterator[Any]:
        self.lines.append("held")
        try:
            yield call
        finally:
            self.lines.append("settled")
            self.records.append(record)

    async def check(self, call: Any, record: Record) -> Any:
        self.lines.append("checked")
        return call

    async def filter(self, deltas: AsyncIterator[Delta], record: Record) -> AsyncGenerator[Delta, None]:
        self.lines.append("filter began")
        try:
            async for delta in deltas:
                yield delta
        finally:
            self.lines.append("filter ended")


@pytest.fixture
def journal() -> Journal:
    return Journal()


@pytest.fixture
async def staged(services: Services, journal: Journal) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a server whose pipeline has one stage of each kind."""
    stages = Stages(holds=(journal.hold,), checks=(journal.check,), filters=(journal.filter,))
    app = create_app(with_parts(services, stages=stages))
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    headers = {"Authorization": f"Bearer {KEY}"}
    async with httpx.AsyncClient(transport=transport, base_url="http://llmos", headers=headers) as client:
        yield client


CHAT = {"model": "dialogue", "messages": [{"role": "user", "content": "Hello"}]}


@pytest.mark.parametrize("stream", [False, True])
async def test_stages_run_in_order_and_settle_in_reverse(
    staged: httpx.AsyncClient, journal: Journal, stream: bool
) -> None:
    reply = await staged.post("/v1/chat/completions", json=CHAT | {"stream": stream})
    assert reply.status_code == 200
    assert journal.lines == ["held", "checked", "filter began", "filter ended", "settled"]
    [record] = journal.records
    assert (record.operation, record.model, record.route, record.caller) == (
        "generate",
        "dialogue",
        "dialogue",
        owner(),
    )
    [attempt] = record.attempts
    assert (attempt.version, attempt.num_prompt_tokens, attempt.num_completion_tokens) == ("smollm2@1", 5, 3)
    assert (attempt.outcome, record.outcome) == ("answered", "answered")


async def test_a_hold_settles_however_the_call_ends(
    staged: httpx.AsyncClient, journal: Journal, pool: FakePool
) -> None:
    pool.enqueue(PromptTooLong("too long"))
    assert (await staged.post("/v1/chat/completions", json=CHAT)).status_code == 400
    pool.enqueue("Hel", ReplicaFailed("It died."))
    assert (await staged.post("/v1/chat/completions", json=CHAT)).status_code == 502
    assert (await staged.post("/v1/chat/completions", json=CHAT | {"model": "minilm"})).status_code == 400
    outcomes = [(record.attempts[-1].outcome, record.attempts[-1].error_code) for record in journal.records]
    assert outcomes == [
        ("refused", "context_length_exceeded"),
        ("failed", "replica_failed"),
        ("refused", "invalid_request"),
    ]
    assert journal.lines.count("held") == journal.lines.count("settled") == 3


async def test_a_hold_settles_when_the_caller_hangs_up(services: Services, journal: Journal, pool: FakePool) -> None:
    app = create_app(with_parts(services, stages=Stages(holds=(journal.hold,), filters=(journal.filter,))))
    pool.enqueue("Hel", pool.never)
    caller = Connection(app, "/v1/chat/completions", CHAT | {"stream": True})
    running = caller.start()
    await caller.first_chunk()
    caller.hang_up()
    await running
    assert journal.lines == ["held", "filter began", "filter ended", "settled"]
    [record] = journal.records
    assert (record.attempts[0].outcome, record.attempts[0].num_completion_tokens) == ("cancelled", 1)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/embeddings", {"model": "minilm", "input": "A river."}),
        ("/v1/responses/input_tokens", {"model": "dialogue", "input": "A river."}),
    ],
)
async def test_embeddings_and_token_counts_pass_the_same_holds_and_checks(
    staged: httpx.AsyncClient, journal: Journal, path: str, body: dict[str, Any]
) -> None:
    assert (await staged.post(path, json=body)).status_code == 200
    assert journal.lines == ["held", "checked", "settled"]


async def test_a_check_refuses_a_call_before_any_work(services: Services, pool: FakePool) -> None:
    async def refuse(call: Any, record: Record) -> Any:
        raise BadRequest("Not that.")

    app = create_app(with_parts(services, stages=Stages(checks=(refuse,))))
    reply = Connection(app, "/v1/chat/completions", CHAT)
    await reply.start()
    assert "Not that." in reply.text
    assert pool.requests == []


async def test_a_hold_can_lower_max_tokens(services: Services, pool: FakePool) -> None:
    @asynccontextmanager
    async def budget(call: Any, record: Record) -> AsyncIterator[Any]:
        params = msgspec.structs.replace(call.sampling.params, max_tokens=3)
        yield replace(call, sampling=replace(call.sampling, params=params))

    app = create_app(with_parts(services, stages=Stages(holds=(budget,))))
    await Connection(app, "/v1/chat/completions", CHAT | {"max_tokens": 50}).start()
    assert pool.requests[0].sampling.max_tokens == 3


async def test_a_filter_changes_what_the_caller_sees(services: Services) -> None:
    async def shout(deltas: AsyncIterator[Delta], record: Record) -> AsyncGenerator[Delta, None]:
        async for delta in deltas:
            yield msgspec.structs.replace(delta, text=delta.text.upper())

    app = create_app(with_parts(services, stages=Stages(filters=(shout,))))
    caller = Connection(app, "/v1/chat/completions", CHAT)
    await caller.start()
    assert '"HELLO"' in caller.text


async def test_a_sink_that_fails_fails_no_call(services: Services, caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Sink):
        def on_closed(self, record: Record) -> None:
            raise RuntimeError("The disk is full.")

    with Recorder([Broken()]).open(ModelCall(model="m", caller=owner()), "generate") as record:
        pass
    assert record.outcome == "answered"
    assert "Broken could not take a record" in caplog.text
