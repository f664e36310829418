"""Every endpoint declares the permission that it needs, and runs for nobody who lacks it."""

import dataclasses

import httpx
import pytest
from fastapi import APIRouter, FastAPI, Request, Response

from llmos.gateway import app as app_module
from llmos.gateway.app import create_app
from llmos.gateway.http.open_paths import is_open
from llmos.gateway.http.permissions import required_permission, requires, undeclared
from llmos.gateway.services import Services
from llmos.security.auth import OwnerKey
from llmos.security.callers import Caller, owner
from llmos.security.permissions import Permission
from support.scripted import KEY, FakePool, FakeStatus

pytestmark = pytest.mark.anyio

CHAT = {"model": "dialogue", "messages": [{"role": "user", "content": "Hello"}]}


class OneKey(OwnerKey):
    """Takes the owner's key for that of somebody who may do only these things."""

    def __init__(self, *permissions: Permission) -> None:
        super().__init__(KEY)
        self._permissions = frozenset(permissions)

    def check(self, presented: str | None) -> Caller:
        return dataclasses.replace(super().check(presented), key_id="key-1", permissions=self._permissions)


def client_of(services: Services, *permissions: Permission) -> httpx.AsyncClient:
    app = create_app(dataclasses.replace(services, owner_key=OneKey(*permissions)))
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    headers = {"Authorization": f"Bearer {KEY}"}
    return httpx.AsyncClient(transport=transport, base_url="http://llmos", headers=headers)


def test_every_endpoint_but_health_declares_a_permission() -> None:
    routes = [
        route for module in app_module.endpoint_modules() if hasattr(module, "router") for route in module.router.routes
    ]
    assert len(routes) > 90
    assert undeclared(routes) == []
    assert {route.path for route in routes if required_permission(route) is None} == {
        route.path for route in routes if is_open(route.path)
    }


def test_an_application_with_an_undeclared_endpoint_does_not_start(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Forgetful:
        router = APIRouter()

    @Forgetful.router.get("/llmos/v1/secrets")
    async def secrets(request: Request) -> Response:
        return Response(b"everything")

    monkeypatch.setattr(app_module, "endpoint_modules", lambda: [Forgetful])
    with pytest.raises(RuntimeError, match="/llmos/v1/secrets"):
        create_app(services)


async def test_an_endpoint_runs_only_for_keys_with_its_permission() -> None:
    app, ran = FastAPI(), []

    @app.get("/thing")
    @requires(Permission.MODELS_WRITE)
    async def thing(request: Request) -> Response:
        ran.append(request.state.caller.key_id)
        return Response(b"done")

    with pytest.raises(Exception, match="doesn't have the permission models:write"):
        await thing(_request(Caller(project="p", key_id="weak", permissions=frozenset({Permission.MODELS_READ}))))
    assert ran == []
    await thing(_request(owner()))
    assert ran == ["owner"]


def _request(caller: Caller) -> Request:
    return Request({"type": "http", "headers": [], "state": {"caller": caller}})


async def test_a_key_for_inference_runs_models_and_changes_nothing(services: Services, pool: FakePool) -> None:
    pool.replicas.append(FakeStatus("smollm2@1"))
    async with client_of(services, Permission.INFERENCE) as client:
        assert (await client.post("/v1/chat/completions", json=CHAT)).status_code == 200
        assert (await client.get("/v1/models")).status_code == 200
        for method, path in [
            ("DELETE", "/llmos/v1/deployments/smollm2@1"),
            ("POST", "/llmos/v1/deployments/smollm2@1/sleep"),
            ("PUT", "/llmos/v1/routes/chat"),
            ("GET", "/llmos/v1/models"),
            ("GET", "/metrics"),
        ]:
            reply = await client.request(method, path, json={} if method == "PUT" else None)
            assert (reply.status_code, reply.json()["error"]["code"]) == (403, "permission_denied"), path
    assert pool.replicas[0].state == "ready"


@pytest.mark.parametrize("path", ["/api/chat", "/api/generate"])
@pytest.mark.parametrize("keep_alive", [0, 60])
async def test_loading_and_unloading_through_ollama_needs_the_permission_to_deploy(
    services: Services, pool: FakePool, path: str, keep_alive: int
) -> None:
    body = {"model": "dialogue", "keep_alive": keep_alive}
    pool.replicas.append(FakeStatus("smollm2@1"))
    async with client_of(services, Permission.INFERENCE) as client:
        assert (await client.post(path, json=body)).status_code == 403
    assert pool.replicas[0].state == "ready"
    async with client_of(services, Permission.INFERENCE, Permission.DEPLOYMENTS_WRITE) as client:
        assert (await client.post(path, json=body)).status_code == 200


@pytest.mark.parametrize("kind", ["pull", "quantize", "prune", "card"])
async def test_a_job_needs_the_permission_for_what_it_does(services: Services, kind: str) -> None:
    async with client_of(services, Permission.JOBS_WRITE, Permission.MODELS_READ) as client:
        reply = await client.post("/llmos/v1/jobs", json={"kind": kind, "model": "smollm2"})
    assert reply.status_code == 403
    assert "models:write" in reply.json()["error"]["message"]
