"""The facts of answers over HTTP: one for each call that ran, its page, and who may see what of it."""

import asyncio
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from llmos.core.errors import ReplicaFailed
from llmos.gateway.services import Services
from support.scripted import Connection, FakePool

pytestmark = pytest.mark.anyio

CHAT: dict[str, Any] = {"model": "dialogue", "messages": [{"role": "user", "content": "Hi"}]}
PATH = "/v1/chat/completions"
ANSWERS = "/llmos/v1/answers"


async def outcomes(http: httpx.AsyncClient, **params: Any) -> list[str]:
    reply = await http.get(ANSWERS, params=params)
    assert reply.status_code == 200, reply.text
    return [each["outcome"] for each in reply.json()["data"]]


async def test_an_answer_has_a_page_of_facts(http: httpx.AsyncClient, services: Services) -> None:
    services.billing.price_books.set({"currency": "EUR", "prices": {"default": {"per_call": "0.5"}}})
    reply = await http.post(PATH, json=CHAT | {"user": "ann"})
    id = reply.json()["id"]
    page = (await http.get(f"{ANSWERS}/{id}")).json()
    assert (page["request_id"], page["user"], page["project"]) == (reply.headers["x-request-id"], "ann", "owner")
    assert (page["asked"], page["route"], page["version"], page["outcome"]) == (
        "dialogue", "dialogue", "smollm2@1", "answered",
    )  # fmt: skip
    assert (page["input_tokens"], page["output_tokens"], page["cost"], page["price_version"]) == (5, 3, "0.5", 1)
    assert (page["receipt"]["id"], page["is_receipt_valid"], page["text"]) == (id, True, None)
    (charge,) = page["charges"]
    assert (charge["line"], charge["output_tokens"], charge["cost"], charge["currency"]) == (0, 3, "0.5", "EUR")
    timings = page["timings"]
    stages = [timings[name] for name in ("guardrails", "load", "queue", "prefill", "decode")]
    assert all(stage >= 0 for stage in stages)
    assert 0 < timings["first_token"] <= timings["total"]
    assert sum(stages) <= timings["total"]
    assert (await http.get(f"{ANSWERS}/{reply.headers['x-request-id']}")).json() == page


async def test_every_way_to_end_is_an_outcome(
    http: httpx.AsyncClient, services: Services, app: FastAPI, pool: FakePool
) -> None:
    services.guardrails.set("safe", {"input": [{"guardrail": "secrets", "action": "block"}]})
    services.guardrails.apply("safe", "installation")
    await http.post(PATH, json=CHAT)
    secret = "My key is AKIAIOSFODNN7EXAMPLE, with wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
    await http.post(PATH, json=CHAT | {"messages": [{"role": "user", "content": secret}]})
    pool.enqueue(ReplicaFailed("It died."))
    await http.post(PATH, json=CHAT)
    assert await outcomes(http) == ["failed", "blocked", "answered"]
    assert await outcomes(http, outcome="failed") == ["failed"]
    assert await outcomes(http, verdict="block") == ["blocked"]
    assert await outcomes(http, limit=1, outcome="blocked", since="2020-01-01") == ["blocked"]


async def test_calls_that_limits_refuse_and_unknown_models_are_in_the_log_alone(
    http: httpx.AsyncClient, services: Services
) -> None:
    assert (await http.post(PATH, json=CHAT | {"model": "unknown"})).status_code == 404
    assert (await http.post("/v1/messages/count_tokens", json=CHAT)).status_code == 200
    assert await outcomes(http) == []


async def test_a_project_sees_its_own_answers_and_the_owner_all(http: httpx.AsyncClient) -> None:
    await http.post("/llmos/v1/projects", json={"name": "acme"})
    keys = [
        (await http.post("/llmos/v1/keys", json={"project": "acme", "role": role})).json()["key"]
        for role in ("developer", "viewer")
    ]
    asking, seeing = ({"authorization": f"Bearer {key}"} for key in keys)
    stored = (await http.post("/v1/responses", json={"model": "dialogue", "input": "Hi"}, headers=asking)).json()
    own = (await http.post(PATH, json=CHAT)).json()
    assert len(await outcomes(http)) == 2
    assert len((await http.get(ANSWERS, headers=seeing)).json()["data"]) == 1
    assert (await http.get(f"{ANSWERS}/{own['id']}", headers=seeing)).status_code == 404
    refused = await http.get(ANSWERS, params={"project": "owner"}, headers=seeing)
    assert (refused.status_code, refused.json()["error"]["param"]) == (403, "project")
    # The text is for those of the project who may run models.
    pages = [(await http.get(f"{ANSWERS}/{stored['id']}", headers=each)).json() for each in (asking, seeing, {})]
    assert [page["text"] is None for page in pages] == [False, True, True]
    assert pages[0]["text"]["output"][0]["content"][0]["text"] == "Hello"


