"""Sign-in through an OpenID provider, as a browser does it; against a provider of ours and an independent one."""

import dataclasses
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from http.cookies import SimpleCookie
from typing import Any

import httpx
import pytest

from llmos.core.database import Database
from llmos.core.oidc_config import read_oidc
from llmos.gateway.app import create_app
from llmos.gateway.listening import listen
from llmos.gateway.services import Services
from llmos.security.oidc.flow import OidcFlow
from llmos.security.users.throttle import ADDRESS_RATE
from support.oidc_provider import CLIENT_ID, CLIENT_SECRET, OidcProvider, oidc_provider

pytestmark = pytest.mark.anyio

PUBLIC_URL = "http://localhost:8000"
CALLBACK = "/llmos/v1/sign-in/oidc/callback"


@pytest.fixture
def provider() -> Iterator[OidcProvider]:
    with oidc_provider() as provider:
        yield provider


def browser_of(services: Services, database: Database, issuer: str, roles: str = "ops=operator") -> httpx.AsyncClient:
    environ = {
        "LLMOS_OIDC_ISSUER": issuer,
        "LLMOS_OIDC_CLIENT_ID": CLIENT_ID,
        "LLMOS_OIDC_CLIENT_SECRET": CLIENT_SECRET,
        "LLMOS_OIDC_ROLES": roles,
    }
    config = read_oidc(environ, PUBLIC_URL)
    assert config is not None
    settings = dataclasses.replace(services.settings, oidc=config, public_url=PUBLIC_URL)
    services = dataclasses.replace(services, settings=settings, oidc=OidcFlow(config, database))
    transport = httpx.ASGITransport(create_app(services), raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url=PUBLIC_URL)


@pytest.fixture
async def browser(services: Services, database: Database, provider: OidcProvider) -> AsyncIterator[httpx.AsyncClient]:
    async with browser_of(services, database, provider.issuer) as client:
        yield client


async def begin(browser: httpx.AsyncClient, next: str = "/console") -> str:
    reply = await browser.get("/llmos/v1/sign-in/oidc", params={"next": next})
    assert reply.status_code == 303, reply.text
    return reply.headers["location"]


async def test_a_browser_goes_to_the_provider_and_comes_back_with_a_session(
    browser: httpx.AsyncClient, provider: OidcProvider, services: Services
) -> None:
    page = await browser.get("/llmos/v1/sign-in", params={"next": "/console?a=1&b=2"})
    link = re.search(r'href="(/llmos/v1/sign-in/oidc[^"]*)"', page.text)
    assert link is not None
    reply = await browser.get(link[1])
    cookie = SimpleCookie(reply.headers["set-cookie"])["llmos_oidc"]
    assert (cookie["httponly"], cookie["samesite"], cookie["max-age"]) == (True, "lax", "600")
    state, code = provider.authorize(reply.headers["location"])
    back = await browser.get(CALLBACK, params={"state": state, "code": code})
    assert back.status_code == 200, back.text
    # A page, because the browser would follow a redirect without the cookie, which is SameSite=Strict.
    assert 'http-equiv="refresh" content="0; url=/console?a=1&amp;b=2"' in back.text
    session = (await browser.get("/llmos/v1/session")).json()
    assert (session["user"], session["role"], session["method"]) == ("ann", "operator", "oidc")
    assert "llmos_oidc" not in browser.cookies
    assert services.users.get("ann").issuer == provider.issuer
    again = await browser.get(CALLBACK, params={"state": state, "code": code})
    assert again.status_code == 401, "the browser has forgotten the sign-in"


async def test_a_reply_in_another_browser_signs_nobody_in(
    browser: httpx.AsyncClient, provider: OidcProvider, services: Services, database: Database
) -> None:
    state, code = provider.authorize(await begin(browser))
    async with browser_of(services, database, provider.issuer) as victim:
        for kept in ({}, {"llmos_oidc": "e30="}):
            victim.cookies = httpx.Cookies(kept)
            reply = await victim.get(CALLBACK, params={"state": state, "code": code})
            assert reply.status_code == 401
            assert "llmos_session" not in victim.cookies
        await begin(victim)
        assert (await victim.get(CALLBACK, params={"state": state, "code": code})).status_code == 401
    assert services.users.list() == []


@pytest.mark.parametrize(
    ("groups", "changes", "status", "words"),
    [
        (["others"], {}, 403, "in no group"),
        (["ops"], {"nonce": "another"}, 401, "another sign-in"),
        (["ops"], {"aud": "another"}, 401, "another application"),
        (["ops"], {"exp": 1}, 401, "has expired"),
    ],
)
async def test_what_is_refused_is_said_on_the_page(
    browser: httpx.AsyncClient,
    provider: OidcProvider,
    services: Services,
    groups: list[str],
    changes: dict[str, Any],
    status: int,
    words: str,
) -> None:
    provider.claims["groups"], provider.changes = groups, changes
    state, code = provider.authorize(await begin(browser))
    reply = await browser.get(CALLBACK, params={"state": state, "code": code})
    assert reply.status_code == status
    assert words in reply.text
    assert "llmos_session" not in browser.cookies
    assert services.users.list() == []


