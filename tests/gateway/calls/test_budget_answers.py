"""Effects of budgets on answers: refusals on every wire format, answers that end early, and what is released."""

import asyncio
import json
from dataclasses import replace
from typing import Any

import httpx
import pytest

from llmos.billing.budgets import BudgetSettings, BudgetSource
from llmos.billing.limit_book import LimitBook
from llmos.billing.reservations import Reservations
from llmos.core.errors import ReplicaFailed
from llmos.gateway.app import create_app
from llmos.gateway.calls import worst_cases
from llmos.gateway.calls.ledger_stages import LedgerStages
from llmos.gateway.calls.response_cache import ResponseCache
from llmos.gateway.calls.stages import Stages
from llmos.gateway.jobs.batch_runner import BatchRunner
from llmos.gateway.services import Services
from support.looking import pause
from support.pipelines import with_parts
from support.remote_models import STREAM, openai_stream, remote, strange_provider
from support.scripted import KEY, Connection, FakePool

pytestmark = pytest.mark.anyio

CHAT: dict[str, Any] = {"model": "dialogue", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 9}
COMPLETION = {"model": "dialogue", "prompt": "Hi", "max_tokens": 9}
WIRES: dict[str, tuple[str, dict[str, Any], str]] = {
    "chat": ("/v1/chat/completions", CHAT, "error.message"),
    "completions": ("/v1/completions", COMPLETION, "error.message"),
    "responses": ("/v1/responses", {"model": "dialogue", "input": "Hi", "max_output_tokens": 9}, "error.message"),
    "anthropic": ("/v1/messages", CHAT, "error.message"),
    "llmos": ("/llmos/v1/generate", COMPLETION, "error.message"),
    "ollama chat": ("/api/chat", {**CHAT, "stream": False, "options": {"num_predict": 9}}, "error"),
    "ollama": ("/api/generate", {"model": "dialogue", "prompt": "Hi", "stream": False}, "error"),
    "open inference": ("/v2/models/dialogue/generate", {"text_input": "Hi", "parameters": {"max_tokens": 9}}, "error"),
    "embeddings": ("/v1/embeddings", {"model": "minilm", "input": "Hi"}, "error.message"),
    "rerank": ("/v1/rerank", {"model": "minilm", "query": "Hi", "documents": ["One", "Two"]}, "error.message"),
    "score": ("/v1/score", {"model": "minilm", "text_1": "Hi", "text_2": "Ho"}, "error.message"),
    "likelihood": (
        "/llmos/v1/likelihood",
        {"model": "dialogue", "prompt": "Hi", "continuations": ["a"]},
        "error.message",
    ),
}
WIRES["ollama chat"][1].pop("max_tokens")
STREAMS = {
    "chat": ("/v1/chat/completions", CHAT | {"stream": True}),
    "completions": ("/v1/completions", COMPLETION | {"stream": True}),
    "responses": ("/v1/responses", {"model": "dialogue", "input": "Hi", "stream": True}),
    "anthropic": ("/v1/messages", CHAT | {"stream": True}),
    "llmos": ("/llmos/v1/generate", COMPLETION | {"stream": True}),
    "ollama chat": ("/api/chat", WIRES["ollama chat"][1] | {"stream": True}),
    "ollama": ("/api/generate", {"model": "dialogue", "prompt": "Hi"}),
    "open inference": ("/v2/models/dialogue/generate_stream", {"text_input": "Hi"}),
}


@pytest.mark.parametrize("wire", WIRES)
async def test_a_refusal_names_the_budget_its_period_what_is_left_and_when_it_resets(
    wire: str, http: httpx.AsyncClient, services: Services, pool: FakePool
) -> None:
    services.billing.budgets.set("team", BudgetSettings(unit="tokens", limit="4", per="day"))
    path, body, where = WIRES[wire]
    reply = await http.post(path, json=body)
    assert reply.status_code == 429, reply.text
    message = reply.json()
    for name in where.split("."):
        message = message[name]
    assert message.startswith("The budget team for this installation is 4 tokens per day; 4 tokens are left, ")
    assert "it resets on 20" in message
    assert int(reply.headers["retry-after"]) <= 86_400
    assert pool.requests == pool.embedded == pool.rated == []
    settle(services)
    assert services.billing.budgets.get("team").left == "4"


async def test_money_is_refused_with_402(http: httpx.AsyncClient, services: Services) -> None:
    price(services, output="100000")
    services.billing.budgets.set("team", BudgetSettings(unit="money", currency="EUR", limit="0.05", per="total"))
    reply = await http.post("/v1/chat/completions", json=CHAT)
    assert reply.status_code == 402
    error = reply.json()["error"]
    assert (error["code"], error["type"]) == ("budget_exceeded", "billing_error")
    assert (
        "is 0.05 EUR in total; 0.05 EUR are left, too little for this call, and it doesn't reset." in error["message"]
    )
    assert "retry-after" not in reply.headers


