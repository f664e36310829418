"""Every HTTP request that is no call has a line in the log; a call has its own, and no second one."""

import io
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from llmos.gateway.app import create_app
from llmos.gateway.log import Log
from llmos.gateway.services import Services
from support.pipelines import with_parts

pytestmark = pytest.mark.anyio

CHAT = {"model": "dialogue", "messages": [{"role": "user", "content": "Hello"}]}


class Written:
    """The lines that a server has written to its log."""

    def __init__(self, format: Any) -> None:
        self._stream = io.StringIO()
        self.log = Log(format, self._stream)

    def lines(self) -> list[str]:
        self.log.close()
        return self._stream.getvalue().splitlines()

    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines()]


@pytest.fixture(params=["json"])
def written(request: pytest.FixtureRequest) -> Iterator[Written]:
    written = Written(request.param)
    yield written
    written.log.close()


@pytest.fixture
def app(services: Services, written: Written) -> FastAPI:
    return create_app(with_parts(services, log=written.log))


@pytest.mark.parametrize(
    ("method", "path", "more", "status", "error"),
    [
        ("GET", "/llmos/v1/models", {}, 200, None),
        ("GET", "/nowhere", {}, 404, "not_found"),
        ("POST", "/v1/chat/completions", {"json": {"model": "dialogue"}}, 400, "invalid_request"),
        ("POST", "/v1/chat/completions", {"content": b"{"}, 400, "invalid_request"),
        ("DELETE", "/v1/models", {}, 405, "method_not_allowed"),
    ],
)
async def test_a_request_that_is_no_call_has_a_line(
    method: str, path: str, more: Any, status: int, error: str | None, http: httpx.AsyncClient, written: Written
) -> None:
    reply = await http.request(method, path, **more)
    (line,) = written.events()
    assert line["id"] == reply.headers["x-request-id"]
    assert {name: line[name] for name in ("event", "key", "method", "path", "status", "error")} == {
        "event": "http", "key": "owner", "method": method, "path": path, "status": status, "error": error,
    }  # fmt: skip


@pytest.mark.parametrize("model", ["dialogue", "nosuch"])
async def test_a_call_has_one_line_with_the_id_of_its_request(
    model: str, http: httpx.AsyncClient, written: Written
) -> None:
    reply = await http.post("/v1/chat/completions", json={**CHAT, "model": model})
    (line,) = written.events()
    assert (line["event"], line["status"]) == ("request", reply.status_code)
    assert line["request"] == reply.headers["x-request-id"]


async def test_a_request_without_a_key_is_nobodys(http: httpx.AsyncClient, written: Written) -> None:
    http.headers.pop("authorization")
    await http.post("/v1/chat/completions", json=CHAT)
    (line,) = written.events()
    assert (line["project"], line["key"], line["status"], line["error"]) == (None, None, 401, "invalid_api_key")


async def test_probes_that_succeed_have_no_line(http: httpx.AsyncClient, written: Written) -> None:
    for path in ("/health/live", "/v2/health/live", "/metrics"):
        assert (await http.get(path)).status_code == 200
    http.headers.pop("authorization")
    await http.get("/metrics")
    assert [line["status"] for line in written.events()] == [401]


@pytest.mark.parametrize("written", ["text"], indirect=True)
async def test_the_text_has_one_line_whatever_the_path_is(http: httpx.AsyncClient, written: Written) -> None:
    await http.get("/x%0A2026-11-29T14:36:42Z%20http%1b[2J?key=secret")
    (line,) = written.lines()
    assert " owner GET /x\\n2026" in line
    assert line.endswith(" 404 not_found")
    assert "\x1b" not in line
    assert "secret" not in line
