"""Authentication, shutdown, request ids and metrics come before every endpoint."""

import httpx
import pytest
from fastapi import FastAPI

from llmos.gateway.http import requests as wire
from llmos.gateway.http.errors import known_paths
from llmos.gateway.http.open_paths import OPEN_PATHS, SIGN_IN_PATHS
from llmos.gateway.services import Services
from support.scripted import KEY, FakePool

pytestmark = pytest.mark.anyio

CHAT = {"model": "dialogue", "messages": [{"role": "user", "content": "Hello"}]}


def a_path(pattern: str) -> str:
    return pattern.replace("{model}", "dialogue").replace("{name}", "dialogue").replace("{version}", "1")


async def test_only_health_endpoints_work_without_a_key(app: FastAPI, http: httpx.AsyncClient) -> None:
    http.headers.pop("authorization")
    asked = [(path, method) for path, methods in known_paths(app).items() for method in methods]
    assert len(asked) > 12
    for path, method in [*asked, ("/openapi.json", "GET"), ("/nowhere", "GET"), ("/health", "GET")]:
        reply = await http.request(method, a_path(path))
        if path.startswith(OPEN_PATHS):
            # An identity is proved to those who send a challenge.
            assert reply.status_code == (400 if path == "/health/identity" else 200)
            continue
        if path in SIGN_IN_PATHS:
            # They show a page, look for a body with a password, or for a session.
            expected = {("GET", "/llmos/v1/sign-in"): 200, ("POST", "/llmos/v1/sign-in"): 400}
            expected[("GET", "/llmos/v1/sign-in/ways")] = 200
            assert reply.status_code == expected.get((method.upper(), path), 401), path
            continue
        assert reply.status_code == 401, path
        assert reply.headers["www-authenticate"] == "Bearer"
        error = reply.json()["error"]
        assert "LLMOS_HOME/keys/owner" in (error if path.startswith(("/api/", "/v2")) else error["message"])
        if not path.startswith(("/api/", "/v2", "/v1/messages")):
            assert (error["type"], error["code"]) == ("authentication_error", "invalid_api_key")


@pytest.mark.parametrize(
    "headers",
    [{"Authorization": f"Bearer {KEY}"}, {"authorization": f"bearer {KEY}"}, {"x-api-key": KEY}, {"api-key": KEY}],
)
async def test_the_key_is_accepted_in_any_header(http: httpx.AsyncClient, headers: dict[str, str]) -> None:
    http.headers.pop("authorization")
    assert (await http.get("/v1/models", headers=headers)).status_code == 200


@pytest.mark.parametrize("authorization", ["Bearer wrong", "Bearer", f"Basic {KEY}", KEY, "", f"Bearer {KEY}x"])
async def test_a_wrong_key_is_refused(http: httpx.AsyncClient, pool: FakePool, authorization: str) -> None:
    reply = await http.post("/v1/chat/completions", json=CHAT, headers={"authorization": authorization})
    assert reply.status_code == 401
    assert pool.requests == []


async def test_no_form_of_a_path_bypasses_authentication(http: httpx.AsyncClient) -> None:
    http.headers.pop("authorization")
    for path in ["/health/../v1/models", "/health/%2e%2e/v1/models", "//v1/models", "/health/live/../../v1/models"]:
        assert (await http.get(path)).status_code in (401, 404)


async def test_a_draining_server_rejects_new_requests(
    http: httpx.AsyncClient, services: Services, pool: FakePool
) -> None:
    services.readiness.is_draining = True
    reply = await http.post("/v1/chat/completions", json=CHAT)
    assert reply.status_code == 503
    assert reply.headers["retry-after"] == "2"
    assert reply.json()["error"]["code"] == "unavailable"
    assert pool.requests == []
    assert (await http.get("/health/live")).status_code == 200
    ready = await http.get("/health/ready")
    assert (ready.status_code, ready.json()["status"]) == (503, "draining")


async def test_every_response_has_its_own_request_id(http: httpx.AsyncClient) -> None:
    paths = ["/health/live", "/v1/models", "/nowhere", "/v1/models/nobody"]
    numbers = {(await http.get(path)).headers["x-request-id"] for path in paths}
    assert len(numbers) == len(paths)


