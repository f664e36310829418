"""Sign-in, sessions and sign-out over HTTP: cookies, CSRF tokens, pages, and requests in a session."""

import dataclasses
import re
from collections.abc import AsyncIterator
from ipaddress import ip_network
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from llmos.gateway.app import create_app
from llmos.gateway.http.sign_in_page import DEFAULT_NEXT, safe_next
from llmos.gateway.services import Services
from llmos.security.users.sign_in import SignIn
from llmos.security.users.throttle import ADDRESS_RATE, NAME_RATE, Throttle
from support.scripted import KEY, FakePool

pytestmark = pytest.mark.anyio

PASSWORD = "correct horse battery staple"
CHAT = {"model": "dialogue", "messages": [{"role": "user", "content": "Hello"}]}
FORM = {"content-type": "application/x-www-form-urlencoded"}


def browser_of(app: FastAPI, **options: Any) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    return httpx.AsyncClient(**{"transport": transport, "base_url": "http://llmos", **options})


@pytest.fixture
async def browser(app: FastAPI, services: Services) -> AsyncIterator[httpx.AsyncClient]:
    """A client without a key; the user ann may do everything."""
    services.users.create("ann", role="owner", password=PASSWORD)
    async with browser_of(app) as client:
        yield client


async def sign_in(client: httpx.AsyncClient, user: str = "ann", password: str = PASSWORD) -> dict[str, Any]:
    reply = await client.post("/llmos/v1/sign-in", json={"user": user, "password": password})
    assert reply.status_code == 200, reply.text
    session: dict[str, Any] = reply.json()
    return session


async def test_a_session_works_like_a_key(browser: httpx.AsyncClient, pool: FakePool) -> None:
    assert (await browser.get("/llmos/v1/models")).status_code == 401
    session = await sign_in(browser)
    assert (session["user"], session["role"], session["project"], session["method"]) == (
        "ann", "owner", "owner", "password",
    )  # fmt: skip
    assert "keys:write" in session["permissions"]
    assert (await browser.get("/llmos/v1/models")).status_code == 200
    assert (await browser.get("/llmos/v1/session")).json()["csrf_token"] == session["csrf_token"]
    headers = {"x-csrf-token": session["csrf_token"]}
    assert (await browser.post("/v1/chat/completions", json=CHAT, headers=headers)).status_code == 200
    key = (await browser.post("/llmos/v1/keys", json={"name": "CI"}, headers=headers)).json()
    assert key["created_by"] == "user:ann"


async def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(browser: httpx.AsyncClient) -> None:
    reply = await browser.post("/llmos/v1/sign-in", json={"user": "ann", "password": PASSWORD})
    name, _, rest = reply.headers["set-cookie"].partition("=")
    assert name == "llmos_session"
    attributes = {each.strip().lower() for each in rest.split(";")[1:]}
    assert attributes == {"httponly", "path=/", "samesite=strict"}
    assert reply.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("how", ["proxy", "setting"])
async def test_under_tls_the_cookie_stays_under_tls(services: Services, how: str) -> None:
    services.users.create("ann", password=PASSWORD)
    headers = {"x-forwarded-proto": "https"} if how == "proxy" else {}
    if how == "setting":
        settings = dataclasses.replace(services.settings, public_url="https://llmos.example.com")
        services = dataclasses.replace(services, settings=settings)
    async with browser_of(create_app(services), base_url="https://llmos", headers=headers) as client:
        reply = await client.post("/llmos/v1/sign-in", json={"user": "ann", "password": PASSWORD})
        assert reply.headers["set-cookie"].startswith("__Host-llmos_session=")
        assert "; Secure" in reply.headers["set-cookie"]
        assert "Domain" not in reply.headers["set-cookie"]
        assert (await client.get("/llmos/v1/session")).status_code == 200


@pytest.mark.parametrize("token", [None, "", "wrong", "another session's"])
async def test_a_change_needs_the_csrf_token_of_its_session(
    browser: httpx.AsyncClient, app: FastAPI, services: Services, token: str | None
) -> None:
    async with browser_of(app) as other:
        others_token = (await sign_in(other))["csrf_token"]
    await sign_in(browser)
    if token == "another session's":
        token = others_token
    headers = {} if token is None else {"x-csrf-token": token}
    for method, path in [
        ("POST", "/llmos/v1/keys"),
        ("PUT", "/llmos/v1/routes/chat"),
        ("DELETE", "/llmos/v1/projects/acme"),
        ("POST", "/v1/chat/completions"),
        ("POST", "/llmos/v1/sign-out"),
    ]:
        reply = await browser.request(method, path, headers=headers, json={} if method != "DELETE" else None)
        assert reply.status_code == 403, path
        assert "CSRF token" in reply.json()["error"]["message"]
    assert services.keys.list() == []
    assert (await browser.get("/llmos/v1/session")).status_code == 200


