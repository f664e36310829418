"""/llmos/v1/audit: who changed what, who signed in, and who was refused."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import msgspec
import pytest
from fastapi import FastAPI

from llmos.gateway.app import endpoint_modules
from llmos.gateway.http.permissions import declared_action, unrecorded
from llmos.gateway.services import Services
from llmos.security.audit.entries import read_line
from llmos.security.audit.verification import verify

pytestmark = pytest.mark.anyio

CHAT = {"model": "dialogue", "messages": [{"role": "user", "content": "Hello, my secret"}]}


async def entries(http: httpx.AsyncClient, **query: Any) -> list[dict[str, Any]]:
    reply = await http.get("/llmos/v1/audit", params=query)
    assert reply.status_code == 200, reply.text
    found: list[dict[str, Any]] = reply.json()["data"]
    return found


async def key_of(http: httpx.AsyncClient, **fields: Any) -> dict[str, str]:
    created = (await http.post("/llmos/v1/keys", json=fields)).json()
    return {"authorization": f"Bearer {created['key']}", "id": created["id"]}


@pytest.fixture
async def developer(http: httpx.AsyncClient, app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    headers = await key_of(http, role="developer")
    transport = httpx.ASGITransport(app, raise_app_exceptions=False, client=("192.0.2.7", 1234))
    async with httpx.AsyncClient(transport=transport, base_url="http://llmos", headers=headers) as client:
        yield client


async def test_a_change_is_recorded_with_who_made_it(http: httpx.AsyncClient) -> None:
    reply = await http.put("/llmos/v1/guardrails/safe", json={"both": [{"guardrail": "secrets"}]})
    (entry,), (signed_in,) = await entries(http, action="guardrail"), await entries(http, action="sign_in")
    assert (entry["action"], entry["object"], entry["outcome"]) == ("guardrail.set", "safe", "succeeded")
    assert (entry["project"], entry["key"], entry["address"]) == ("owner", "owner", "127.0.0.1")
    assert entry["request_id"] == reply.headers["x-request-id"]
    assert entry["details"] == {"version": 1, "digest": reply.json()["digest"]}
    assert (signed_in["action"], signed_in["key"], signed_in["outcome"]) == ("sign_in", "owner", "succeeded")


async def test_a_created_key_is_named_and_its_text_is_nowhere(http: httpx.AsyncClient) -> None:
    key = (await http.post("/llmos/v1/keys", json={"role": "viewer", "name": "Ann"})).json()
    (entry,) = await entries(http, action="key.create")
    assert (entry["object"], entry["details"]["role"]) == (key["id"], "viewer")
    assert key["key"] not in (await http.get("/llmos/v1/audit")).text


async def test_refusals_and_failures_are_recorded(http: httpx.AsyncClient, developer: httpx.AsyncClient) -> None:
    assert (await developer.delete("/llmos/v1/projects/acme")).status_code == 403
    assert (await developer.get("/llmos/v1/keys")).status_code == 403
    assert (await http.delete("/llmos/v1/projects/acme")).status_code == 404
    (refused,) = await entries(http, action="project.remove", actor=developer.headers["id"])
    (read,) = await entries(http, action="keys:read")
    (failed,) = await entries(http, action="project.remove", actor="owner")
    assert (refused["action"], refused["object"], refused["outcome"]) == ("project.remove", "acme", "refused")
    assert (refused["key"], refused["address"]) == (developer.headers["id"], "192.0.2.7")
    assert (read["action"], read["outcome"], read["error"]) == ("keys:read", "refused", "permission_denied")
    assert (failed["action"], failed["outcome"], failed["error"]) == ("project.remove", "failed", "not_found")


async def test_wrong_keys_are_counted_without_what_was_sent(http: httpx.AsyncClient, services: Services) -> None:
    for _ in range(30):
        reply = await http.get("/v1/models", headers={"authorization": "Bearer llmos_guess"})
        assert reply.status_code == 401
    await http.get("/v1/models", headers={"authorization": "Basic abc"})
    refused = [entry for entry in await entries(http, action="sign_in") if entry["outcome"] == "refused"]
    assert [(entry["count"], entry["error"], entry["object"]) for entry in refused] == [(1, "invalid_api_key", "")]
    services.audit.recorder.close()
    refused = [entry for entry in await entries(http, action="sign_in") if entry["outcome"] == "refused"]
    assert sum(entry["count"] for entry in refused) == 31
    assert "guess" not in (await http.get("/llmos/v1/audit")).text


async def test_a_revoked_key_that_signs_in_is_named(http: httpx.AsyncClient) -> None:
    headers = await key_of(http)
    await http.post(f"/llmos/v1/keys/{headers['id']}/revoke")
    assert (await http.get("/v1/models", headers=headers)).status_code == 401
    (refused, *_) = await entries(http, action="sign_in")
    assert (refused["outcome"], refused["object"]) == ("refused", headers["id"])


async def test_a_blocked_prompt_is_recorded_without_its_text(http: httpx.AsyncClient) -> None:
    policy = {"input": [{"guardrail": "denied_topics", "topic": "plans", "phrases": ["my secret"]}]}
    assert (await http.put("/llmos/v1/guardrails/safe", json=policy)).status_code == 200
    await http.post("/llmos/v1/guardrails/safe/apply", json={"scope": "installation"})
    assert (await http.post("/v1/chat/completions", json={**CHAT, "user": "ann"})).status_code == 400
    (blocked,) = await entries(http, action="guardrail.block")
    assert (blocked["object"], blocked["details"]["guardrail"]) == ("safe", "denied_topics")
    assert "my secret" not in str(blocked)
    assert "ann" not in blocked.values()


async def test_erasures_are_recorded(http: httpx.AsyncClient) -> None:
    upload = {"file": ("in.jsonl", b"{}\n"), "purpose": (None, "batch")}
    file = (await http.post("/v1/files", files=upload)).json()
    await http.delete(f"/v1/files/{file['id']}")
    removed, created = await entries(http, action="file")
    assert (created["action"], created["object"]) == ("file.create", file["id"])
    assert (removed["action"], removed["object"]) == ("file.remove", file["id"])


async def test_a_project_sees_its_own_entries(http: httpx.AsyncClient, app: FastAPI) -> None:
    await http.post("/llmos/v1/projects", json={"name": "acme"})
    headers = await key_of(http, project="acme", role="owner")
    await http.post("/llmos/v1/keys", json={"name": "another"}, headers=headers)
    seen = (await http.get("/llmos/v1/audit", headers=headers)).json()["data"]
    assert {entry["project"] for entry in seen} == {"acme"}
    assert sorted(entry["action"] for entry in seen) == ["key.create", "sign_in"]
    for method, path in (("GET", "export"), ("POST", "verify"), ("POST", "checkpoint")):
        assert (await http.request(method, f"/llmos/v1/audit/{path}", headers=headers)).status_code == 403


async def test_the_log_is_verified_signed_and_exported(http: httpx.AsyncClient, services: Services) -> None:
    for name in ("one", "two"):
        await http.post("/llmos/v1/projects", json={"name": name})
    checkpoint = (await http.post("/llmos/v1/audit/checkpoint")).json()
    found = (await http.post("/llmos/v1/audit/verify", json={"checkpoints": [checkpoint]})).json()
    assert (found["is_intact"], found["covered"]) == (True, checkpoint["number"])
    future = services.signing_key.sign({**checkpoint, "number": 99})
    found = (await http.post("/llmos/v1/audit/verify", json={"checkpoints": [future]})).json()
    assert (found["is_intact"], found["first_bad"]) == (False, found["num_entries"] + 1)
    lines = (await http.get("/llmos/v1/audit/export")).content.splitlines()
    assert verify(map(read_line, lines), [checkpoint], [services.signing_key.public]).is_intact
    assert [msgspec.json.decode(line)["number"] for line in lines] == list(range(1, len(lines) + 1))
    key = (await http.get("/llmos/v1/signing-key")).json()
    assert (key["id"], key["pem"]) == (checkpoint["key"], services.signing_key.public.pem)


def test_every_endpoint_that_changes_something_declares_its_action() -> None:
    routes = [route for module in endpoint_modules() if hasattr(module, "router") for route in module.router.routes]
    assert unrecorded(routes) == []
    actions = {action for route in routes if (action := declared_action(route)) is not None}
    assert len(actions) > 35
    assert all(action.count(".") == 1 and action == action.lower() for action in actions)


@pytest.mark.parametrize("since", ["0.5", "soon", "2026-03-03T12:00:00", "2026-03-03", "9999-12-31T23:59:59-23:59"])
async def test_a_since_that_is_no_instant_is_refused(http: httpx.AsyncClient, since: str) -> None:
    reply = await http.get("/llmos/v1/audit", params={"since": since})
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, "since")
