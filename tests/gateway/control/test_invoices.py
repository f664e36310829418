"""Invoices over HTTP: the owner makes them, a project reads its own."""

import csv
import io
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import httpx
import pytest
from fastapi import FastAPI
from pypdf import PdfReader

from llmos import AsyncClient
from llmos.billing.price_books import PriceBooks
from llmos.core.database import Database
from llmos.core.errors import BadRequest, Conflict, NotFound, PermissionDenied
from llmos.gateway.services import Services
from support.ledger import entry
from support.scripted import KEY

pytestmark = pytest.mark.anyio

HOSTILE = "<script>alert('x')</script> Ünïcode 公司"
SETTINGS = {
    "seller": {"name": "Example Ltd", "address": ["1 Example Street", "London"]},
    "taxes": [{"name": "VAT 20 %", "percent": "20"}],
}


@asynccontextmanager
async def client_with(app: FastAPI, key: str) -> AsyncIterator[AsyncClient]:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with AsyncClient("http://127.0.0.1:9", api_key=key, transport=transport) as client:
        yield client


@pytest.fixture
async def client(app: FastAPI, services: Services, database: Database) -> AsyncIterator[AsyncClient]:
    """The owner's. The projects acme and beta have used something in September 2026."""
    prices = {"currency": "EUR", "prices": {"default": {"per_call": "1.25"}}}
    PriceBooks(database, clock=lambda: datetime(2026, 9, 1, tzinfo=UTC)).set(prices)
    services.billing.ledger.add([entry("a"), entry("=b"), entry("c", project="beta")])
    async with client_with(app, KEY) as client:
        for project in ("acme", "beta"):
            await client.projects.create(project)
        await client.invoices.configure(SETTINGS)
        yield client


async def test_an_invoice_is_made_shown_verified_and_taken_back(client: AsyncClient) -> None:
    draft = await client.invoices.draft("acme", "2026-09")
    assert (draft.number, draft.total, await client.invoices.list()) == ("", "3.00", [])
    made = await client.invoices.make("acme", "2026-09")
    assert (made.net, made.total, made.seller.name, made.issued_by) == ("2.50", "3.00", "Example Ltd", "owner")
    with pytest.raises(Conflict, match=made.number):
        await client.invoices.make("acme", "2026-09")
    assert await client.invoices.get(made.number) == made
    assert (await client.invoices.verify(made.number)).is_correct
    assert [each.call_id async for each in client.invoices.entries(made.number)] == ["a", "=b"]
    note = await client.invoices.credit(made.number, reason="Wrong address")
    assert (note.corrects, note.total, note.reason) == (made.number, "-3.00", "Wrong address")
    listed = await client.invoices.list("acme")
    assert [(each.number, each.corrected_by) for each in listed] == [(note.number, ""), (made.number, note.number)]


async def test_a_page_and_a_pdf_show_hostile_and_foreign_names_as_text(client: AsyncClient) -> None:
    await client.invoices.configure({"buyer": {"name": HOSTILE, "address": ["Straße 1"]}}, "acme")
    number = (await client.invoices.make("acme", "2026-09")).number
    page = await client.invoices.page(number)
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "公司" in page
    pdf = await client.invoices.pdf(number)
    assert pdf == await client.invoices.pdf(number)
    text = "".join(each.extract_text() for each in PdfReader(io.BytesIO(pdf)).pages)
    assert f"Invoice {number}" in text
    assert "<script>" in text
    assert "3.00 EUR" in text


async def test_a_project_sees_its_own_invoices_and_makes_none(client: AsyncClient, app: FastAPI) -> None:
    theirs = (await client.invoices.make("beta", "2026-09")).number
    own = (await client.invoices.make("acme", "2026-09")).number
    async with client_with(app, (await client.keys.create(project="acme", role="owner")).key) as acme:
        assert [each.number for each in await acme.invoices.list()] == [own]
        assert await acme.invoices.list("beta") == []
        assert (await acme.invoices.get(own)).project == "acme"
        assert (await acme.invoices.verify(own)).is_correct
        for refused in (acme.invoices.get, acme.invoices.verify, acme.invoices.pdf):
            with pytest.raises(NotFound, match=theirs):
                await refused(theirs)
        with pytest.raises(NotFound, match="beta"):
            await acme.invoices.draft("beta", "2026-09")
        for forbidden in (acme.invoices.make("acme", "2026-09"), acme.invoices.credit(own), acme.invoices.settings()):
            with pytest.raises(PermissionDenied):
                await forbidden


async def test_entries_as_csv_are_no_formulas(client: AsyncClient, http: httpx.AsyncClient) -> None:
    number = (await client.invoices.make("acme", "2026-09")).number
    reply = await http.get(f"/llmos/v1/invoices/{number}/entries?format=csv")
    rows = [*csv.DictReader(io.StringIO(reply.text))]
    assert [(row["call_id"], row["cost"]) for row in rows] == [("a", "1.25"), ("'=b", "1.25")]
    reply = await http.get(f"/llmos/v1/invoices/{number}/entries")
    assert [json.loads(line)["call_id"] for line in reply.text.splitlines()] == ["a", "=b"]


async def test_what_cannot_be_made_says_why(client: AsyncClient) -> None:
    with pytest.raises(BadRequest, match="Write year and month"):
        await client.invoices.make("acme", "September")
    with pytest.raises(BadRequest, match="nothing to pay"):
        await client.invoices.make("nobody", "2026-09")
    with pytest.raises(NotFound, match="2026-9999"):
        await client.invoices.get("2026-9999")
    with pytest.raises(NotFound, match="nobody"):
        await client.invoices.configure(SETTINGS, "nobody")
    with pytest.raises(BadRequest, match="Did you mean name"):
        await client.invoices.configure({"seller": {"nam": "Example Ltd"}})


async def test_the_header_accept_chooses_the_format(client: AsyncClient, http: httpx.AsyncClient) -> None:
    made = await client.invoices.make("acme", "2026-09")
    path = f"/llmos/v1/invoices/{made.number}"
    for accept, expected in (
        ("text/html", "text/html"),
        ("application/pdf", "application/pdf"),
        ("*/*", "application/json"),
    ):
        shown = await http.get(path, headers={"accept": accept})
        assert shown.headers["content-type"].startswith(expected)
        assert "Accept" in shown.headers["vary"]
    entries = await http.get(f"{path}/entries", headers={"accept": "text/csv"})
    assert entries.headers["content-type"].startswith("text/csv")
