"""The rest of Settings as a browser without scripts gets it: prices, guardrails, policies, webhooks, erasures, logs."""

import re

import httpx
import pytest
from fastapi import FastAPI

from llmos.client import AsyncClient
from llmos.core.log_files import LogFiles
from llmos.gateway.services import Services
from support.chromium import HOSTILE
from support.console import PASSWORD, browser_of, send, sign_in
from support.receiver import receiving

pytestmark = pytest.mark.anyio

BOOK = "currency: EUR\nprices:\n  default:\n    per_million_tokens: {input: '0.10', output: '0.60'}\n"


async def test_prices_are_previewed_set_compared_and_calculated(ann: httpx.AsyncClient, owner: AsyncClient) -> None:
    preview = await send(ann, "/settings/prices/preview", document=BOOK)
    assert "default per_million_tokens output" in preview
    assert await owner.prices.list() == []
    for document in (BOOK, BOOK.replace("0.60", "0.75")):
        assert "The prices have the version" in await send(ann, "/settings/prices/set", document=document)
    page = (await ann.get("/console/settings/prices/2?to=1")).text
    assert "<bdi>0.6" in page
    assert "<bdi>0.75" in page
    assert "per_million_tokens input" not in page
    page = await send(ann, "/settings/prices/try", version="smollm2@1", output="2000000")
    assert "1.5" in page
    assert "by the prices of default, version 2" in page
    assert "many is not a whole number" in await send(ann, "/settings/prices/try", output="many")
    assert "Write an object" in await send(ann, "/settings/prices/set", document="- a list")


async def test_a_guardrail_is_made_tried_applied_and_replayed(ann: httpx.AsyncClient) -> None:
    document = '{"both": [{"guardrail": "max_length", "characters": 1000}]}'
    page = await send(ann, "/settings/guardrails/set", name="fruit", document=document)
    assert "fruit has the version 1." in page, page
    blocked = await send(ann, "/settings/guardrails/fruit/try", text=HOSTILE * 20)
    assert "blocked" in blocked
    assert "max_length:" in blocked
    assert "<img" not in blocked
    passed = await send(ann, "/settings/guardrails/fruit/try", text=HOSTILE, side="output")
    assert "let pass" in passed
    assert "<img" not in passed
    assert "fruit screens the calls" in await send(ann, "/settings/guardrails/fruit/apply", scope="installation")
    assert "apply" in await send(ann, "/settings/guardrails/fruit/remove")  # It applies somewhere.
    assert "doesn&#39;t screen them" in await send(ann, "/settings/guardrails/fruit/unapply", place="installation")
    assert "are screened" in await send(ann, "/settings/guardrails/fruit/replay", days="7")
    page = await send(ann, "/settings/guardrails/set", name="fruit", document="{broken")
    assert "no JSON" in page
    assert "fruit is removed." in await send(ann, "/settings/guardrails/fruit/remove")


async def test_policies_are_set_and_roles_listed(ann: httpx.AsyncClient) -> None:
    page = await send(ann, "/settings/policies/set", name="max_perplexity_increase", value="5%")
    assert "max_perplexity_increase is 5% now." in page
    assert "0.05" in page
    assert re.search(r"keys:write</th>(<td>–</td>){3}<td>yes</td>", page)
    assert re.search(r"models:write</th>(<td>–</td>){2}(<td>in owner</td>){2}", page)
    page = await send(ann, "/settings/policies/set", name="max_perplexity_increase", unset="yes")
    assert "is not set any more" in page


async def test_a_webhook_shows_its_secret_once_is_tested_and_removed(ann: httpx.AsyncClient) -> None:
    with receiving() as receiver:
        fields = {"name": "crm", "url": receiver.url, "allow_private": "on"}
        page = await send(ann, "/settings/webhooks/create", **fields)
        found = re.search(r'id="secret">([^<]+)<', page)
        assert found is not None
        page = await send(ann, "/settings/webhooks/crm/test")
        assert "The test message is delivered: 2" in page
        assert "webhook.test" in page
        assert found[1] not in page
    assert "is shown this once" in await send(ann, "/settings/webhooks/crm/rotate")
    assert "crm is removed." in await send(ann, "/settings/webhooks/crm/remove")


async def test_a_person_is_forgotten_only_if_named_twice(ann: httpx.AsyncClient, owner: AsyncClient) -> None:
    session = await owner.sessions.open("shop", "u1", user="eve@example.com")
    fields = {"subject": "eve@example.com"}
    assert "Write the same name twice" in await send(ann, "/settings/erasures/create", **fields, again="eve")
    page = await send(ann, "/settings/erasures/create", **fields, again="eve@example.com")
    assert "The data of eve@example.com are erased." in page
    assert session.id in page
    assert "signature" in page


async def test_encryption_shows_its_keys_and_replaces_one(ann: httpx.AsyncClient) -> None:
    page = (await ann.get("/console/settings/encryption")).text
    assert "keys/master" in page
    assert "The key is replaced" in await send(ann, "/settings/encryption/rotate", project="owner")


async def test_the_log_is_filtered(ann: httpx.AsyncClient, services: Services) -> None:
    files = LogFiles(services.settings.logs_path, max_bytes=1 << 20)
    line = {"time": "2026-11-30T10:00:00Z", "event": "message", "logger": "llmos"}
    files.write(line | {"level": "warning", "message": f"disk {HOSTILE}"})
    files.write(line | {"level": "error", "message": "gone"})
    files.close()
    page = (await ann.get("/console/settings/logs?since=2026-11-30")).text
    assert "disk" in page
    assert "<img" not in page
    page = (await ann.get("/console/settings/logs?level=error")).text
    assert ("gone" in page, "disk" in page) == (True, False)


async def test_the_log_of_a_version_is_on_the_page_of_its_deployment(
    ann: httpx.AsyncClient, services: Services
) -> None:
    files = LogFiles(services.settings.logs_path, max_bytes=1 << 20)
    line = {"time": "2026-11-30T10:00:00Z", "event": "message", "logger": "llmos", "level": "error"}
    files.write(line | {"message": "about one", "version": "smollm2@1"})
    files.write(line | {"message": "about two", "version": "smollm2@2"})
    files.close()
    page = (await ann.get("/console/settings/logs?version=smollm2@1")).text
    assert ("about one" in page, "about two" in page) == (True, False)
    assert "llmos logs --follow --version smollm2@1" in page


@pytest.mark.process
async def test_the_doctor_says_what_to_mend_first(ann: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (await ann.get("/console/settings/doctor")).text
    assert "keys/master" in page
    monkeypatch.setattr("llmos.gateway.doctor.installation._ENOUGH_DISK_BYTES", 1 << 62)
    page = (await ann.get("/console/settings/doctor")).text
    assert "Something needs to be mended." in page
    assert page.index("Free disk space") < page.index("keys/master")


async def test_a_developer_of_a_project_finds_what_there_is_for_developers(app: FastAPI, services: Services) -> None:
    services.projects.create("shed")
    services.users.create("dan", role="developer", project="shed", password=PASSWORD)
    async with browser_of(app) as dan:
        await sign_in(dan, "dan")
        page = (await dan.get("/console/settings/webhooks")).text
        assert ">Settings</a>" in page
        assert "Prices</a>" in page
        for path in ("guardrails", "erasures", "encryption", "doctor", "logs", "keys", "users", "audit"):
            assert f'href="/console/settings/{path}"' not in page
            assert (await dan.get(f"/console/settings/{path}")).status_code == 403