@pytest.mark.parametrize("wire", STREAMS)
async def test_an_answer_ends_at_the_token_that_the_budget_pays_for(
    wire: str, http: httpx.AsyncClient, services: Services, pool: FakePool
) -> None:
    """The prompt has 5 tokens, which are counted because the budget doesn't pay for as many as it has bytes."""
    services.billing.budgets.set("team", BudgetSettings(unit="tokens", limit="8", per="day"))
    pool.enqueue()  # The prompt is counted.
    pool.enqueue("One ", "two ", "three ", "four ", "five")
    path, body = STREAMS[wire]
    reply = await http.post(path, json=body)
    assert reply.status_code == 200, reply.text
    assert "three" in reply.text
    assert "four" not in reply.text
    assert pool.requests[0].sampling.max_tokens == 3
    assert any(reason in reply.text for reason in ('"length"', '"max_tokens"', '"max_output_tokens"'))
    assert "The answer ends early: the budget team for this installation (8 tokens per day) pays for no more" in (
        reply.text
    )
    settle(services)
    found = services.billing.budgets.get("team")
    assert (found.spent, found.reserved, found.left) == ("8", "0", "0")
    services.answer_sink.flush()
    receipt = (await http.get(reply.headers["x-llmos-receipt"])).json()
    assert receipt["stopped_by"] == "budget:team"


@pytest.mark.parametrize("wire", [each for each in WIRES if each in STREAMS])
async def test_a_whole_answer_warns_too(wire: str, http: httpx.AsyncClient, services: Services, pool: FakePool) -> None:
    services.billing.budgets.set("team", BudgetSettings(unit="tokens", limit="8", per="day"))
    pool.enqueue()
    pool.enqueue("One ", "two ", "three ", "four ", "five")
    path, body, _ = WIRES[wire]
    reply = await http.post(path, json=body)
    assert [each["code"] for each in reply.json()["warnings"]] == ["budget_exceeded"]


async def test_choices_share_what_is_left(http: httpx.AsyncClient, services: Services, pool: FakePool) -> None:
    services.billing.budgets.set("team", BudgetSettings(unit="tokens", limit="10", per="day"))
    pool.enqueue()
    pool.enqueue("One ", "two ", "three ", "four ", "five")
    reply = (await http.post("/v1/chat/completions", json=CHAT | {"n": 2})).json()
    assert [each["finish_reason"] for each in reply["choices"]] == ["length", "length"]
    assert pool.requests[0].sampling.max_tokens == 2
    assert len(reply["warnings"]) == 1
    settle(services)
    assert int(services.billing.budgets.get("team").spent) <= 10


async def test_a_budget_of_money_pays_for_tokens_at_their_prices(
    http: httpx.AsyncClient, services: Services, pool: FakePool
) -> None:
    price(services, input="10000", output="20000")
    services.billing.budgets.set("team", BudgetSettings(unit="money", currency="EUR", limit="0.11", per="month"))
    pool.enqueue()
    pool.enqueue("One ", "two ", "three ", "four ", "five")
    reply = (await http.post("/v1/chat/completions", json=CHAT)).json()
    assert reply["usage"]["completion_tokens"] == 3
    settle(services)
    assert services.billing.budgets.get("team").spent == "0.11"


async def test_the_time_of_replicas_ends_an_answer_too(
    http: httpx.AsyncClient, services: Services, pool: FakePool
) -> None:
    services.billing.price_books.set({"currency": "EUR", "prices": {"default": {"per_second": "0.01"}}})
    services.billing.budgets.set("team", BudgetSettings(unit="money", currency="EUR", limit="0.0101", per="month"))
    await http.post("/v1/chat/completions", json=CHAT)
    settle(services)
    found = services.billing.budgets.get("team")
    assert found.reserved == "0"
    assert float(found.spent or 0) <= 0.0101


