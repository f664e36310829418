"""No role reaches what another project keeps, and every endpoint asks for the permission that it declares.

The same holds for keys and for sessions of users. A session changes nothing without its CSRF token.
"""

import re
from collections.abc import Mapping
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute

from llmos.core.webhooks.webhooks import NewWebhook
from llmos.data.apps.handoffs import NewHandoff
from llmos.data.files import Files
from llmos.data.responses import KeptResponse
from llmos.gateway import app as app_module
from llmos.gateway.http.open_paths import is_open
from llmos.gateway.http.permissions import required_permission
from llmos.gateway.services import Services
from llmos.security.keys import Key, NewKey
from llmos.security.permissions import Permission
from llmos.security.roles import ROLES, permissions_of
from llmos.security.users.sessions import csrf_token
from support.apps import new_run
from support.scripted import FakePool

pytestmark = [pytest.mark.anyio, pytest.mark.combinations]

ROUTES = [
    route
    for module in app_module.endpoint_modules()
    if hasattr(module, "router")
    for route in module.router.routes
    if isinstance(route, APIRoute) and not is_open(route.path)
]

KEYS = [("acme", role) for role in ROLES if role != "operator"] + [("owner", role) for role in ROLES]
"""Every kind of key: (project, role)."""

OVERSEEN = ("/llmos/v1/credit/", "/llmos/v1/jobs", "/llmos/v1/keys", "/llmos/v1/projects")
"""The endpoints where keys of the project `owner` see those of all projects."""


@pytest.fixture(scope="module")
def database_kind() -> str:
    return "sqlite"


@pytest.fixture
def foreign(services: Services, tmp_path: Any) -> dict[str, str]:
    """Data that the project `rival` keeps: parameters of paths and their values."""
    for project in ("acme", "rival"):
        services.projects.create(project)
    file = upload(services.data.files)
    batch = services.data.batches.create("rival", endpoint="/v1/chat/completions", input_file_id=file)
    services.data.responses.keep("rival", KeptResponse(id="resp_rival", body='{"secret": 1}', items="[]"))
    session = services.data.app_sessions.open("rival", "support", "u42")
    run = services.data.app_runs.begin("rival", new_run(session.id))
    handoff = services.data.handoffs.create("rival", NewHandoff(app="support", key="k", question="secret"))
    services.webhooks.add("rival", NewWebhook(name="crm", url="https://example.com"))
    job = services.jobs.create("verify", {"model": "rival"}, project="rival")
    key, _ = services.keys.create(NewKey(project="rival"))
    return {
        "file_id": file,
        "batch_id": batch.id,
        "response_id": "resp_rival",
        "session": session.id,
        "run": run.id,
        "handoff": handoff.id,
        "webhook": "crm",
        "job": job.id,
        "key": key.id,
        "project": "rival",
    }


def upload(files: Files) -> str:
    begun = files.begin()
    begun.write(b'{"secret": 1}')
    return files.finish(begun, tenant="rival", purpose="batch", filename="secret.jsonl").id


def kept(services: Services, foreign: Mapping[str, str]) -> list[Any]:
    return [
        services.data.files.get("rival", foreign["file_id"]),
        services.data.files.open(foreign["file_id"]).read(),
        services.data.batches.get("rival", foreign["batch_id"]),
        services.data.responses.get("rival", "resp_rival"),
        services.data.app_sessions.get("rival", foreign["session"]),
        services.data.app_runs.get("rival", foreign["run"]),
        services.data.handoffs.get("rival", foreign["handoff"]),
        services.webhooks.get("rival", "crm"),
        services.jobs.get(foreign["job"]),
        services.keys.get(foreign["key"]),
        services.projects.get("rival"),
    ]


def client_of(app: FastAPI, services: Services, project: str, role: str) -> tuple[Key, httpx.AsyncClient]:
    key, text = services.keys.create(NewKey(project=project, role=role))
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    return key, httpx.AsyncClient(transport=transport, base_url="http://llmos", headers={"x-api-key": text})


def path_of(route: APIRoute, values: Mapping[str, str]) -> str:
    """Return a path of the route with these parameters, and `nothing` for others."""
    named = {"/llmos/v1/jobs": "job", "/llmos/v1/keys": "key", "/llmos/v1/projects": "project"}
    own = next((name for prefix, name in named.items() if route.path.startswith(prefix)), None)

    def value(match: re.Match[str]) -> str:
        name = match[1]
        return values.get(
            own if own is not None and name in ("id", "name") else name, "1" if name == "id" else "nothing"
        )

    return re.sub(r"\{(\w+)(?::\w+)?\}", value, route.path)


def session_of(app: FastAPI, services: Services, project: str, role: str) -> tuple[httpx.AsyncClient, str]:
    """A browser in which a user has signed in, and its CSRF token, which it doesn't send by itself."""
    token = services.sessions.begin(
        services.users.create(f"{role}-of-{project}", role=role, project=project), "password"
    )
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    cookies = {"llmos_session": token}
    return httpx.AsyncClient(transport=transport, base_url="http://llmos", cookies=cookies), csrf_token(token)


async def ask(client: httpx.AsyncClient, route: APIRoute, path: str) -> httpx.Response:
    (method,) = route.methods
    return await client.request(method, path, json=None if method in ("GET", "DELETE") else {})


