"""One spelling for each path, and the methods that each accepts."""

import re

import httpx
import pytest
from fastapi import FastAPI
from starlette.responses import PlainTextResponse

from llmos.gateway.app import Mount, create_app
from llmos.gateway.http.errors import known_paths
from llmos.gateway.http.paths import normalize
from llmos.gateway.services import Services
from support.scripted import KEY

pytestmark = pytest.mark.anyio

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND")
CHAT = {"model": "dialogue", "messages": [{"role": "user", "content": "Hello"}]}


@pytest.mark.parametrize(
    "path", ["//v1/chat/completions", "/v1//chat///completions", "/v1/chat/completions/", "//v1/chat/completions//"]
)
async def test_doubled_and_trailing_slashes_change_nothing(http: httpx.AsyncClient, path: str) -> None:
    assert (await http.post(f"http://llmos{path}", json=CHAT)).status_code == 200


@pytest.mark.parametrize(
    "path", ["/v1/models/", "/v1/models//", "//v1/models", "/llmos/v1/models/", "/api/tags/", "/v2/"]
)
async def test_a_list_with_a_slash_is_the_list(http: httpx.AsyncClient, path: str) -> None:
    plain = await http.get(re.sub("/+", "/", path).rstrip("/"))
    assert (await http.get(f"http://llmos{path}")).json() == plain.json()
    assert plain.status_code == 200


async def test_slashes_do_not_open_a_closed_path(http: httpx.AsyncClient) -> None:
    http.headers.pop("authorization")
    for path in ["//v1/models", "//health/..//v1/models", "/v1/models/", "//metrics"]:
        assert (await http.get(f"http://llmos{path}")).status_code == 401, path
    assert (await http.get("http://llmos//health/live/")).status_code == 200


async def test_a_path_with_a_nul_character_leads_to_nothing(http: httpx.AsyncClient) -> None:
    for path in ["/v1/files/%00", "/llmos/v1/jobs/job%00", "/v1/models/%00"]:
        assert (await http.get(path)).status_code == 404


def test_escaped_slashes_are_data() -> None:
    scope = {"path": "/v1/models/a//b/", "raw_path": b"/v1/models/a%2F%2Fb%2F", "headers": []}
    assert normalize(scope)["path"] == "/v1/models/a//b/"
    scope = {"path": "/v1//models/a//ü", "raw_path": b"/v1//models/a%2F%2F%C3%BC", "headers": []}
    assert normalize(scope)["path"] == "/v1/models/a//ü"


async def test_a_mounted_application_keeps_its_slashes(services: Services) -> None:
    async def page(scope, receive, send):
        await PlainTextResponse(scope["path"])(scope, receive, send)

    app = create_app(services, mounts=[Mount("/console", page, "console")])
    client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://llmos", follow_redirects=True)
    headers = {"authorization": f"Bearer {KEY}"}
    for path in ["/console", "/console/"]:
        assert (await client.get(path, headers=headers)).text == "/console/"
    assert (await client.get("/console/models/", headers=headers)).text == "/console/models/"


async def test_an_application_that_asks_visitors_itself_gets_those_without_a_key(services: Services) -> None:
    async def page(scope, receive, send):
        assert "caller" not in scope["state"]
        await PlainTextResponse(scope["path"])(scope, receive, send)

    app = create_app(services, mounts=[Mount("/console", page, "console", asks_visitors=True)])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://llmos") as client:
        assert (await client.get("/console/models")).text == "/console/models"
        for path in ("/consoles", "/console-x/y", "/llmos/v1/models", "/v1/models?x=/console/"):
            assert (await client.get(path)).status_code == 401


def example(pattern: str) -> str:
    """A path that matches the pattern, of things that don't exist."""
    return re.sub(r"\{\w+\}", "nothing", pattern)


@pytest.mark.thorough
async def test_a_path_accepts_the_methods_that_it_advertises_and_no_other(
    app: FastAPI, http: httpx.AsyncClient
) -> None:
    for pattern, methods in [*known_paths(app).items(), ("/openapi.json", {"GET"})]:
        allowed = methods | {"HEAD"} if "GET" in methods else methods
        for method in METHODS:
            reply = await http.request(method, example(pattern))
            if method in allowed:
                assert reply.status_code != 405, (method, pattern)
            else:
                assert reply.status_code == 405, (method, pattern)
                assert reply.headers["allow"] == ", ".join(sorted(allowed)), (method, pattern)
