"""/llmos/v1/projects and /llmos/v1/keys, and requests with the keys that they create."""

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from llmos.gateway.services import Services
from support.scripted import FakePool

pytestmark = pytest.mark.anyio

CHAT = {"model": "dialogue", "messages": [{"role": "user", "content": "Hello"}]}
MESSAGES = {**CHAT, "max_tokens": 10}

Send = Callable[..., Any]


async def create(http: httpx.AsyncClient, **fields: Any) -> dict[str, Any]:
    reply = await http.post("/llmos/v1/keys", json=fields)
    assert reply.status_code == 200, reply.text
    created: dict[str, Any] = reply.json()
    return created


@pytest.fixture
async def acme(http: httpx.AsyncClient, app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """A client with the key of the owner of the project acme."""
    await http.post("/llmos/v1/projects", json={"name": "acme"})
    key = await create(http, project="acme", role="owner")
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://llmos", headers=bearer(key)) as client:
        yield client


def bearer(key: dict[str, Any]) -> dict[str, str]:
    return {"authorization": f"Bearer {key['key']}"}


async def test_a_key_is_shown_once_and_works(http: httpx.AsyncClient, pool: FakePool) -> None:
    key = await create(http, name="CI")
    assert (key["project"], key["role"], key["state"]) == ("owner", "developer", "active")
    assert (await http.post("/v1/chat/completions", json=CHAT, headers=bearer(key))).status_code == 200
    assert pool.requests[-1].caller == "owner\n"
    (listed,) = (await http.get("/llmos/v1/keys")).json()["data"]
    assert listed == {**{name: key[name] for name in key if name != "key"}, "last_used_at": listed["last_used_at"]}
    assert key["key"] not in (await http.get(f"/llmos/v1/keys/{key['id']}")).text
    refused = await http.put("/llmos/v1/routes/chat", json={"target": "smollm2"}, headers=bearer(key))
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "permission_denied")


async def test_a_revoked_key_stops_at_once(http: httpx.AsyncClient) -> None:
    key = await create(http)
    assert (await http.get("/v1/models", headers=bearer(key))).status_code == 200
    revoked = (await http.post(f"/llmos/v1/keys/{key['id']}/revoke")).json()
    assert (revoked["state"], revoked["id"]) == ("revoked", key["id"])
    reply = await http.get("/v1/models", headers=bearer(key))
    assert (reply.status_code, reply.json()["error"]["code"]) == (401, "invalid_api_key")
    assert "was revoked" in reply.json()["error"]["message"]


async def test_both_texts_of_a_rotated_key_work_during_the_overlap(http: httpx.AsyncClient) -> None:
    key = await create(http)
    rotated = (await http.post(f"/llmos/v1/keys/{key['id']}/rotate", json={"overlap_seconds": 3600})).json()
    for each in (key, rotated):
        assert (await http.get("/v1/models", headers=bearer(each))).status_code == 200
    again = (await http.post(f"/llmos/v1/keys/{key['id']}/rotate", json={"overlap_seconds": 0})).json()
    statuses = [(await http.get("/v1/models", headers=bearer(each))).status_code for each in (key, rotated, again)]
    assert statuses == [401, 401, 200]
    assert (await http.post(f"/llmos/v1/keys/{key['id']}/rotate", json={"overlap_seconds": -1})).status_code == 400


@pytest.mark.parametrize(
    ("path", "body", "code_at"),
    [
        ("/v1/chat/completions", CHAT, ("error", "code")),
        ("/v1/messages", MESSAGES, ("error", "type")),
        ("/api/chat", CHAT, ("error",)),
        ("/v2/models/dialogue/generate", {"text_input": "Hello"}, ("error",)),
        ("/llmos/v1/generate", {"model": "dialogue", "prompt": "Hello"}, ("error", "code")),
        ("/llmos/v1/likelihood", {"model": "dialogue", "prompt": "Hello", "continuations": ["!"]}, ("error", "code")),
    ],
)
async def test_401_and_403_have_the_form_of_each_api(
    http: httpx.AsyncClient, pool: FakePool, path: str, body: dict[str, Any], code_at: tuple[str, ...]
) -> None:
    def said(reply: httpx.Response) -> str:
        value = reply.json()
        for name in code_at:
            value = value[name]
        return str(value)

    revoked, viewer = await create(http), await create(http, role="viewer")
    elsewhere = await create(http, addresses=["203.0.113.0/24"])
    other = await create(http, routes=["twin"])
    await http.post(f"/llmos/v1/keys/{revoked['id']}/revoke")
    for key, status, words in [
        (revoked, 401, ("invalid_api_key", "authentication_error", "was revoked")),
        (viewer, 403, ("permission_denied", "permission_error", "permission inference")),
        (elsewhere, 403, ("permission_denied", "permission_error", "may not be used from")),
        (other, 403, ("permission_denied", "permission_error", "may not ask for 'dialogue'")),
    ]:
        reply = await http.post(path, json=body, headers=bearer(key))
        assert reply.status_code == status, reply.text
        assert any(word in said(reply) for word in words), reply.text
        assert ("www-authenticate" in reply.headers) == (status == 401)
    assert pool.requests == []


