"""Plans, prepaid credit, corrections and alerts over HTTP, with calls of models."""

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from llmos import AsyncClient, Client
from llmos.client.answers import Answer
from llmos.core.clock import utc_now as now
from llmos.core.errors import BadRequest, BudgetExceeded, Conflict, NotFound, PermissionDenied
from llmos.core.webhooks.sending import Sender
from llmos.core.webhooks.signing import is_signed
from llmos.gateway.services import Services
from support.receiver import receiving
from support.scripted import KEY

pytestmark = pytest.mark.anyio

BOOK = {"currency": "EUR", "prices": {"default": {"per_million_tokens": {"output": "1000000"}}}}
"""An output token costs 1 EUR."""

CHAT = [{"role": "user", "content": "Hi"}]
PREPAID = {"name": "prepaid", "kind": "prepaid", "currency": "EUR", "alerts": [50, 100]}


async def ask(client: AsyncClient) -> Answer:
    """Ask for three tokens, which the answer has."""
    return await (await client.models.get("dialogue")).chat(CHAT, max_tokens=3)


@asynccontextmanager
async def client_of(app: FastAPI, client: AsyncClient, role: str = "owner") -> AsyncIterator[AsyncClient]:
    """A client with a key of the project acme."""
    key = (await client.keys.create(project="acme", role=role)).key
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with AsyncClient("http://127.0.0.1:9", api_key=key, transport=transport) as acme:
        yield acme


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[AsyncClient]:
    """The owner's. The project acme pays in advance."""
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with AsyncClient("http://127.0.0.1:9", api_key=KEY, transport=transport) as client:
        await client.projects.create("acme")
        await client.prices.set(BOOK)
        await client.plans.set(PREPAID)
        await client.plans.assign("prepaid", "acme")
        yield client


async def test_prepaid_credit_pays_for_answers_up_to_its_last_token(client: AsyncClient, app: FastAPI) -> None:
    async with client_of(app, client, "developer") as acme:
        with pytest.raises(BudgetExceeded, match="credit acme for the project acme is 0 EUR"):
            await ask(acme)
        await client.credit.add("acme", "4", "EUR", note="Transfer 4711")
        answer = await ask(acme)
        (left,) = await acme.credit.get("acme")
        assert (left.balance, left.spent, left.is_used) == ("1", "3", True)
        stream = await (await acme.models.get("dialogue")).chat(CHAT, max_tokens=3, stream=True)
        async for _ in stream:
            pass
        assert stream.finish_reason == "length", "cut at the token that is paid for"
        (left,) = await acme.credit.list()
        assert (left.balance, left.reserved, [each.percent for each in left.alerts]) == ("0", "0", [100, 50])
        with pytest.raises(BudgetExceeded):
            await ask(acme)
        (entry,) = await acme.ledger.entries(answer.id)
        assert (entry.cost, entry.currency, entry.output_tokens) == ("3", "EUR", 3)
        with pytest.raises(PermissionDenied):
            await acme.ledger.reverse(answer.id, note="Mine")
    reversal = await client.ledger.reverse(answer.id, note="The answer was empty")
    assert (reversal.cost, reversal.reversal_of) == ("-3", f"{answer.id}/0")
    with pytest.raises(Conflict):
        await client.ledger.reverse(answer.id, note="Again")
    assert (await client.credit.get("acme"))[0].balance == "3"


async def test_projects_see_their_own_plan_and_credit_alone(client: AsyncClient, app: FastAPI) -> None:
    await client.plans.set({"name": "secret", "kind": "pay_as_you_go", "currency": "EUR"})
    await client.projects.create("other")
    await client.plans.assign("prepaid", "other")
    await client.credit.add("other", "1", "EUR")
    async with client_of(app, client) as acme:
        (plan,) = await acme.plans.list()
        assert (plan.name, [each.project for each in plan.projects]) == ("prepaid", ["acme"])
        for refused in (acme.plans.get("secret"), acme.credit.get("other"), acme.ledger.entries("answer-1")):
            with pytest.raises(NotFound):
                await refused
        for refused in (acme.plans.set(PREPAID), acme.plans.unassign("acme"), acme.credit.add("acme", "9", "EUR")):
            with pytest.raises(PermissionDenied):
                await refused
        assert await acme.credit.list() == []
    with pytest.raises(BadRequest, match="`amount`"):
        await client.credit.add("acme", "lots", "EUR")
    with pytest.raises(NotFound, match="no project"):
        await client.plans.assign("prepaid", "nobody")
    assert (await client.plans.unassign("other", valid_from="2099-01-01")).plan == ""


