"""Headers of every response that tell browsers what a page may do."""

import asyncio

import httpx
import pytest
from fastapi import FastAPI
from starlette.responses import HTMLResponse

from llmos.gateway.app import Mount, create_app
from llmos.gateway.http.security_headers import headers_of_content
from llmos.gateway.services import Services
from support.scripted import KEY

ANY_PATH = ["/health/live", "/v1/models", "/nowhere", "/metrics", "/openapi.json"]


@pytest.mark.combinations
@pytest.mark.parametrize("path", ANY_PATH)
@pytest.mark.parametrize("key", [KEY, "wrong-key"])
def test_every_response_tells_browsers_to_use_it_for_nothing_else(served: str, path: str, key: str) -> None:
    headers = httpx.get(served + path, headers={"x-api-key": key}).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert headers["cache-control"] == "no-store"
    assert "server" not in headers
    assert "strict-transport-security" not in headers, "plain HTTP"


def test_the_first_page_runs_no_scripts(served: str) -> None:
    policy = httpx.get(served).headers["content-security-policy"]
    assert policy.startswith("default-src 'none';")
    assert "script-src" not in policy


def test_a_page_runs_scripts_of_this_server_and_none_inside_itself(services: Services) -> None:
    pages = FastAPI()
    pages.add_api_route("/", lambda: HTMLResponse("<p>Hello</p>"))
    app = create_app(services, [Mount("/console", pages, "console")])

    async def ask() -> httpx.Headers:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(
            transport=transport, base_url="http://llmos", headers={"x-api-key": KEY}
        ) as client:
            return (await client.get("/console/")).headers

    policy = asyncio.run(ask())["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "unsafe-inline" not in policy
    assert "frame-ancestors 'none'" in policy


def test_an_endpoint_may_say_otherwise() -> None:
    own = [(b"Content-Security-Policy", b"default-src 'self'"), (b"cache-control", b"max-age=60")]
    assert headers_of_content(own) == []


def test_a_bug_of_the_server_is_no_exception(app: FastAPI, served: str) -> None:
    @app.get("/health/broken")
    def broken() -> None:
        raise RuntimeError("a bug")

    reply = httpx.get(f"{served}/health/broken")
    assert reply.status_code == 500
    assert reply.headers["cache-control"] == "no-store"
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert reply.headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
