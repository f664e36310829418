"""The cost of a call, in its answer and in its receipt: the cost of its entry in the ledger."""

import json
from typing import Any

import httpx
import pytest

from llmos.core.clock import utc_now
from llmos.core.money import format_nanos
from llmos.gateway.calls.record import Metered
from llmos.gateway.services import Services
from llmos.security.receipts.verification import verify_receipt
from support.ledger import entry

pytestmark = pytest.mark.anyio

CHAT: dict[str, Any] = {"model": "dialogue", "messages": [{"role": "user", "content": "Hi"}]}
PRICES = {"default": {"per_call": "0.5", "per_million_tokens": {"input": "100", "output": "200", "embedding": "10"}}}
COST = "0.5011"  # 5 tokens of the prompt, 3 of the answer

WHOLE: dict[str, tuple[str, dict[str, Any]]] = {
    "chat": ("/v1/chat/completions", CHAT),
    "completions": ("/v1/completions", {"model": "dialogue", "prompt": "Hi"}),
    "responses": ("/v1/responses", {"model": "dialogue", "input": "Hi"}),
    "anthropic": ("/v1/messages", {**CHAT, "max_tokens": 9}),
    "llmos": ("/llmos/v1/generate", {"model": "dialogue", "prompt": "Hi"}),
}
STREAMS = {
    "chat": (WHOLE["chat"][0], CHAT | {"stream": True, "stream_options": {"include_usage": True}}),
    "responses": (WHOLE["responses"][0], WHOLE["responses"][1] | {"stream": True}),
    "anthropic": (WHOLE["anthropic"][0], WHOLE["anthropic"][1] | {"stream": True}),
    "llmos": (WHOLE["llmos"][0], WHOLE["llmos"][1] | {"stream": True}),
}
OTHERS = {
    "ollama": ("/api/generate", {"model": "dialogue", "prompt": "Hi", "stream": False}),
    "open inference": ("/v2/models/dialogue/generate", {"text_input": "Hi"}),
}


@pytest.fixture(autouse=True)
def prices(services: Services) -> None:
    services.billing.price_books.set({"currency": "EUR", "prices": PRICES})


def usages(value: Any) -> list[dict[str, Any]]:
    """Return each `usage` with a cost that is anywhere in an answer."""
    if isinstance(value, list):
        return [found for each in value for found in usages(each)]
    if not isinstance(value, dict):
        return []
    own = value.get("usage")
    return ([own] if own and "cost" in own else []) + [found for each in value.values() for found in usages(each)]


@pytest.mark.parametrize("name", [*WHOLE, *OTHERS])
async def test_a_whole_answer_says_what_it_costs(name: str, http: httpx.AsyncClient) -> None:
    path, body = (WHOLE | OTHERS)[name]
    reply = await http.post(path, json=body)
    assert reply.headers["llmos-cost"] == f"{COST} EUR"
    if name in WHOLE:
        (usage,) = usages(reply.json())
        assert (usage["cost"], usage["currency"]) == (COST, "EUR")


@pytest.mark.parametrize("name", STREAMS)
async def test_the_end_of_a_stream_says_what_it_costs(name: str, http: httpx.AsyncClient) -> None:
    path, body = STREAMS[name]
    lines = (await http.post(path, json=body)).text.splitlines()
    events = [json.loads(line[6:]) for line in lines if line.startswith("data: {")]
    (usage,) = usages(events)
    assert (usage["cost"], usage["currency"]) == (COST, "EUR")


async def test_vectors_and_scores_say_what_they_cost(http: httpx.AsyncClient) -> None:
    reply = await http.post("/v1/embeddings", json={"model": "minilm", "input": "12345"})
    assert (reply.json()["usage"]["cost"], reply.headers["llmos-cost"]) == ("0.50005", "0.50005 EUR")
    body = {"model": "dialogue", "prompt": "hello", "continuations": ["abc"]}
    assert (await http.post("/llmos/v1/likelihood", json=body)).json()["usage"]["cost"] == "0.5"


async def test_the_receipt_has_the_price_of_the_ledger(http: httpx.AsyncClient, services: Services) -> None:
    reply = await http.post("/v1/chat/completions", json=CHAT)
    receipt = (await http.get(reply.headers["x-llmos-receipt"])).json()
    assert (receipt["cost"], receipt["currency"], receipt["price_version"]) == (COST, "EUR", 1)
    assert verify_receipt(receipt, [services.signing_key.public]).price_version == 1


async def test_where_nothing_has_a_price_nothing_costs_zero(http: httpx.AsyncClient, services: Services) -> None:
    services.billing.price_books.set({"currency": "EUR", "prices": {"route:other": {"per_call": "1"}}})
    reply = await http.post("/v1/chat/completions", json=CHAT)
    assert "llmos-cost" not in reply.headers
    assert "cost" not in reply.json()["usage"]
    receipt = (await http.get(reply.headers["x-llmos-receipt"])).json()
    assert (receipt["cost"], receipt["currency"], receipt["price_version"]) == (None, None, None)


def test_a_receipt_of_before_there_were_prices_verifies(services: Services) -> None:
    old = services.signing_key.sign({"type": "llmos.receipt/1", "id": "answer-1", "price_version": None})
    assert verify_receipt(old, [services.signing_key.public]).cost is None


def test_the_cost_of_a_call_is_that_of_all_its_entries(services: Services) -> None:
    now = int(utc_now().timestamp())
    entries = [entry("a", at=now), entry("a", at=now, line=1), entry("a", at=now, line=2, outcome="cancelled")]
    charge = Metered(entries, services.billing.ledger_writer.add(entries)).charge(5)
    assert charge is not None
    assert format_nanos(charge.cost_nanos) == "1.5033"
    assert Metered([]).charge() is None