@pytest.mark.parametrize(("project", "role"), KEYS)
async def test_every_endpoint_is_denied_to_a_key_without_its_permission(
    app: FastAPI, services: Services, foreign: dict[str, str], project: str, role: str
) -> None:
    _, client = client_of(app, services, project, role)
    permissions = permissions_of(role, project)
    async with client:
        for route in ROUTES:
            permission = required_permission(route)
            if permission in permissions:
                continue
            reply = await ask(client, route, path_of(route, {}))
            assert reply.status_code == 403, (route.path, reply.text)
            assert f"doesn't have the permission {permission}" in reply.text


@pytest.mark.thorough
@pytest.mark.parametrize(("project", "role"), KEYS)
async def test_what_another_project_keeps_is_not_found_whatever_is_asked(
    app: FastAPI, services: Services, pool: FakePool, foreign: dict[str, str], project: str, role: str
) -> None:
    before = kept(services, foreign)
    _, client = client_of(app, services, project, role)
    nobody = dict.fromkeys(foreign, "nobody")
    num_asked = 0
    async with client:
        for route in ROUTES:
            is_overseen = project == "owner" and route.path.startswith(OVERSEEN)
            path, permission = path_of(route, foreign), required_permission(route)
            if path == path_of(route, nobody) or is_overseen or permission not in permissions_of(role, project):
                continue
            reply, missing = await ask(client, route, path), await ask(client, route, path_of(route, nobody))
            if missing.status_code == 400:  # What can't be done with any, such as to cancel a response.
                assert reply.status_code == 400, path
            else:
                assert (reply.status_code, missing.status_code) == (404, 404), (path, reply.text)
            assert without_ids(reply, foreign) == without_ids(missing, nobody), path
            num_asked += 1
    assert kept(services, foreign) == before
    assert num_asked >= (9 if Permission.FILES_READ in permissions_of(role, project) else 0)


def without_ids(reply: httpx.Response, ids: Mapping[str, str]) -> str:
    text = reply.text
    for id in ids.values():
        text = text.replace(id, "ID")
    return text


@pytest.mark.thorough
@pytest.mark.parametrize(("project", "role"), KEYS)
async def test_a_session_may_do_what_a_key_of_its_role_may_and_changes_nothing_without_its_csrf_token(
    app: FastAPI, services: Services, pool: FakePool, foreign: dict[str, str], project: str, role: str
) -> None:
    before = kept(services, foreign)
    client, csrf = session_of(app, services, project, role)
    permissions, num_changes = permissions_of(role, project), 0
    async with client:
        for route in ROUTES:
            (method,) = route.methods
            permission, path = required_permission(route), path_of(route, foreign)
            if method != "GET":
                client.headers.pop("x-csrf-token", None)
                reply = await ask(client, route, path)
                assert reply.status_code == 403, (path, reply.text)
                assert "CSRF token" in reply.text, path
                client.headers["x-csrf-token"] = csrf
                num_changes += 1
            if permission not in permissions:
                reply = await ask(client, route, path)
                assert reply.status_code == 403, (path, reply.text)
                assert f"doesn't have the permission {permission}" in reply.text
    assert kept(services, foreign) == before
    assert pool.requests == []
    assert num_changes > 40


@pytest.mark.parametrize("project", ["acme", "owner"])
async def test_no_request_refers_to_what_another_project_keeps(
    app: FastAPI, services: Services, pool: FakePool, foreign: dict[str, str], project: str
) -> None:
    _, client = client_of(app, services, project, "owner")
    before = kept(services, foreign)
    async with client:
        batch = {"endpoint": "/v1/chat/completions", "completion_window": "24h", "input_file_id": foreign["file_id"]}
        response = {"model": "dialogue", "input": "Hello", "previous_response_id": "resp_rival"}
        for path, body in [("/v1/batches", batch), ("/v1/responses", response)]:
            assert (await client.post(path, json=body)).status_code == 404, path
        for path in ("/v1/files", "/v1/batches"):
            assert (await client.get(path)).json()["data"] == []
            after = foreign["file_id" if "files" in path else "batch_id"]
            assert (await client.get(path, params={"after": after})).status_code == 404
        if project == "acme":
            assert (await client.get("/llmos/v1/jobs")).json()["data"] == []
            assert (await client.get("/llmos/v1/jobs", params={"after": foreign["job"]})).status_code == 404
    assert pool.requests == []
    assert kept(services, foreign) == before


async def test_two_projects_that_ask_for_the_same_work_have_a_job_each(services: Services) -> None:
    one, other = (services.jobs.create("verify", {"model": "smollm2"}, project=name) for name in ("acme", "rival"))
    assert one.id != other.id
    assert services.jobs.create("verify", {"model": "smollm2"}, project="acme").id == one.id


async def test_prompts_of_two_projects_never_share_a_cached_prefix(
    app: FastAPI, services: Services, foreign: dict[str, str], pool: FakePool
) -> None:
    body = {"model": "dialogue", "messages": [{"role": "user", "content": "Hello"}]}
    for project in ("acme", "rival"):
        _, client = client_of(app, services, project, "developer")
        async with client:
            for salt in ("", "acme\n", "\nrival", "rival\n"):
                await client.post("/v1/chat/completions", json={**body, "cache_salt": salt})
    salts = [request.cache_salt for request in pool.requests]
    assert len(salts) == 8
    assert len(set(salts)) == 8
    assert not [salt for salt in salts if "acme" in salt or "rival" in salt], "names of partitions can't be guessed"