async def test_a_key_needs_no_csrf_token_even_beside_a_cookie(browser: httpx.AsyncClient) -> None:
    await sign_in(browser)
    reply = await browser.post("/llmos/v1/keys", json={}, headers={"authorization": f"Bearer {KEY}"})
    assert reply.status_code == 200
    assert reply.json()["created_by"] == "owner"


async def test_signing_out_ends_this_session_and_no_other(browser: httpx.AsyncClient, app: FastAPI) -> None:
    session = await sign_in(browser)
    cookies = dict(browser.cookies)
    async with browser_of(app) as elsewhere:
        await sign_in(elsewhere)
        headers = {"x-csrf-token": session["csrf_token"]}
        reply = await browser.post("/llmos/v1/sign-out", headers=headers)
        assert reply.status_code == 204
        assert "Max-Age=0" in reply.headers["set-cookie"]
        assert dict(browser.cookies) == {}
        assert (await elsewhere.get("/llmos/v1/session")).status_code == 200
    async with browser_of(app, cookies=cookies) as thief:
        reply = await thief.get("/llmos/v1/models")
        assert (reply.status_code, "has ended" in reply.text) == (401, True)
    assert (await browser.post("/llmos/v1/sign-out")).status_code == 401


async def test_signing_in_again_replaces_the_session(browser: httpx.AsyncClient, services: Services) -> None:
    await sign_in(browser)
    before = dict(browser.cookies)
    await sign_in(browser)
    assert dict(browser.cookies) != before
    assert services.sessions.counts() == {"ann": 1}


async def test_a_user_changes_the_own_password_and_only_with_the_current_one(
    browser: httpx.AsyncClient, app: FastAPI, services: Services
) -> None:
    path, new = "/llmos/v1/session/password", "another password entirely"
    body = {"current_password": PASSWORD, "password": new}
    assert (await browser.post(path, json=body)).status_code == 401
    session = await sign_in(browser)
    assert (await browser.post(path, json=body)).status_code == 403
    headers = {"x-csrf-token": session["csrf_token"]}
    for changes, param in [({"current_password": "wrong"}, "current_password"), ({"password": "short"}, "password")]:
        reply = await browser.post(path, json={**body, **changes}, headers=headers)
        assert (reply.status_code, reply.json()["error"]["param"]) == (400, param)
    async with browser_of(app) as elsewhere:
        await sign_in(elsewhere)
        changed = await browser.post(path, json=body, headers=headers)
        assert changed.status_code == 200, changed.text
        assert changed.json()["csrf_token"] != session["csrf_token"]
        (entry,) = services.audit.log.list(action="user.set_password")
        assert (entry.outcome, entry.key, entry.object) == ("succeeded", "user:ann", "ann")
        assert (await elsewhere.get("/llmos/v1/session")).status_code == 401
    assert (await browser.get("/llmos/v1/session")).status_code == 200
    await sign_in(browser, password=new)
    for _ in range(NAME_RATE.at_once + 1):
        headers = {"x-csrf-token": (await browser.get("/llmos/v1/session")).json()["csrf_token"]}
        reply = await browser.post(path, json={**body, "current_password": "wrong"}, headers=headers)
    assert reply.status_code == 429, "whoever finds an open browser guesses no faster"


async def test_calls_in_a_session_are_the_users_unless_the_request_names_another(
    browser: httpx.AsyncClient, pool: FakePool
) -> None:
    headers = {"x-csrf-token": (await sign_in(browser))["csrf_token"]}
    for body in (CHAT, {**CHAT, "user": "customer-7"}):
        assert (await browser.post("/v1/chat/completions", json=body, headers=headers)).status_code == 200
    assert [each.caller for each in pool.requests] == ["owner\nann", "owner\ncustomer-7"]


async def test_the_owner_signs_a_user_out_everywhere(browser: httpx.AsyncClient, http: httpx.AsyncClient) -> None:
    await sign_in(browser)
    assert (await http.get("/llmos/v1/users/ann")).json()["num_sessions"] == 1
    reply = await http.post("/llmos/v1/users/ann/sign-out", json={})
    assert reply.json() == {"name": "ann", "num_sessions": 1}
    assert (await browser.get("/llmos/v1/session")).status_code == 401


