"""The count of each kind of call in the ledger: one test for each row of the table in docs/billing.md."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from llmos.billing.ledger import Stored
from llmos.billing.ledger_writer import LedgerWriter
from llmos.core.errors import PromptTooLong, ReplicaFailed
from llmos.deployments.routing.route import Shadow
from llmos.deployments.served_model import ServedModel
from llmos.engine.messages import Delta
from llmos.gateway.app import create_app
from llmos.gateway.calls.ledger_stages import LedgerStages, entries_of
from llmos.gateway.calls.record import Attempt, Record
from llmos.gateway.calls.response_cache import ResponseCache
from llmos.gateway.calls.stages import Stages
from llmos.gateway.jobs.background_callers import BackgroundCallers
from llmos.gateway.jobs.background_calls import BackgroundCall, BackgroundCalls
from llmos.gateway.jobs.batch_runner import BatchRunner
from llmos.gateway.services import Services
from llmos.security.callers import owner
from support.fake_backend import Reached
from support.looking import pause
from support.metered_calls import CHAT, PATH, WIRES, deny, entries, tokens
from support.pipelines import with_parts
from support.scripted import KEY, Connection, FakePool, FakeVersion, fake_route

pytestmark = pytest.mark.anyio

AT = datetime(2026, 9, 21, tzinfo=UTC)


@pytest.mark.parametrize("wire", WIRES)
async def test_a_call_is_one_entry_on_every_wire_plain_and_streamed(
    wire: str, http: httpx.AsyncClient, services: Services
) -> None:
    path, body = WIRES[wire]
    reply = await http.post(path, json=body)
    assert reply.status_code == 200, reply.text
    (row,) = entries(services)
    assert (row.outcome, row.num_calls, tokens(row)) == ("answered", 1, (5, 0, 3))
    assert (row.project, row.key_id, row.model, row.route, row.version) == (
        "owner", "owner", "dialogue", "dialogue", "smollm2@1",
    )  # fmt: skip
    assert (row.request_id, row.operation, row.is_background) == (reply.headers["x-request-id"], "generate", False)
    assert reply.headers["x-llmos-receipt"] == f"/llmos/v1/answers/{row.call_id}/receipt"


async def test_several_choices_count_the_prompt_once_and_all_their_tokens(
    http: httpx.AsyncClient, services: Services
) -> None:
    await http.post(PATH, json=CHAT | {"n": 3})
    (row,) = entries(services)
    assert (row.num_calls, tokens(row)) == (1, (5, 0, 9))


async def test_several_prompts_are_one_call(http: httpx.AsyncClient, services: Services) -> None:
    await http.post("/v1/completions", json={"model": "dialogue", "prompt": ["One", "Two"]})
    (row,) = entries(services)
    assert (row.num_calls, tokens(row)) == (1, (10, 0, 6))


async def test_tools_count_as_the_tokens_of_the_prompt_and_the_answer(
    http: httpx.AsyncClient, services: Services
) -> None:
    tool = {"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}
    await http.post(PATH, json=CHAT | {"tools": [tool]})
    (row,) = entries(services)
    assert tokens(row) == (5, 0, 3)


async def test_vectors_count_their_own_tokens(http: httpx.AsyncClient, services: Services) -> None:
    await http.post("/v1/embeddings", json={"model": "minilm", "input": ["12345", "123"]})
    (row,) = entries(services)
    assert (row.operation, row.embedding_tokens, tokens(row)) == ("embed", 8, (0, 0, 0))


async def test_scored_texts_count_their_own_tokens(http: httpx.AsyncClient, services: Services, pool: FakePool) -> None:
    pool.num_cached_tokens = 2
    body = {"model": "dialogue", "prompt": "hello", "continuations": ["abc"]}
    reply = await http.post("/llmos/v1/likelihood", json=body)
    assert reply.status_code == 200, reply.text
    (row,) = entries(services)
    assert (row.operation, row.rated_tokens, row.cached_input_tokens) == ("rate", 6, 2)


async def test_counting_tokens_costs_nothing(http: httpx.AsyncClient, services: Services) -> None:
    reply = await http.post("/v1/messages/count_tokens", json=CHAT)
    assert reply.status_code == 200, reply.text
    assert entries(services) == []


async def test_an_answer_out_of_the_response_cache_is_a_call_without_tokens(services: Services) -> None:
    routes: Any = services.routes
    routes.routes["dialogue"] = replace(routes.routes["dialogue"], cache=True)
    metering = LedgerStages(services.billing.ledger_writer)
    stages = Stages(holds=(metering.hold,), filters=(metering.filter,))
    cached = with_parts(services, stages=stages, cache=ResponseCache(1 << 20))
    transport = httpx.ASGITransport(create_app(cached))
    headers = {"Authorization": f"Bearer {KEY}"}
    async with httpx.AsyncClient(transport=transport, base_url="http://llmos", headers=headers) as http:
        for _ in range(2):
            reply = await http.post(PATH, json=CHAT | {"temperature": 0})
    assert reply.headers["llmos-cache"] == "hit"
    first, second = entries(services)
    assert (first.outcome, tokens(first)) == ("answered", (5, 0, 3))
    assert (second.outcome, second.num_calls, tokens(second), second.replica_micros) == ("cached", 1, (0, 0, 0), 0)


async def test_a_blocked_prompt_costs_nothing(http: httpx.AsyncClient, services: Services) -> None:
    deny(services)
    body = CHAT | {"messages": [{"role": "user", "content": "Zanzibar?"}]}
    assert (await http.post(PATH, json=body)).status_code == 400
    assert entries(services) == []


async def test_a_blocked_answer_costs_what_was_computed(
    http: httpx.AsyncClient, services: Services, pool: FakePool
) -> None:
    deny(services)
    pool.enqueue("It is ", "Zanzibar", " again")
    reply = await http.post(PATH, json=CHAT)
    assert reply.json()["choices"][0]["finish_reason"] == "content_filter"
    (row,) = entries(services)
    assert row.outcome == "blocked"
    assert row.output_tokens >= 2


async def test_a_fallback_costs_what_the_target_that_answered_has_computed(
    http: httpx.AsyncClient, services: Services, pool: FakePool
) -> None:
    services.registry.versions = [FakeVersion(), FakeVersion(model="other")]  # type: ignore[attr-defined]
    services.routes.routes["chat"] = fake_route("chat", "smollm2", fallbacks=["other"])  # type: ignore[attr-defined]
    pool.enqueue(ReplicaFailed("It died."))
    await http.post(PATH, json=CHAT | {"model": "chat"})
    (row,) = entries(services)
    assert (row.line, row.route, row.version, tokens(row)) == (1, "chat", "other@1", (5, 0, 3))


async def test_a_call_that_fails_costs_nothing(http: httpx.AsyncClient, services: Services, pool: FakePool) -> None:
    pool.enqueue(ReplicaFailed("It died."))
    pool.enqueue("Half an ", ReplicaFailed("It died."))
    assert (await http.post(PATH, json=CHAT)).status_code >= 500
    assert "[DONE]" not in (await http.post(PATH, json=CHAT | {"stream": True})).text
    pool.enqueue(PromptTooLong("It is too long."))
    assert (await http.post(PATH, json=CHAT)).status_code == 400
    assert entries(services) == []


async def test_a_caller_who_hangs_up_pays_for_what_was_computed(
    app: FastAPI, services: Services, pool: FakePool
) -> None:
    pool.enqueue("One ", "two ", pool.never)
    connection = Connection(app, PATH, CHAT | {"stream": True})
    running = connection.start()
    while "two" not in connection.text:
        await pause()
    connection.hang_up()
    await asyncio.wait([running])
    (row,) = entries(services)
    assert (row.outcome, row.num_calls, tokens(row)) == ("cancelled", 1, (5, 0, 2))


async def test_a_caller_who_hangs_up_before_the_first_token_pays_nothing(
    app: FastAPI, services: Services, pool: FakePool
) -> None:
    pool.enqueue(pool.never)
    connection = Connection(app, PATH, CHAT | {"stream": True})
    running = connection.start()
    await pool.someone_came.wait()
    connection.hang_up()
    await asyncio.wait([running])
    assert entries(services) == []


async def test_a_shadow_is_not_charged(http: httpx.AsyncClient, services: Services, pool: FakePool) -> None:
    services.registry.versions = [FakeVersion(), FakeVersion(model="other")]  # type: ignore[attr-defined]
    shadow = Shadow(target="other", percent=100)
    services.routes.routes["chat"] = fake_route("chat", "smollm2", shadow=shadow)  # type: ignore[attr-defined]
    await http.post(PATH, json=CHAT | {"model": "chat"})
    await services.pipeline.shadows.finish()
    assert len(pool.requests) == 2
    (row,) = entries(services)
    assert row.version == "smollm2@1"


async def test_the_lines_of_a_batch_are_background_calls(
    app: FastAPI, http: httpx.AsyncClient, services: Services
) -> None:
    line = {"custom_id": "one", "method": "POST", "url": PATH, "body": CHAT}
    upload = {"file": ("in.jsonl", json.dumps(line).encode())}
    file = (await http.post("/v1/files", data={"purpose": "batch"}, files=upload)).json()
    created = {"input_file_id": file["id"], "endpoint": PATH, "completion_window": "24h"}
    batch = (await http.post("/v1/batches", json=created)).json()
    runner = BatchRunner(
        app, services.data.batches, services.data.files, services.admission, services.keys, services.users
    )
    running = asyncio.create_task(runner.run())
    while (await http.get(f"/v1/batches/{batch['id']}")).json()["status"] not in ("completed", "failed"):
        await pause()
    running.cancel()
    await asyncio.wait([running])
    (row,) = entries(services)
    assert (row.is_background, tokens(row)) == (True, (5, 0, 3))


@pytest.fixture
def send_line(app: FastAPI, services: Services) -> Callable[[], Awaitable[object]]:
    """Sends the same line of a batch, as a server does that finds it without an answer after a crash."""
    calls = BackgroundCalls(app, services.admission, BackgroundCallers(services.keys, services.users))
    line = BackgroundCall(
        project="owner", key_id=None, what="batch", path=PATH, body=json.dumps(CHAT).encode(), call_key="batch-1/0"
    )
    return lambda: calls.post(line)


async def test_a_line_that_a_crash_made_be_answered_twice_counts_once(
    services: Services, pool: FakePool, send_line: Callable[[], Awaitable[object]]
) -> None:
    for _ in range(2):
        await send_line()
    assert len(pool.requests) == 2
    (row,) = entries(services)
    assert (row.outcome, row.is_background, tokens(row)) == ("answered", True, (5, 0, 3))


async def test_a_line_that_is_cut_off_costs_nothing_until_it_is_answered(
    services: Services, pool: FakePool, send_line: Callable[[], Awaitable[object]]
) -> None:
    reached = Reached()
    pool.enqueue("One ", "two ", reached, pool.never)
    sending = asyncio.ensure_future(send_line())
    await reached.told()
    sending.cancel()
    await asyncio.wait([sending])
    assert entries(services) == []
    await send_line()
    (row,) = entries(services)
    assert (row.outcome, tokens(row)) == ("answered", (5, 0, 3))


async def test_the_last_piece_of_an_answer_waits_for_the_disk(
    app: FastAPI, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored: asyncio.Event = asyncio.Event()
    loop, add = asyncio.get_running_loop(), services.billing.ledger.add
    may_go = asyncio.Event()

    def slow(entries: Any) -> Any:
        loop.call_soon_threadsafe(stored.set)
        asyncio.run_coroutine_threadsafe(may_go.wait(), loop).result()
        return add(entries)

    monkeypatch.setattr(services.billing.ledger, "add", slow)
    connection = Connection(app, PATH, CHAT | {"stream": True})
    running = connection.start()
    await stored.wait()
    assert '"finish_reason":"stop"' not in connection.text
    may_go.set()
    await running
    assert connection.text.endswith("data: [DONE]\n\n")
    assert len(entries(services)) == 1


async def test_an_entry_is_in_a_file_before_the_last_piece_if_the_database_hangs(
    services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_go = threading.Event()
    monkeypatch.setattr(services.billing.ledger, "add", lambda _: may_go.wait() and Stored(0, {}))
    writer = LedgerWriter(services.billing.ledger, tmp_path)
    attempt = Attempt("dialogue", is_accepted=True, num_prompt_tokens=5, num_completion_tokens=3, outcome="answered")
    record = Record("answer", "generate", "dialogue", owner(), AT, attempts=[attempt])

    async def deltas() -> AsyncIterator[Delta]:
        yield Delta(id="answer", index=0, finish_reason="stop", num_output_tokens=3)

    async for _ in LedgerStages(writer, wait_seconds=0).filter(deltas(), record):
        (path,) = tmp_path.glob("spill-*")
        assert path.read_bytes().count(b'"call_id":"answer"') == 1
    may_go.set()
    writer.close()


async def test_calls_are_refused_while_entries_can_be_stored_nowhere(
    http: httpx.AsyncClient, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services.billing.ledger_writer, "_max_kept", 0)
    reply = await http.post(PATH, json=CHAT)
    assert reply.status_code == 503
    assert "can't be recorded" in reply.json()["error"]["message"]


async def test_an_answer_of_an_application_is_not_counted_beside_the_calls_of_its_models() -> None:
    caller = replace(owner(), app="support")
    attempt = Attempt("app:support", is_accepted=True, num_prompt_tokens=5, num_completion_tokens=3, outcome="answered")
    outer = Record("outer", "generate", "app:support", owner(), AT, application="app:support", attempts=[attempt])
    inner = Record("inner", "generate", "dialogue", caller, AT, attempts=[attempt])
    assert list(entries_of(outer)) == []
    (entry,) = entries_of(inner)
    assert (entry.call_id, entry.app, entry.output_tokens) == ("inner", "support", 3)


def test_a_replica_works_on_a_call_from_its_first_batch_to_its_last_token() -> None:
    served = ServedModel(ref="smollm2@1", model="smollm2", number=1, created_at=AT)
    attempt = Attempt("smollm2@1", served=served, is_accepted=True, outcome="answered", num_prompt_tokens=5)
    attempt.began, attempt.loading_seconds, attempt.accepted_at, attempt.queued_seconds = 10.0, 2.0, 12.5, 4.0
    attempt.first_token_at, attempt.last_token_at = 17.0, 18.0
    (entry,) = entries_of(Record("answer-1", "generate", "smollm2", owner(), AT, attempts=[attempt]))
    assert entry.replica_micros == 1_500_000
    attempt.accepted_at = attempt.last_token_at = None
    attempt.seconds = 9.0  # Texts that are scored have no tokens that come.
    (entry,) = entries_of(Record("answer-1", "rate", "smollm2", owner(), AT, attempts=[attempt]))
    assert entry.replica_micros == 3_000_000