async def test_what_the_provider_says_is_escaped(browser: httpx.AsyncClient, provider: OidcProvider) -> None:
    state, _ = provider.authorize(await begin(browser))
    reply = await browser.get(CALLBACK, params={"state": state, "error": "<script>alert(1)</script>"})
    assert reply.status_code == 401
    assert "<script" not in reply.text


@pytest.mark.parametrize("next", ["https://evil.example", "//evil.example", "/\\evil.example"])
async def test_the_browser_comes_back_to_this_server(
    browser: httpx.AsyncClient, provider: OidcProvider, next: str
) -> None:
    state, code = provider.authorize(await begin(browser, next))
    reply = await browser.get(CALLBACK, params={"state": state, "code": code})
    assert "evil" not in reply.text
    assert reply.status_code == 200


async def test_a_cookie_with_another_path_leads_to_no_other_server(
    browser: httpx.AsyncClient, provider: OidcProvider
) -> None:
    from llmos.security.oidc.flow import read_pending

    state, code = provider.authorize(await begin(browser))
    pending = read_pending(browser.cookies["llmos_oidc"])
    assert pending is not None
    import msgspec

    browser.cookies.clear()
    browser.cookies.set("llmos_oidc", msgspec.structs.replace(pending, next="https://evil.example").encoded())
    reply = await browser.get(CALLBACK, params={"state": state, "code": code})
    assert "evil" not in reply.text


async def test_a_disabled_person_stays_out(
    browser: httpx.AsyncClient, provider: OidcProvider, services: Services
) -> None:
    state, code = provider.authorize(await begin(browser))
    await browser.get(CALLBACK, params={"state": state, "code": code})
    services.users.disable("ann")
    assert (await browser.get("/llmos/v1/session")).status_code == 401
    state, code = provider.authorize(await begin(browser))
    reply = await browser.get(CALLBACK, params={"state": state, "code": code})
    assert (reply.status_code, "may not sign in" in reply.text) == (401, True)


async def test_a_provider_that_is_away_is_said_on_the_page(services: Services, database: Database) -> None:
    async with browser_of(services, database, "http://127.0.0.1:9") as browser:
        reply = await browser.get("/llmos/v1/sign-in/oidc")
        assert reply.status_code == 502
        assert "reached" in reply.text
        assert 'name="password"' in reply.text


@pytest.mark.thorough
async def test_tries_through_a_provider_are_throttled_by_address(
    browser: httpx.AsyncClient, provider: OidcProvider
) -> None:
    for _ in range(ADDRESS_RATE.at_once + 1):
        state, _ = provider.authorize(await begin(browser))
        reply = await browser.get(CALLBACK, params={"state": state, "code": "guessed"})
    assert reply.status_code == 429
    assert provider.asked.count("/token") == ADDRESS_RATE.at_once


async def test_without_a_provider_there_is_no_such_way(http: httpx.AsyncClient) -> None:
    assert (await http.get("/llmos/v1/sign-in/oidc")).status_code == 404
    assert (await http.get(CALLBACK)).status_code == 404
    assert "oidc" not in (await http.get("/llmos/v1/sign-in")).text


@pytest.fixture
def independent() -> Iterator[str]:
    """The provider oidc-provider-mock, in a process of its own. It knows Ann, of the group ops."""
    with listen("127.0.0.1", 0) as free:
        port = free.getsockname()[1]
    claims = '{"sub": "ann", "preferred_username": "ann", "groups": ["ops"]}'
    command = [
        sys.executable,
        "-W",
        "ignore",
        "-m",
        "oidc_provider_mock",
        "--require-nonce",
        "true",
        "--port",
        str(port),
    ]
    process = subprocess.Popen(
        [*command, "--user-claims", claims], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env={**os.environ}
    )
    url = f"http://127.0.0.1:{port}"
    try:
        while process.poll() is None:
            try:
                httpx.get(f"{url}/.well-known/openid-configuration")
                break
            except httpx.ConnectError:
                continue
        assert process.poll() is None, process.stderr and process.stderr.read()
        yield url
    finally:
        process.terminate()
        process.communicate()


@pytest.mark.process
async def test_a_provider_that_others_wrote_signs_ann_in(
    services: Services, database: Database, independent: str
) -> None:
    async with browser_of(services, database, independent) as browser:
        url = await begin(browser)
        agreed = httpx.post(url, data={"sub": "ann"})
        assert agreed.status_code in (302, 303), agreed.text
        back = agreed.headers["location"]
        assert back.startswith(f"{PUBLIC_URL}{CALLBACK}?")
        reply = await browser.get(back)
        assert reply.status_code == 200, reply.text
        session = (await browser.get("/llmos/v1/session")).json()
        assert (session["user"], session["role"], session["method"]) == ("ann", "operator", "oidc")