async def test_an_answer_of_unknown_length_ends_where_no_more_is_held(
    http: httpx.AsyncClient, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The window of a provider's model isn't known, and a call without `max_tokens` has no other bound."""
    monkeypatch.setattr(worst_cases, "UNKNOWN_OUTPUT_TOKENS", 5)
    services.billing.budgets.set("all", BudgetSettings(unit="tokens", limit="1000000"))
    chat = {name: value for name, value in CHAT.items() if name != "max_tokens"} | {"model": "gpt-3"}
    with strange_provider() as (url, handler):
        remote(services, url, key=None)
        usage = {"prompt_tokens": 9, "completion_tokens": 5000}
        handler.answer = (200, STREAM, openai_stream(*["word "] * 5000, usage=usage))
        reply = (await http.post("/v1/chat/completions", json=chat)).json()
        whole = (await http.post("/v1/chat/completions", json=chat | {"max_tokens": 5000})).json()
    assert reply["choices"][0]["finish_reason"] == "length"
    assert "it isn't known how long answers of remote:far/smollm2 can be" in reply["warnings"][0]["message"]
    assert (whole["choices"][0]["finish_reason"], whole.get("warnings")) == ("stop", None)
    services.billing.ledger_writer.flush()
    assert services.billing.budgets.get("all").reserved == "0"


async def test_what_is_not_used_is_released(http: httpx.AsyncClient, services: Services, pool: FakePool) -> None:
    """After answers, failures, refusals and callers who hang up."""
    services.billing.budgets.set("team", BudgetSettings(unit="tokens", limit="100000", per="day"))
    await http.post("/v1/chat/completions", json=CHAT)
    pool.enqueue(ReplicaFailed("It died."))
    await http.post("/v1/chat/completions", json=CHAT)
    await http.post("/v1/chat/completions", json=CHAT | {"model": "nothing"})
    await http.post("/v1/embeddings", json={"model": "minilm", "input": "12345"})
    pool.enqueue("One ", pool.never)
    connection = Connection(create_app(services), "/v1/chat/completions", CHAT | {"stream": True})
    running = connection.start()
    while "One" not in connection.text:
        await asyncio.sleep(0)
    assert int(services.billing.budgets.get("team").reserved or 0) > 9
    connection.hang_up()
    await asyncio.wait([running])
    settle(services)
    found = services.billing.budgets.get("team")
    assert (found.spent, found.reserved) == (str(8 + 5 + 6), "0")


async def test_no_limit_that_applies_costs_no_transaction(
    http: httpx.AsyncClient, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    services.projects.create("other")
    services.billing.budgets.set("other", BudgetSettings(unit="tokens", limit="1", project="other"))
    services.billing.budgets.set("soft", BudgetSettings(unit="tokens", limit="1", is_hard=False))
    monkeypatch.setattr(services.billing.reservations, "reserve", None)
    assert (await http.post("/v1/chat/completions", json=CHAT)).status_code == 200
    settle(services)
    assert services.billing.budgets.get("soft").spent == "8"


async def test_a_database_that_fails_refuses_calls_with_hard_budgets(
    http: httpx.AsyncClient, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    services.billing.budgets.set("team", BudgetSettings(unit="requests", limit="10"))
    real = Reservations.reserve

    def fail(*args: Any) -> Any:
        real(*args)
        raise OSError("The disk is gone.")

    with monkeypatch.context() as patch:
        patch.setattr(Reservations, "reserve", fail)
        reply = await http.post("/v1/chat/completions", json=CHAT)
    assert reply.status_code == 503
    assert "can't be read" in reply.json()["error"]["message"]
    assert (await http.post("/v1/chat/completions", json=CHAT)).status_code == 200


def price(services: Services, **per_million: str) -> None:
    prices = {"default": {"per_million_tokens": per_million}}
    services.billing.price_books.set({"currency": "EUR", "prices": prices})


def settle(services: Services) -> None:
    services.billing.ledger_writer.flush()
    services.billing.reservations.flush()


async def test_an_answer_out_of_the_response_cache_is_not_cut(services: Services) -> None:
    routes: Any = services.routes
    routes.routes["dialogue"] = replace(routes.routes["dialogue"], cache=True)
    metering = LedgerStages(services.billing.ledger_writer, services.billing.reservations)
    stages = Stages(holds=(metering.hold,), filters=(metering.filter,))
    limits = (LimitBook(services.billing.budgets._database, [BudgetSource()]), services.billing.reservations)
    cached = with_parts(services, stages=stages, cache=ResponseCache(1 << 20), limits=limits)
    transport = httpx.ASGITransport(create_app(cached))
    headers = {"Authorization": f"Bearer {KEY}"}
    async with httpx.AsyncClient(transport=transport, base_url="http://llmos", headers=headers) as http:
        await http.post("/v1/chat/completions", json=CHAT | {"temperature": 0})
        settle(services)
        prices = {"default": {"per_second": "0.0000001"}}
        services.billing.price_books.set({"currency": "EUR", "prices": prices})
        services.billing.budgets.set("eur", BudgetSettings(unit="money", currency="EUR", limit="0.000001"))
        limits[0].forget()
        reply = await http.post("/v1/chat/completions", json=CHAT | {"temperature": 0})
    assert reply.headers["llmos-cache"] == "hit"
    assert "warnings" not in reply.json()


async def test_a_line_of_a_batch_that_no_budget_will_ever_pay_for_is_refused(
    http: httpx.AsyncClient, services: Services
) -> None:
    services.billing.budgets.set("trial", BudgetSettings(unit="tokens", limit="1", per="total"))
    line = {"custom_id": "one", "method": "POST", "url": "/v1/chat/completions", "body": CHAT}
    upload = {"file": ("in.jsonl", json.dumps(line).encode())}
    file = (await http.post("/v1/files", data={"purpose": "batch"}, files=upload)).json()
    created = {"input_file_id": file["id"], "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    batch = (await http.post("/v1/batches", json=created)).json()
    app = create_app(services)
    runner = BatchRunner(
        app, services.data.batches, services.data.files, services.admission, services.keys, services.users
    )
    running = asyncio.create_task(runner.run())
    while (ended := (await http.get(f"/v1/batches/{batch['id']}")).json())["status"] != "completed":
        await pause()
    running.cancel()
    await asyncio.wait([running])
    errors = (await http.get(f"/v1/files/{ended['error_file_id']}/content")).text
    assert json.loads(errors)["response"]["status_code"] == 429
    assert "The budget trial for this installation is 1 token in total" in errors