async def test_a_wrong_password_a_wrong_name_and_a_throttled_try(browser: httpx.AsyncClient) -> None:
    wrong = await browser.post("/llmos/v1/sign-in", json={"user": "ann", "password": "wrong"})
    nobody = await browser.post("/llmos/v1/sign-in", json={"user": "nobody", "password": "wrong"})
    assert wrong.status_code == nobody.status_code == 401
    assert wrong.json() == nobody.json()
    assert "set-cookie" not in wrong.headers
    for _ in range(NAME_RATE.at_once):
        reply = await browser.post("/llmos/v1/sign-in", json={"user": "ann", "password": "wrong"})
    assert reply.status_code == 429
    assert int(reply.headers["retry-after"]) > 0


@pytest.mark.parametrize("trusted", [False, True])
async def test_the_address_behind_a_proxy_counts_if_the_proxy_is_trusted(services: Services, trusted: bool) -> None:
    networks = (ip_network("127.0.0.0/8"),) if trusted else ()
    app = create_app(
        dataclasses.replace(services, settings=dataclasses.replace(services.settings, trusted_proxies=networks))
    )

    async def last_status(first_octet: int) -> int:
        """The status when so many names were tried from one client behind the proxy, which claims to be others."""
        async with browser_of(app) as client:
            for i in range(ADDRESS_RATE.at_once + 1):
                headers = {"x-forwarded-for": f"198.51.100.{i}, 203.0.{first_octet}.7"}
                body = {"user": f"user{first_octet}-{i}", "password": "wrong"}
                reply = await client.post("/llmos/v1/sign-in", json=body, headers=headers)
        return reply.status_code

    assert await last_status(1) == 429
    async with browser_of(app) as client:
        headers = {"x-forwarded-for": "203.0.2.7"}
        reply = await client.post("/llmos/v1/sign-in", json={"user": "x", "password": "wrong"}, headers=headers)
    assert reply.status_code == (401 if trusted else 429)


@pytest.mark.parametrize("origin", ["https://evil.example.com", "null", "http://llmos.evil.example.com"])
async def test_pages_of_others_sign_nobody_in(browser: httpx.AsyncClient, origin: str) -> None:
    for headers in ({}, FORM):
        body = "user=ann&password=correct+horse+battery+staple" if headers else None
        reply = await browser.post(
            "/llmos/v1/sign-in",
            headers={"origin": origin, **headers},
            **({"content": body} if body else {"json": {"user": "ann", "password": PASSWORD}}),
        )
        assert reply.status_code == 403
        assert "set-cookie" not in reply.headers
    own = await browser.post(
        "/llmos/v1/sign-in", headers={"origin": "http://llmos"}, json={"user": "ann", "password": PASSWORD}
    )
    assert own.status_code == 200


async def test_a_browser_without_scripts_signs_in_and_out(browser: httpx.AsyncClient) -> None:
    page = await browser.get("/llmos/v1/sign-in", params={"next": "/console?a=1&b=2"})
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "<script" not in page.text
    next = re.search(r'name="next" value="([^"]*)"', page.text)
    assert next is not None
    assert next[1] == "/console?a=1&amp;b=2"
    wrong = await browser.post("/llmos/v1/sign-in", data={"user": "ann", "password": "wrong", "next": "/console"})
    assert (wrong.status_code, 'value="/console"' in wrong.text) == (401, True)
    assert "The user name or the password is wrong." in wrong.text
    right = await browser.post("/llmos/v1/sign-in", data={"user": "ann", "password": PASSWORD, "next": "/console"})
    assert (right.status_code, right.headers["location"]) == (303, "/console")
    signed_in = await browser.get("/llmos/v1/sign-in")
    assert "signed in as <b>ann</b>" in signed_in.text
    csrf = re.search(r'name="csrf_token" value="([^"]*)"', signed_in.text)
    assert csrf is not None
    assert (await browser.post("/llmos/v1/sign-out", data={"csrf_token": "x"})).status_code == 403
    out = await browser.post("/llmos/v1/sign-out", data={"csrf_token": csrf[1]})
    assert (out.status_code, out.headers["location"]) == (303, "/llmos/v1/sign-in")
    assert (await browser.get("/llmos/v1/session")).status_code == 401


@pytest.mark.parametrize(
    "next",
    ["https://evil.example", "//evil.example", "/\\evil.example", "\\\\evil", "/a\nb", "/\t/evil",
     "javascript:alert(1)", "", "evil", "/ü", "/" + "a" * 600, "/a b", None],
)  # fmt: skip
def test_a_browser_never_goes_to_another_server(next: str | None) -> None:
    assert safe_next(next) == DEFAULT_NEXT


async def test_what_a_page_shows_of_a_request_is_escaped(browser: httpx.AsyncClient) -> None:
    page = await browser.get("/llmos/v1/sign-in", params={"next": '/"><script>alert(1)</script>'})
    assert "<script" not in page.text


