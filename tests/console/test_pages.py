"""Pages as a browser without scripts gets them: who sees what, CSRF tokens, headers, and foreign texts."""

from html.parser import HTMLParser
from http.cookiejar import DefaultCookiePolicy

import httpx
import pytest
from fastapi import FastAPI
from starlette.requests import Request

from llmos.console.app import CONTENT_SECURITY_POLICY
from llmos.console.pages import PAGES, PUBLIC_PAGES
from llmos.console.static_files import static_files
from llmos.core.schemas.users import SessionDescription
from llmos.gateway.services import Services
from support.console import PASSWORD, browser_of, csrf_of, sign_in

pytestmark = pytest.mark.anyio

READABLE = sorted(
    page.root + path
    for page in PAGES + PUBLIC_PAGES
    for method, path, _ in page.handlers
    if method == "GET" and "{" not in path
)


CHANGES = sorted(
    (page.root + path)
    .replace("{ref}", "smollm2@1")
    .replace("{id}", "job-1")
    .replace("{name}", "dialogue")
    .replace("{name:path}", "dialogue")
    for page in PAGES
    for method, path, _ in page.handlers
    if method == "POST"
)
"""The addresses that forms are sent to."""


class Links(HTMLParser):
    """Collects the addresses of a page, and everything that a strict policy forbids."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.addresses: set[str] = set()
        self.forms: set[str] = set()
        """The addresses that the page's forms are sent to."""
        self.forbidden: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if ("method", "post") in attrs:
            self.forms.add(dict(attrs)["action"] or "")
            return
        for name, value in attrs:
            if name in ("href", "src", "action", "hx-get", "hx-sse:connect"):
                self.addresses.add(value or "")
            if name == "style" or name.startswith(("on", "hx-on")):
                self.forbidden.append(f"{tag} {name}")
        if tag == "style" or (tag == "script" and "src" not in dict(attrs)):
            self.forbidden.append(tag)


@pytest.mark.process
async def test_every_page_reads_without_scripts_and_links_to_what_there_is(ann: httpx.AsyncClient) -> None:
    known, forms = set(), set()
    for path in READABLE:
        reply = await ann.get(f"/console{path}" if path else "/console/")
        assert reply.status_code == 200, (path, reply.text)
        assert reply.headers["content-security-policy"] == CONTENT_SECURITY_POLICY
        assert reply.headers["cache-control"] == "no-store"
        found = Links(reply.text)
        assert found.forbidden == [], path
        known, forms = known | found.addresses, forms | found.forms
    assert forms <= {"/console/sign-in", *(f"/console{path}" for path in CHANGES)}
    for address in sorted(known):
        assert address.startswith(("/console", "/llmos/v1/", "#")), address
        path = address.partition("?")[0]
        if path.startswith("/console/static/"):
            assert path.removeprefix("/console/static/") in static_files()
        elif not path.startswith(("#", "/console/live")):
            assert (await ann.get(address)).status_code == 200, address


async def test_a_visitor_without_a_session_is_sent_to_sign_in_and_back(visitor: httpx.AsyncClient) -> None:
    reply = await visitor.get("/console/usage?by=day")
    assert reply.url.path == "/console/sign-in"
    assert 'value="/console/usage?by=day"' in reply.text
    form = {"user": "ann", "password": PASSWORD, "next": "/console/usage?by=day"}
    assert str((await visitor.post("/console/sign-in", data=form)).url) == "http://llmos/console/usage?by=day"


@pytest.mark.parametrize(
    "next", ["https://evil.example", "//evil.example", "/console//evil.example", "/console/\\e", ""]
)
async def test_signing_in_leads_nowhere_else(visitor: httpx.AsyncClient, next: str) -> None:
    reply = await visitor.post("/console/sign-in", data={"user": "ann", "password": PASSWORD, "next": next})
    assert str(reply.url) == "http://llmos/console/"


async def test_a_wrong_password_is_said_on_the_page(visitor: httpx.AsyncClient) -> None:
    reply = await visitor.post("/console/sign-in", data={"user": '"><script>', "password": "wrong"})
    assert reply.status_code == 401
    assert "The user name or the password is wrong." in reply.text
    assert "<script>" not in reply.text


async def test_a_browser_that_keeps_no_cookies_is_told_so(app: FastAPI) -> None:
    async with browser_of(app) as browser:
        browser.cookies.jar.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        reply = await browser.post("/console/sign-in", data={"user": "ann", "password": PASSWORD})
    assert reply.url.path == "/console/sign-in"
    assert "your browser keeps no cookies" in reply.text


async def test_no_page_of_another_site_signs_anybody_in(visitor: httpx.AsyncClient) -> None:
    form, headers = {"user": "ann", "password": PASSWORD}, {"origin": "https://evil.example"}
    reply = await visitor.post("/console/sign-in", data=form, headers=headers)
    assert (reply.status_code, visitor.cookies.get("llmos_session")) == (403, None)


async def test_a_key_opens_no_page(visitor: httpx.AsyncClient, services: Services) -> None:
    headers = {"authorization": "Bearer the-owners-key"}
    assert (await visitor.get("/console/models", headers=headers)).url.path == "/console/sign-in"