async def test_a_key_sees_and_describes_only_the_names_that_it_may_ask_for(http: httpx.AsyncClient) -> None:
    key = await create(http, routes=["dialogue"])
    names = {each["id"] for each in (await http.get("/v1/models")).json()["data"]}
    assert "dialogue" in names
    assert len(names) > 1
    (other, *_) = names - {"dialogue"}
    assert [each["id"] for each in (await http.get("/v1/models", headers=bearer(key))).json()["data"]] == ["dialogue"]
    tags = (await http.get("/api/tags", headers=bearer(key))).json()["models"]
    assert {each["name"].removesuffix(":latest") for each in tags} == {"dialogue"}
    for path in ("/v1/models", "/v2/models"):
        assert (await http.get(f"{path}/dialogue", headers=bearer(key))).status_code == 200
        assert (await http.get(f"{path}/{other}", headers=bearer(key))).status_code == 403
    for path in ("/v1/embeddings", "/v1/tokenize", "/v1/completions"):
        body = {"model": other, "input" if "embed" in path else "prompt": "Hello"}
        assert (await http.post(path, json=body, headers=bearer(key))).status_code == 403, path


async def test_the_owner_of_a_project_manages_its_keys_and_sees_no_others(
    http: httpx.AsyncClient, acme: httpx.AsyncClient
) -> None:
    await http.post("/llmos/v1/projects", json={"name": "other"})
    foreign, installation = await create(http, project="other"), await create(http)
    own = await create(acme, name="app")
    assert (own["project"], own["role"]) == ("acme", "developer")
    assert {each["project"] for each in (await acme.get("/llmos/v1/keys")).json()["data"]} == {"acme"}
    assert [each["name"] for each in (await acme.get("/llmos/v1/projects")).json()["data"]] == ["acme"]
    assert (await acme.get("/llmos/v1/projects/acme")).status_code == 200
    for key in (foreign, installation):
        missing = await acme.get("/llmos/v1/keys/key-nobody")
        for method, suffix in [("GET", ""), ("POST", "/rotate"), ("POST", "/revoke")]:
            body = {} if method == "POST" else None
            reply = await acme.request(method, f"/llmos/v1/keys/{key['id']}{suffix}", json=body)
            assert reply.status_code == 404
            assert (
                reply.json()["error"]["message"].replace(key["id"], "key-nobody") == missing.json()["error"]["message"]
            )
    for project in ("other", "owner", "nobody"):
        assert (await acme.get(f"/llmos/v1/projects/{project}")).status_code == 404
        assert (await acme.get("/llmos/v1/keys", params={"project": project})).status_code == 404
        assert (await acme.post("/llmos/v1/keys", json={"project": project})).status_code == 404
    assert (await acme.post("/llmos/v1/projects", json={"name": "more"})).status_code == 403
    assert (await acme.delete("/llmos/v1/projects/acme")).status_code == 403
    assert (await acme.post("/llmos/v1/keys", json={"role": "operator"})).status_code == 400
    assert (await acme.get("/metrics")).status_code == 403
    assert len((await http.get("/llmos/v1/keys")).json()["data"]) == 4


async def test_a_removed_project_ends_its_keys_at_once(http: httpx.AsyncClient, acme: httpx.AsyncClient) -> None:
    assert (await acme.get("/v1/models")).status_code == 200
    assert (await http.delete("/llmos/v1/projects/acme")).status_code == 204
    assert (await acme.get("/v1/models")).status_code == 401
    assert (await http.get("/llmos/v1/projects/acme")).status_code == 404
    assert (await http.post("/llmos/v1/projects", json={"name": "acme"})).status_code == 409
    assert (await http.delete("/llmos/v1/projects/owner")).status_code == 409


async def test_an_expiry_needs_a_time_zone_and_is_kept(http: httpx.AsyncClient, services: Services) -> None:
    moment = datetime.now(UTC).replace(microsecond=0) + timedelta(days=1)
    key = await create(http, expires_at=moment.isoformat())
    assert datetime.fromisoformat(key["expires_at"]) == moment
    naive = await http.post("/llmos/v1/keys", json={"expires_at": "2099-01-01T00:00:00"})
    assert (naive.status_code, naive.json()["error"]["param"]) == (400, "expires_at")
    past = await http.post("/llmos/v1/keys", json={"expires_at": "2020-01-01T00:00:00Z"})
    assert (past.status_code, past.json()["error"]["param"]) == (400, "expires_at")
    assert len(services.keys.list()) == 1