async def test_no_visitor_becomes_the_owner_of_a_new_server(app: FastAPI, services: Services) -> None:
    assert services.users.list() == []
    async with browser_of(app) as client:
        page = await client.get("/llmos/v1/sign-in")
        assert "llmos user create" in page.text
        for body in ({"user": "owner", "password": ""}, {"user": "admin", "password": "admin"}):
            assert (await client.post("/llmos/v1/sign-in", json=body)).status_code == 401
        body = {"name": "ann", "role": "owner", "password": PASSWORD}
        assert (await client.post("/llmos/v1/users", json=body)).status_code == 401
    assert services.users.list() == []


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"", {}, 400),
        (b"[]", {}, 400),
        (b'{"user": 1, "password": "x"}', {}, 400),
        (b'{"user": "ann"}', {}, 400),
        (b'{"user": "ann", "password": "x", "role": "owner"}', {}, 400),
        (b"user=ann", FORM, 400),
        (b"\xff\xfe", FORM, 400),
        (b"x" * 20_000, {}, 413),
        (b"x" * 20_000, FORM, 413),
    ],
)
async def test_bad_bodies_are_refused(
    browser: httpx.AsyncClient, body: bytes, headers: dict[str, str], status: int
) -> None:
    reply = await browser.post("/llmos/v1/sign-in", content=body, headers=headers)
    assert reply.status_code == status, reply.text


async def test_a_session_may_do_no_more_than_its_role(browser: httpx.AsyncClient, services: Services) -> None:
    services.projects.create("acme")
    services.users.create("viewer", role="viewer", project="acme", password=PASSWORD)
    headers = {"x-csrf-token": (await sign_in(browser, "viewer"))["csrf_token"]}
    assert (await browser.get("/llmos/v1/models")).status_code == 200
    refused = await browser.post("/v1/chat/completions", json=CHAT, headers=headers)
    assert refused.status_code == 403
    assert "The user viewer doesn't have the permission inference" in refused.json()["error"]["message"]
    assert (await browser.get("/llmos/v1/users")).status_code == 403
    services.users.set_role("viewer", "developer")
    assert (await browser.post("/v1/chat/completions", json=CHAT, headers=headers)).status_code == 200


async def test_sign_ins_are_reported_with_request_and_address(services: Services, database: Any) -> None:
    events: list[Any] = []
    services.users.create("ann", password=PASSWORD)
    signing = SignIn(services.users, services.sessions, Throttle(database), events.append)
    async with browser_of(create_app(dataclasses.replace(services, sign_in=signing))) as client:
        reply = await client.post("/llmos/v1/sign-in", json={"user": "ann", "password": PASSWORD})
    (event,) = events
    assert (event.request_id, event.address) == (reply.headers["x-request-id"], "127.0.0.1")


async def test_a_link_signs_in_once_and_leads_on(app: FastAPI, http: httpx.AsyncClient, services: Services) -> None:
    services.users.create("lea", role="viewer")
    link = (await http.post("/llmos/v1/users/lea/sign-in-link", json={})).json()
    assert link["user"] == "lea"
    async with browser_of(app) as client:
        page = await client.get(f"{link['path']}&next=/console/")
        assert 'content="0; url=/console/"' in page.text
        session = (await client.get("/llmos/v1/session")).json()
        assert (session["user"], session["method"]) == ("lea", "link")
    async with browser_of(app) as other:
        for path in (link["path"], "/llmos/v1/sign-in/link?token=", "/llmos/v1/sign-in/link"):
            reply = await other.get(path)
            assert (reply.status_code, "llmos console" in reply.text) == (401, True)
        assert (await other.get("/llmos/v1/session")).status_code == 401


async def test_who_may_not_manage_users_makes_no_link(browser: httpx.AsyncClient, services: Services) -> None:
    services.users.create("dev", role="developer", password=PASSWORD)
    headers = {"x-csrf-token": (await sign_in(browser, "dev"))["csrf_token"]}
    assert (await browser.post("/llmos/v1/users/ann/sign-in-link", json={}, headers=headers)).status_code == 403


async def test_signing_out_everywhere_ends_the_other_sessions(app: FastAPI, browser: httpx.AsyncClient) -> None:
    async with browser_of(app) as other:
        await sign_in(other)
        headers = {"x-csrf-token": (await sign_in(browser))["csrf_token"]}
        assert (await browser.post("/llmos/v1/sign-out?everywhere=true", headers=headers)).status_code == 204
        assert (await other.get("/llmos/v1/session")).status_code == 401


async def test_the_ways_to_sign_in_are_listed(browser: httpx.AsyncClient) -> None:
    assert (await browser.get("/llmos/v1/sign-in/ways")).json() == {"password": True, "oidc": False}
