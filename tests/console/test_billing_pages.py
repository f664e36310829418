"""Pages of budgets, plans, credit and invoices as a browser without scripts gets them."""

import html
import re
from datetime import UTC, datetime

import httpx
import pytest
from fastapi import FastAPI

from llmos.billing.price_books import PriceBooks
from llmos.client import AsyncClient
from llmos.gateway.services import Services
from support.chromium import HOSTILE
from support.console import PASSWORD, browser_of, send, sign_in
from support.ledger import entry
from support.receiver import receiving

pytestmark = pytest.mark.anyio

PRINTABLE = HOSTILE.replace("\u202e", "")
"""Invoices refuse characters that turn the direction."""


@pytest.fixture(scope="module", autouse=True)
def _consumed(services: Services) -> None:
    """The projects acme and beta have used something in September 2026."""
    prices = {"currency": "EUR", "prices": {"default": {"per_call": "1.25"}}}
    PriceBooks(services.registry.database, clock=lambda: datetime(2026, 9, 1, tzinfo=UTC)).set(prices)
    services.billing.ledger.add([entry("a"), entry("=b"), entry("c", project="beta")])
    for project in ("acme", "beta"):
        services.projects.create(project)
    services.users.create("bea", role="developer", project="beta", password=PASSWORD)


async def test_a_budget_is_made_changed_and_removed(ann: httpx.AsyncClient, owner: AsyncClient) -> None:
    fields = {"name": "acme-month", "project": "acme", "unit": "money", "limit": "50", "currency": "eur"}
    page = await send(ann, "/budgets/set", **fields, per="month", alerts="50, 90 %", is_hard="on")
    assert "The budget acme-month is set." in page
    assert "50 EUR a month" in page
    made = await owner.budgets.get("acme-month")
    assert (made.limit, made.currency, made.is_hard, made.alerts) == ("50", "EUR", True, [50, 90])
    page = await send(ann, "/budgets/set", **(fields | {"limit": "1e99999", "back": "/budgets"}), per="month")
    assert 'role="alert"' in page
    assert "half is not a whole number" in await send(ann, "/budgets/set", **fields, alerts="half")
    await send(ann, "/budgets/set", **(fields | {"limit": "80"}), per="day")
    assert ((await owner.budgets.get("acme-month")).limit, (await owner.budgets.get("acme-month")).is_hard) == (
        "80", False,
    )  # fmt: skip
    lines = (await ann.get("/console/budgets?csv=budgets")).text.splitlines()
    assert lines[1].startswith("acme-month,project,acme,0.0,0,0,80,EUR,day,")
    assert "is removed" in await send(ann, "/budgets/acme-month/remove")
    gone = await ann.get("/console/budgets/acme-month")
    assert (gone.status_code, "Go back" in gone.text) == (404, True)


async def test_a_plan_is_set_given_and_taken_away(ann: httpx.AsyncClient) -> None:
    more = '{"included": {"spend": "20"}, "limits": [{"spend": "100", "per": "month", "hard": true}]}'
    fields = {"name": "team", "kind": "subscription", "currency": "EUR", "monthly_fee": "20"}
    assert "no JSON" in await send(ann, "/plans/set", **fields, more="{included")
    page = await send(ann, "/plans/set", **fields, more=more)
    assert "The plan team has a new version." in page
    page = await send(ann, "/plans/team/assign", project="acme")
    assert "acme has the plan team." in page
    assert "limit: 0 / 100 EUR a month" in page
    assert "acme has the plan team no more." in await send(ann, "/plans/team/unassign", project="acme")
    assert "team" in (await ann.get("/console/plans")).text


async def test_credit_counts_once_however_often_the_form_is_sent(ann: httpx.AsyncClient, owner: AsyncClient) -> None:
    form = (await ann.get("/console/credit/acme")).text
    found = re.search(r'name="key" value="([0-9a-f]{32})"', form)
    assert found is not None
    for _ in range(2):
        page = await send(ann, "/credit/acme/add", key=found[1], amount="50", currency="eur", note=HOSTILE)
        assert "The balance is 50 EUR" in page
        assert "<img" not in page
    (credit,) = await owner.credit.get("acme")
    (line,) = credit.lines
    assert "The top-up is reversed." in await send(ann, "/credit/acme/reverse", line=line.id, note="Returned")
    assert 'role="alert"' in await send(ann, "/credit/acme/reverse", line=line.id)  # A second time.