async def test_a_receiver_that_fails_first_is_told_of_each_share_once(
    client: AsyncClient, app: FastAPI, services: Services
) -> None:
    with receiving(lambda number: (503 if number == 1 else 200, {})) as receiver:
        made = await client.webhooks.add("ops", receiver.url, events=["credit.threshold"], allow_private=True)
        await client.credit.add("acme", "4", "EUR")
        async with client_of(app, client, "developer") as acme:
            await ask(acme)
            services.billing.ledger_writer.flush()
            assert (services.billing.alert_messages.add(), services.billing.alert_messages.add()) == (1, 0)
            states = [await deliver(services), await deliver(services, again=True)]
        assert states == ["pending", "delivered"]
        assert len(set(receiver.ids)) == 1
        for headers, body in receiver.got:
            assert is_signed(made.secret, headers, body, now=time.time())
        told: dict[str, Any] = json.loads(receiver.got[1][1])
    assert told["type"] == "credit.threshold"
    expected = {"kind": "credit", "name": "acme", "percent": 50, "spent": "3", "limit": "4", "currency": "EUR"}
    assert expected.items() <= told["data"].items()


async def deliver(services: Services, *, again: bool = False) -> str:
    """Make the attempt that is due, or will be."""
    outbox = services.outbox
    if again:
        outbox._clock = lambda: now() + timedelta(minutes=1)
    (webhook,) = outbox.webhooks_with_due()
    message = outbox.claim(webhook)
    assert message is not None
    async with Sender() as sender:
        return outbox.finish(message, await sender.send(message)).state


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the server look for alerts often."""
    monkeypatch.setattr("llmos.gateway.server._ALERT_SECONDS", 0.05)


def test_a_server_tells_of_alerts_by_itself_and_the_blocking_client_does_the_same(impatient: None, served: str) -> None:
    with receiving() as receiver, Client(served, api_key=KEY) as client:
        client.webhooks.add("ops", receiver.url, events=["plan.threshold"], allow_private=True)
        client.projects.create("acme")
        client.prices.set(BOOK)
        limit = {"spend": "2", "per": "month"}
        client.plans.set({"name": "small", "kind": "pay_as_you_go", "currency": "EUR", "limits": [limit]})
        assert client.plans.assign("small", "acme").plan == "small"
        key = client.keys.create(project="acme", role="developer").key
        with Client(served, api_key=key) as acme:
            answer = acme.models.get("dialogue").chat(CHAT, max_tokens=3)
            assert answer.finish_reason == "length", "cut at the token that the plan pays for"
            with pytest.raises(BudgetExceeded, match="plan small for the project acme is 2 EUR per month"):
                acme.models.get("dialogue").chat(CHAT, max_tokens=3)
        for _ in range(3):
            assert receiver.arrived.acquire(timeout=30)
        told = [json.loads(body)["data"] for _, body in receiver.got]
        assert [(each["kind"], each["percent"]) for each in told] == [("plan", 50), ("plan", 80), ("plan", 100)]
        (acme_use,) = client.plans.get("small").projects
        assert [(each.spent, each.left) for each in acme_use.limits] == [("2", "0")]
        (credit,) = [client.credit.add("acme", "5", "EUR")]
        assert client.credit.reverse("acme", credit.lines[0].id).balance == "0"
        assert client.ledger.reverse(client.ledger.entries(answer.id)[0].call_id, note="Test").cost == "-2"
        assert client.plans.unassign("acme").plan == ""
        assert [each.name for each in client.plans.list()] == ["small"]
        assert (
            [each.project for each in client.credit.list()]
            == ["acme"]
            == [each.project for each in client.credit.get("acme")]
        )
