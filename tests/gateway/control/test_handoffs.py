"""/llmos/v1/handoffs and /llmos/v1/webhooks: over HTTP, through both clients, to a real receiver."""

import json
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from llmos.client import AsyncClient, Client
from llmos.core.errors import BadRequest, Conflict, NotFound
from llmos.core.webhooks.signing import is_signed
from support.apps import answer, question
from support.receiver import receiving
from support.scripted import KEY

pytestmark = pytest.mark.anyio

ASKED: dict[str, Any] = {"app": "support", "key": "run-1", "question": "Do you repair it?"}


@pytest.fixture
async def client(app: FastAPI, http: httpx.AsyncClient) -> AsyncIterator[AsyncClient]:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with AsyncClient("http://127.0.0.1:9", api_key=KEY, transport=transport) as client:
        yield client


async def test_a_question_goes_to_a_person_and_the_answer_to_the_conversation(client: AsyncClient) -> None:
    session = await client.sessions.open("support", "u42")
    made = await client.handoffs.create(**ASKED, session=session.id, messages=[question(), answer()])
    assert (await client.handoffs.create(**ASKED, session=session.id)).id == made.id
    (listed,) = await client.handoffs.list(app="support", state="open")
    assert (listed.id, listed.messages) == (made.id, [])
    assert (await client.handoffs.get(made.id)).messages == [question(), answer()]
    assert (await client.handoffs.take(made.id)).taken_by == "owner"
    assert (await client.handoffs.answer(made.id, "Yes.")).turn == 0
    (turn,) = await client.sessions.turns(session.id)
    assert turn.messages == [question("Do you repair it?"), answer("Yes.")]
    with pytest.raises(Conflict, match="answered"):
        await client.handoffs.close(made.id)


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [({"key": "with space"}, "key"), ({"question": ""}, "question"), ({"messages": [1]}, "messages"), ({"x": 1}, "x")],
)
async def test_bad_requests_say_what_is_wrong(http: httpx.AsyncClient, fields: dict[str, Any], complaint: str) -> None:
    reply = await http.post("/llmos/v1/handoffs", json=ASKED | fields)
    assert reply.status_code == 400
    assert complaint in reply.text


async def test_an_erasure_removes_handoffs_and_messages_that_are_not_sent(client: AsyncClient) -> None:
    await client.webhooks.add("crm", "https://example.com")
    made = await client.handoffs.create(**ASKED, user="ann")
    (message,) = await client.webhooks.deliveries("crm")
    (erased,) = (await client.erasures.forget("ann")).projects
    assert (erased.handoffs, erased.messages) == ([made.id], [message.id])
    with pytest.raises(NotFound):
        await client.handoffs.get(made.id)


async def test_a_removed_project_takes_its_handoffs_and_webhooks_along(client: AsyncClient, app: FastAPI) -> None:
    await client.projects.create("acme")
    key = (await client.keys.create(project="acme", role="owner")).key
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with AsyncClient("http://127.0.0.1:9", api_key=key, transport=transport) as acme:
        await acme.webhooks.add("crm", "https://example.com")
        made = await acme.handoffs.create(**ASKED)
        with pytest.raises(BadRequest, match="project `owner`"):
            await acme.webhooks.add("inside", "http://127.0.0.1:9", allow_private=True)
        with pytest.raises(NotFound):
            await client.handoffs.get(made.id)
    await client.projects.remove("acme")
    services = app.state.services
    assert services.webhooks.list("acme") == []
    assert services.data.handoffs.list("acme") == []


async def test_a_webhook_is_tested_and_its_secret_replaced(client: AsyncClient) -> None:
    with receiving() as receiver:
        made = await client.webhooks.add("crm", receiver.url, events=["handoff.created"], allow_private=True)
        delivery = await client.webhooks.test("crm")
        assert (delivery.state, delivery.attempts[0].status) == ("delivered", 200)
        ((headers, body),) = receiver.got
        assert is_signed(made.secret, headers, body, now=time.time())
        assert json.loads(body)["type"] == "webhook.test"
        rotated = await client.webhooks.rotate("crm", overlap_hours=0)
        await client.webhooks.test("crm")
        assert is_signed(rotated.secret, *receiver.got[1], now=time.time())
        assert not is_signed(made.secret, *receiver.got[1], now=time.time())
    gone = await client.webhooks.test("crm")
    assert gone.state == "failed", "a test is tried once"
    assert [each.state for each in await client.webhooks.deliveries("crm")] == ["failed", "delivered", "delivered"]
    assert (await client.webhooks.get("crm")).raw.keys() == (await client.webhooks.list())[0].raw.keys()
    await client.webhooks.remove("crm")
    with pytest.raises(NotFound, match="llmos webhook list"):
        await client.webhooks.test("crm")


def test_the_server_delivers_and_the_blocking_client_does_the_same(served: str) -> None:
    with receiving() as receiver, Client(served, api_key=KEY) as client:
        made = client.webhooks.add("crm", receiver.url, allow_private=True)
        handoff = client.handoffs.create(**ASKED)
        assert receiver.arrived.acquire(timeout=30)
        ((headers, body),) = receiver.got
        assert is_signed(made.secret, headers, body, now=time.time())
        assert json.loads(body)["data"]["id"] == handoff.id
        assert client.handoffs.list()[0].id == client.handoffs.get(handoff.id).id
        assert client.handoffs.take(handoff.id).state == "taken"
        other = client.handoffs.create(**ASKED | {"key": "run-2"})
        assert client.handoffs.answer(other.id, "Yes.").state == "answered"
        assert client.handoffs.close(handoff.id, reason="By telephone.").reason == "By telephone."
        for _ in range(3):
            assert receiver.arrived.acquire(timeout=30)
        assert client.webhooks.test("crm").state == "delivered"
        assert client.webhooks.rotate("crm").old_secret_expires_at is not None
        assert client.webhooks.get("crm").name == client.webhooks.list()[0].name == "crm"
        assert len(client.webhooks.deliveries(state="delivered")) >= 4
        client.webhooks.remove("crm")