@pytest.mark.parametrize("path", CHANGES)
async def test_every_change_needs_the_token_of_the_session(ann: httpx.AsyncClient, path: str) -> None:
    fields = {
        "model": "smollm2",
        "version": "smollm2@1",
        "prompt": "Hi",
        "cases": "cases@1",
        "dataset": "answers",
        "recipe": '[{"name": "normalize"}]',
        "alias": "smollm2:prod",
        "language": "zh",
        "csrf_token": "wrong",
    }
    reply = await ann.post(f"/console{path}", data=fields)
    assert "CSRF token" in reply.text
    assert ann.cookies.get("llmos_language") is None


async def test_choices_stay(ann: httpx.AsyncClient) -> None:
    token = await csrf_of(ann)
    choices = {"csrf_token": token, "language": "zh", "theme": "dark", "back": "/usage?by=day"}
    reply = await ann.post("/console/account/choices", data=choices)
    assert str(reply.url) == "http://llmos/console/usage?by=day"
    assert '<html lang="zh" data-theme="dark">' in reply.text
    assert "用量" in reply.text


async def test_signing_out_everywhere_ends_the_sessions_of_all_browsers(ann: httpx.AsyncClient, app: FastAPI) -> None:
    async with browser_of(app) as other:
        await sign_in(other, "ann")
        fields = {"csrf_token": await csrf_of(ann), "everywhere": "true"}
        assert (await ann.post("/console/account/sign-out", data=fields)).url.path == "/console/sign-in"
        assert (await other.get("/console/models")).url.path == "/console/sign-in"


async def test_a_viewer_of_a_project_sees_what_the_project_may(app: FastAPI, services: Services) -> None:
    services.projects.create("acme")
    services.users.create("bob", role="viewer", project="acme", password=PASSWORD)
    async with browser_of(app) as browser:
        await sign_in(browser, "bob")
        models = (await browser.get("/console/models")).text
        assert "/console/models/pull" not in models
        assert 'href="/console/chat"' not in models
        assert "/console/ask" not in (await browser.get("/console/")).text
        assert "What the project acme has consumed." in (await browser.get("/console/usage")).text
        reply = await browser.post(
            "/console/models/pull", data={"csrf_token": await csrf_of(browser), "model": "smollm2"}
        )
        assert "jobs:write" in reply.text
        assert (await browser.get("/console/chat")).status_code == 403


async def test_what_is_not_there_is_said_with_the_way_back(ann: httpx.AsyncClient) -> None:
    for path in ("/console/models/nothing@7", "/console/nowhere", "/console/chat/receipts/answer-0"):
        reply = await ann.get(path)
        assert (reply.status_code, reply.headers["content-security-policy"]) == (404, CONTENT_SECURITY_POLICY)
        assert "Go back" in reply.text
    assert 'aria-label="Pages"' in (await ann.get("/console/models/nothing@7")).text
    assert (await ann.post("/console/models")).status_code == 405


async def test_an_old_page_is_told_to_load_again(ann: httpx.AsyncClient) -> None:
    reply = await ann.get("/console/live/models?release=older")
    assert (reply.headers["content-type"], reply.text.strip()) == (
        "text/event-stream; charset=utf-8", "event: reload\ndata:",
    )  # fmt: skip


async def test_static_files_are_compressed_and_kept(visitor: httpx.AsyncClient) -> None:
    file = static_files()["console.css"]
    reply = await visitor.get(f"/console/static/console.css?v={file.digest}", headers={"accept-encoding": "gzip"})
    assert (reply.headers["content-encoding"], "immutable" in reply.headers["cache-control"]) == ("gzip", True)
    assert reply.content == file.bodies[""]
    assert (await visitor.get("/console/static/../app.py")).status_code == 404
    assert (await visitor.get("/console/static/vendor/vendored.json")).status_code == 404


async def test_live_updates_carry_the_readers_own_token(app: FastAPI, services: Services) -> None:
    from llmos.console.api import Api
    from llmos.console.app import Console
    from llmos.console.pages import start
    from llmos.console.view import View

    console = Console()
    services.users.create("dora", role="owner", password=PASSWORD)
    async with browser_of(app) as one, browser_of(app) as two:
        await sign_in(one, "ann")
        await sign_in(two, "dora")
        shown = []
        for browser in (one, two):
            session = SessionDescription(**(await browser.get("/llmos/v1/session")).json())
            scope = {
                "type": "http",
                "method": "GET",
                "path": "/console/live",
                "query_string": b"",
                "scheme": "http",
                "headers": [(b"cookie", f"llmos_session={browser.cookies['llmos_session']}".encode())],
                "server": ("llmos", 80),
                "client": ("127.0.0.1", 1),
            }
            view = View(Request(scope), Api(app, scope, is_poll=True), session, "start")
            chunks = console._chunks(view, start.watch_start)
            shown.append(((await anext(chunks)).decode(), session.csrf_token, chunks))
        tokens = [token for _, token, _ in shown]
        for text, token, chunks in shown:
            assert text.count(token) == text.count('name="csrf_token"') > 0
            assert all(other not in text for other in tokens if other != token)
            await chunks.aclose()
