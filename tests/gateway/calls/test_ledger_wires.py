"""The count of calls that end otherwise than they began, on every wire format: the table in docs/billing.md."""

import httpx
import pytest
from fastapi import FastAPI

from llmos.core.errors import ReplicaFailed
from llmos.engine.messages import Delta
from llmos.gateway.services import Services
from support.looking import pause
from support.metered_calls import CHAT, PATH, WIRES, deny, entries, tokens
from support.scripted import Connection, FakePool

pytestmark = pytest.mark.anyio

STREAMED = [wire for wire in WIRES if wire.endswith("streamed")]


async def test_a_caller_who_hangs_up_pays_for_what_was_computed_on_every_wire(
    app: FastAPI, services: Services, pool: FakePool
) -> None:
    for wire in STREAMED:
        path, body = WIRES[wire]
        pool.enqueue("One ", "two ", pool.never)
        connection = Connection(app, path, body)
        running = connection.start()
        while "two" not in connection.text:
            await pause()
        connection.hang_up()
        await running
    rows = entries(services)
    assert [(row.outcome, tokens(row)) for row in rows] == [("cancelled", (5, 0, 2))] * len(STREAMED)


async def test_a_call_that_fails_in_the_middle_costs_nothing_on_any_wire(
    http: httpx.AsyncClient, services: Services, pool: FakePool
) -> None:
    for path, body in WIRES.values():
        pool.enqueue("Half an ", ReplicaFailed("It died."))
        await http.post(path, json=body)
    assert len(pool.requests) == len(WIRES)
    assert entries(services) == []


async def test_an_answer_that_a_guardrail_cuts_costs_what_was_computed_on_every_wire(
    http: httpx.AsyncClient, services: Services, pool: FakePool
) -> None:
    deny(services)
    for path, body in WIRES.values():
        pool.enqueue("It is ", "Zanzibar", " again")
        await http.post(path, json=body)
    rows = entries(services)
    assert [row.outcome for row in rows] == ["blocked"] * len(WIRES)
    assert all(row.output_tokens >= 2 for row in rows)


@pytest.mark.parametrize(
    ("path", "body", "num_tokens"),
    [
        ("/v1/embeddings", {"model": "minilm", "input": ["12345", "123"]}, 8),
        ("/api/embed", {"model": "minilm", "input": ["12345", "123"]}, 8),
        ("/api/embeddings", {"model": "minilm", "prompt": "12345"}, 5),
        ("/v1/rerank", {"model": "bge", "query": "a", "documents": ["12345", "123"]}, 8),
    ],
)
async def test_vectors_and_scores_count_their_tokens_on_every_wire(
    http: httpx.AsyncClient, services: Services, path: str, body: dict[str, object], num_tokens: int
) -> None:
    reply = await http.post(path, json=body)
    assert reply.status_code == 200, reply.text
    (row,) = entries(services)
    assert (row.operation, row.num_calls, row.embedding_tokens, tokens(row)) == ("embed", 1, num_tokens, (0, 0, 0))


async def test_what_the_prefix_cache_has_is_cached_input(
    http: httpx.AsyncClient, services: Services, pool: FakePool
) -> None:
    first = Delta(id="", index=0, text="Hi", num_output_tokens=1, num_cached_tokens=2)
    for is_streamed in (False, True):
        pool.enqueue(first)
        await http.post(PATH, json=CHAT | {"stream": is_streamed})
    assert [tokens(row) for row in entries(services)] == [(3, 2, 2)] * 2


async def test_one_who_hangs_up_at_the_last_piece_is_counted_once(app: FastAPI, services: Services) -> None:
    connection = Connection(app, PATH, CHAT | {"stream": True})
    running = connection.start()
    while "[DONE]" not in connection.text:
        await pause()
    connection.hang_up()
    await running
    assert [(row.outcome, tokens(row)) for row in entries(services)] == [("answered", (5, 0, 3))]
