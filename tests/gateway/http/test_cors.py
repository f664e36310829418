"""Web pages that call the server from a browser: those of this machine and of the origins that the owner allows."""

import dataclasses
from collections.abc import AsyncIterator

import httpx
import pytest

from llmos.core.config import load_settings, parse_origins
from llmos.core.errors import BadRequest
from llmos.gateway.app import create_app
from llmos.gateway.services import Services
from support.scripted import KEY, FakePool

pytestmark = [pytest.mark.anyio, pytest.mark.shared_gateway]

PATH = "/v1/chat/completions"
CHAT = {"model": "dialogue", "messages": [{"role": "user", "content": "Hello"}]}
LOCAL = [
    "http://localhost",
    "http://localhost:3000",
    "https://127.0.0.1:8443",
    "http://[::1]:5173",
    "http://app.localhost",
]
FOREIGN = [
    "https://example.com",
    "http://localhost.example.com",
    "http://localhost:3000.example.com",
    "http://127.0.0.1.example.com",
    "http://evil-localhost",
    "http://localhost@example.com",
    "null",
    "file://",
]


def client_of(services: Services, *origins: str) -> httpx.AsyncClient:
    settings = dataclasses.replace(services.settings, allow_origins=parse_origins(" ".join(origins)))
    app = create_app(dataclasses.replace(services, settings=settings))
    return httpx.AsyncClient(transport=httpx.ASGITransport(app, raise_app_exceptions=False), base_url="http://llmos")


@pytest.fixture
async def browser(services: Services) -> AsyncIterator[httpx.AsyncClient]:
    """A client that has no key until it sends one."""
    async with client_of(services) as client:
        yield client


async def preflight(client: httpx.AsyncClient, origin: str, path: str = PATH, method: str = "POST") -> httpx.Response:
    headers = {
        "origin": origin,
        "access-control-request-method": method,
        "access-control-request-headers": "authorization,content-type,x-stainless-os",
    }
    return await client.options(path, headers=headers)


@pytest.mark.parametrize("origin", LOCAL)
async def test_a_page_of_this_machine_may_call(browser: httpx.AsyncClient, origin: str) -> None:
    reply = await preflight(browser, origin)
    assert (reply.status_code, reply.content) == (204, b"")
    assert reply.headers["access-control-allow-origin"] == origin
    assert reply.headers["access-control-allow-headers"] == "authorization,content-type,x-stainless-os"
    assert reply.headers["access-control-allow-methods"] == "POST"
    assert "Origin" in reply.headers["vary"]
    answer = await browser.post(PATH, json=CHAT, headers={"origin": origin, "authorization": f"Bearer {KEY}"})
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, origin)
    assert answer.headers["access-control-expose-headers"] == "*"


@pytest.mark.parametrize("origin", FOREIGN)
async def test_another_page_may_not(browser: httpx.AsyncClient, origin: str) -> None:
    reply = await preflight(browser, origin)
    assert reply.status_code == 403
    assert "--allow-origin" in reply.json()["error"]["message"]
    assert "access-control-allow-origin" not in reply.headers
    answer = await browser.get("/v1/models", headers={"origin": origin, "authorization": f"Bearer {KEY}"})
    assert (answer.status_code, answer.headers["vary"]) == (200, "Origin")
    assert "access-control-allow-origin" not in answer.headers


async def test_the_owner_allows_origins(services: Services) -> None:
    async with client_of(services, "https://App.example.com", "chrome-extension://abc") as client:
        for origin in ["https://app.example.com", "chrome-extension://abc", "http://localhost:3000"]:
            assert (await preflight(client, origin)).status_code == 204
        for origin in ["https://example.com", "http://app.example.com", "https://app.example.com:444"]:
            assert (await preflight(client, origin)).status_code == 403
    async with client_of(services, "*") as client:
        for origin in FOREIGN:
            assert (await preflight(client, origin)).headers["access-control-allow-origin"] == origin


@pytest.mark.parametrize(("path", "status"), [(PATH, 401), ("/nothing", 401), ("/health/nothing", 404)])
async def test_a_page_may_read_errors(browser: httpx.AsyncClient, path: str, status: int) -> None:
    reply = await browser.post(path, json=CHAT, headers={"origin": LOCAL[0]})
    assert (reply.status_code, reply.headers["access-control-allow-origin"]) == (status, LOCAL[0])


async def test_a_page_may_read_an_internal_error(browser: httpx.AsyncClient, pool: FakePool) -> None:
    pool.enqueue(RuntimeError("a bug"))
    headers = {"origin": LOCAL[0], "authorization": f"Bearer {KEY}"}
    reply = await browser.post(PATH, json=CHAT, headers=headers)
    assert (reply.status_code, reply.headers["access-control-allow-origin"]) == (500, LOCAL[0])


async def test_a_preflight_names_the_methods_of_its_path(browser: httpx.AsyncClient) -> None:
    reply = await preflight(browser, LOCAL[0], "/llmos/v1/routes/chat", "PUT")
    assert reply.headers["access-control-allow-methods"] == "DELETE, GET, HEAD, PUT"


async def test_a_page_of_the_internet_may_reach_this_machine_if_it_is_allowed(services: Services) -> None:
    headers = {
        "origin": "https://app.example.com",
        "access-control-request-method": "POST",
        "access-control-request-private-network": "true",
    }
    async with client_of(services, "https://app.example.com") as client:
        reply = await client.options(PATH, headers=headers)
        assert reply.headers["access-control-allow-private-network"] == "true"


async def test_options_without_a_question_of_a_browser_needs_a_key(browser: httpx.AsyncClient) -> None:
    assert (await browser.options(PATH)).status_code == 401
    assert (await browser.options(PATH, headers={"origin": LOCAL[0]})).status_code == 401


async def test_a_request_without_an_origin_gets_no_header_of_cors(http: httpx.AsyncClient) -> None:
    assert not {"vary", "access-control-allow-origin"} & (await http.get("/v1/models")).headers.keys()


def test_the_setting_takes_several_origins() -> None:
    settings = load_settings({"LLMOS_ALLOW_ORIGIN": "https://a.example, http://B.example:81\thttps://c.example"})
    assert settings.allow_origins == ("https://a.example", "http://b.example:81", "https://c.example")


@pytest.mark.parametrize(
    "wrong", ["example.com", "https://example.com/", "https://example.com/app", "https://*.example.com"]
)
def test_what_is_no_origin_is_refused(wrong: str) -> None:
    with pytest.raises(BadRequest, match="LLMOS_ALLOW_ORIGIN"):
        load_settings({"LLMOS_ALLOW_ORIGIN": wrong})