async def test_an_unknown_path_is_rejected_with_the_nearest_one(http: httpx.AsyncClient) -> None:
    reply = await http.get("/v1/model")
    assert reply.status_code == 404
    assert "/v1/models" in reply.json()["error"]["message"]
    assert "/openapi.json" in (await http.get("/zzz")).json()["error"]["message"]


async def test_a_wrong_method_is_rejected_with_the_allowed_ones(http: httpx.AsyncClient) -> None:
    reply = await http.get("/v1/chat/completions")
    assert reply.status_code == 405
    assert reply.headers["allow"] == "POST"
    assert reply.json()["error"] == {
        "message": "/v1/chat/completions accepts POST, not GET.",
        "type": "invalid_request_error",
        "code": "method_not_allowed",
        "param": None,
    }
    assert "DELETE" in (await http.post("/llmos/v1/routes/dialogue")).json()["error"]["message"]


@pytest.mark.parametrize("is_chunked", [False, True])
async def test_a_body_that_is_too_large_is_rejected_with_and_without_a_content_length(
    http: httpx.AsyncClient, pool: FakePool, is_chunked: bool
) -> None:
    body = b'{"model": "dialogue", "prompt": "' + b"x" * wire.MAX_BODY_BYTES + b'"}'

    async def chunks():
        for start in range(0, len(body), 2**20):
            yield body[start : start + 2**20]

    reply = await http.post("/v1/completions", content=chunks() if is_chunked else body)
    assert reply.status_code == 413
    assert reply.json()["error"]["code"] == "request_too_large"
    assert f"{wire.MAX_BODY_BYTES:,}" in reply.json()["error"]["message"]
    assert pool.requests == []


async def test_a_body_at_the_limit_is_read(http: httpx.AsyncClient, pool: FakePool) -> None:
    frame = len(b'{"model": "dialogue", "prompt": ""}')
    body = b'{"model": "dialogue", "prompt": "' + b"x" * (wire.MAX_BODY_BYTES - frame) + b'"}'
    assert (await http.post("/v1/completions", content=body)).status_code == 200


async def test_a_client_that_expects_100_continue_gets_the_error_before_it_sends_the_body(
    http: httpx.AsyncClient,
) -> None:
    reply = await http.post(
        "/v1/completions",
        content=b"",
        headers={"content-length": str(2**40), "expect": "100-continue"},
    )
    assert reply.status_code == 413


async def test_requests_are_counted_by_route_and_status(http: httpx.AsyncClient) -> None:
    await http.get("/v1/models/dialogue")
    await http.get("/v1/models/nobody")
    await http.get("/somewhere/else")
    await http.post("/v1/chat/completions", json=CHAT)
    await http.post("/v1/chat/completions", json={})
    counted = (await http.get("/metrics")).text
    for line in [
        'llmos_http_requests_total{method="GET",route="/v1/models/{model}",status="200"} 1.0',
        'llmos_http_requests_total{method="GET",route="/v1/models/{model}",status="404"} 1.0',
        'llmos_http_requests_total{method="GET",route="other",status="404"} 1.0',
        'llmos_http_requests_total{method="POST",route="/v1/chat/completions",status="200"} 1.0',
        'llmos_http_requests_total{method="POST",route="/v1/chat/completions",status="400"} 1.0',
    ]:
        assert line in counted.splitlines()
    assert "somewhere" not in counted


@pytest.mark.parametrize(("path", "status"), [("/health/live", 200), ("/v1/models", 200), ("/v1/nothing", 404)])
def test_head_is_get_without_a_body(served: str, path: str, status: int) -> None:
    headers = {"Authorization": f"Bearer {KEY}"}
    head, get = (httpx.request(method, served + path, headers=headers, trust_env=False) for method in ("HEAD", "GET"))
    assert (head.status_code, head.content) == (status, b"")
    assert (get.status_code, get.headers["content-length"]) == (status, head.headers["content-length"])