async def test_words_of_kept_texts_are_found_in_the_callers_own_project(
    http: httpx.AsyncClient, pool: FakePool
) -> None:
    await http.post("/llmos/v1/projects", json={"name": "acme"})
    keys = [
        (await http.post("/llmos/v1/keys", json={"project": "acme", "role": role})).json()["key"]
        for role in ("developer", "viewer")
    ]
    asking, seeing = ({"authorization": f"Bearer {key}"} for key in keys)
    stored = []
    for question, answer in (("Where do llamas live?", "In the Andes."), ("And camels?", "In deserts.")):
        pool.enqueue(answer)
        body = {"model": "dialogue", "input": question}
        stored.append((await http.post("/v1/responses", json=body, headers=asking)).json()["id"])
    await http.post(PATH, json=CHAT | {"messages": [{"role": "user", "content": "llamas"}]}, headers=asking)

    async def found(words: str, headers: dict[str, str] = asking, **params: Any) -> list[tuple[str, str]]:
        reply = await http.get(ANSWERS, params={"text": words, **params}, headers=headers)
        assert reply.status_code == 200, reply.text
        return [(each["id"], each["excerpt"]) for each in reply.json()["data"]]

    assert await found("LLAMAS andes") == [(stored[0], "Where do llamas live?")]
    assert [id for id, _ in await found("in")] == stored[::-1]
    assert await found("in", limit=1) == [(stored[1], "In deserts.")]
    assert await found("llamas", outcome="failed") == await found("llamas deserts") == []
    assert await found("llamas", {}) == []  # The owner's own project has kept nothing.
    refused = await http.get(ANSWERS, params={"text": "llamas"}, headers=seeing)
    assert (refused.status_code, "inference" in refused.text) == (403, True)
    refused = await http.get(ANSWERS, params={"text": "llamas", "project": "acme"})
    assert (refused.status_code, refused.json()["error"]["param"]) == (403, "project")


async def test_a_search_goes_on_where_it_has_stopped(
    http: httpx.AsyncClient, pool: FakePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llmos.gateway.answer_search._AT_ONCE", 2)
    monkeypatch.setattr("llmos.gateway.answer_search.MAX_LOOKED_AT", 2)
    pool.enqueue("In the Andes.")
    kept = (await http.post("/v1/responses", json={"model": "dialogue", "input": "Llamas?"})).json()["id"]
    for _ in range(3):
        await http.post(PATH, json=CHAT)
    pages, after = [], None
    while True:
        page = (await http.get(ANSWERS, params={"text": "andes"} | ({"after": after} if after else {}))).json()
        pages.append([each["id"] for each in page["data"]])
        if (after := page["next"]) is None:
            break
    assert pages[:2] == [[], [kept]]


@pytest.mark.parametrize(
    "query", [{"since": "soon"}, {"min_cost": "1e3"}, {"min_seconds": "-1"}, {"outcome": "lost"}, {"after": "x"}]
)
async def test_wrong_filters_are_named(http: httpx.AsyncClient, query: dict[str, str]) -> None:
    reply = await http.get(ANSWERS, params=query)
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, next(iter(query)))


async def test_pages_follow_each_other(http: httpx.AsyncClient) -> None:
    made = [(await http.post(PATH, json=CHAT)).json()["id"] for _ in range(3)]
    first = (await http.get(ANSWERS, params={"limit": 2})).json()
    second = (await http.get(ANSWERS, params={"limit": 2, "after": first["next"]})).json()
    assert [each["id"] for each in (*first["data"], *second["data"])] == made[::-1]
    assert second["next"] is None


async def test_a_caller_who_hangs_up_has_facts_too(http: httpx.AsyncClient, app: FastAPI, pool: FakePool) -> None:
    pool.enqueue("One ", pool.never)
    connection = Connection(app, PATH, CHAT | {"stream": True})
    running = connection.start()
    while "One" not in connection.text:
        await asyncio.sleep(0)
    connection.hang_up()
    await asyncio.wait([running])
    assert await outcomes(http) == ["cancelled"]