async def test_an_invoice_is_drafted_made_verified_and_taken_back(ann: httpx.AsyncClient, owner: AsyncClient) -> None:
    settings = {
        "seller.name": PRINTABLE,
        "seller.address": "1 Example Street\r\nLondon",
        "taxes": "VAT 20 %; 20",
        "due_days": "14",
    }
    assert 'role="alert"' in await send(ann, "/invoices/settings", **settings | {"seller.name": HOSTILE})
    assert "New invoices say this." in await send(ann, "/invoices/settings", **settings)
    assert "has no percentage" in await send(ann, "/invoices/settings", taxes="VAT")
    assert (await owner.invoices.settings()).seller.address == ["1 Example Street", "London"]  # type: ignore[union-attr]
    draft = (await ann.get("/console/invoices/draft?project=acme&month=2026-09")).text
    assert '<b id="total">3.00 EUR</b>' in draft
    page = await send(ann, "/invoices/make", project="acme", month="2026-09")
    (made,) = await owner.invoices.list("acme")
    assert f"The invoice {made.number} is made." in page
    assert "<img" not in page
    (shown,) = re.findall(r'href="([^"]+format=html)"', page)
    assert (await ann.get(html.unescape(shown))).headers["content-type"].startswith("text/html")
    assert made.number in await send(ann, "/invoices/make", project="acme", month="2026-09")  # There is one already.
    verified = (await ann.get(f"/console/invoices/{made.number}/verification")).text
    assert "Every line agrees with the ledger: 2 entries" in verified
    page = await send(ann, f"/invoices/{made.number}/credit", reason=PRINTABLE)
    assert f"{made.number} is cancelled by" in page
    assert "-3.00 EUR" in page


async def test_a_developer_sees_the_own_project_alone(app: FastAPI, ann: httpx.AsyncClient, owner: AsyncClient) -> None:
    await owner.budgets.set("secret-acme", project="acme", unit="requests", limit="5")
    await owner.budgets.set("open-beta", project="beta", unit="requests", limit="5")
    async with browser_of(app) as bea:
        await sign_in(bea, "bea")
        page = (await bea.get("/console/budgets")).text
        assert ("open-beta" in page, "secret-acme" in page, "/console/budgets/set" in page) == (True, False, False)
        for path in ("/budgets", "/plans", "/invoices", "/usage"):
            assert "<bdi>acme" not in (await bea.get(f"/console{path}")).text
        for path in ("/budgets/secret-acme", "/credit/acme", "/invoices/draft?project=acme&month=2026-09"):
            assert (await bea.get(f"/console{path}")).status_code == 404
        assert '<b id="total">1.' in (await bea.get("/console/invoices/draft?project=beta&month=2026-09")).text
        assert (await bea.get("/console/invoices/settings")).status_code == 403
    for name in ("secret-acme", "open-beta"):
        await owner.budgets.remove(name)


async def test_an_exporter_is_added_tested_paused_and_removed(ann: httpx.AsyncClient) -> None:
    with receiving() as receiver:
        fields = {"name": "meter", "kind": "cloudevents", "url": receiver.url, "allow_private": "on"}
        page = await send(ann, "/usage/exporters/create", **fields, key="s3cret", subject="user")
        assert "meter is added." in page
        assert "s3cret" not in page
        page = await send(ann, "/usage/exporters/meter/test")
        assert "The service has taken the test event" in page
    assert "hasn&#39;t taken the test event" in await send(ann, "/usage/exporters/meter/test")
    assert "sends nothing until it is resumed" in await send(ann, "/usage/exporters/meter/pause")
    assert '<span class="state warn">paused</span>' in (await ann.get("/console/usage/exporters")).text
    assert "meter sends again." in await send(ann, "/usage/exporters/meter/resume")
    assert "sent once more" in await send(ann, "/usage/exporters/meter/retry")
    assert "meter is removed." in await send(ann, "/usage/exporters/meter/remove")


async def test_a_wrong_exporter_is_said_on_the_page(ann: httpx.AsyncClient) -> None:
    fields = {"name": "meter", "kind": "lagoo", "url": "https://example.com"}
    assert "lago" in await send(ann, "/usage/exporters/create", **fields)
