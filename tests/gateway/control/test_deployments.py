"""Deployments are made, scaled, put to sleep and removed over HTTP."""

from typing import Any

import httpx
import pytest

from support.scripted import FakePool, FakeStatus

pytestmark = pytest.mark.anyio


async def test_running_versions_are_listed_with_their_load(http: httpx.AsyncClient, pool: FakePool) -> None:
    pool.replicas = [
        FakeStatus("smollm2@1"),
        FakeStatus("broken@1", state="failed", pid=None, load=None, ready=None, restarts=3, error="It has no head."),
    ]
    running, broken = (await http.get("/llmos/v1/deployments")).json()["data"]
    assert (running["version"], running["state"], running["pid"]) == ("smollm2@1", "ready", 4711)
    assert running["load"] == {
        "num_running": 2, "num_waiting": 1, "num_free_blocks": 60, "num_cached_blocks": 4, "num_state_snapshots": 0,
        "num_preemptions": 3, "num_steps": 9,
    }  # fmt: skip
    assert running["ready"]["context_length"] == 8192
    assert running["since"] == "2026-01-02T00:00:00Z"
    assert (broken["state"], broken["error"], broken["restarts"]) == ("failed", "It has no head.", 3)
    assert broken["load"] is None


@pytest.mark.parametrize("name", ["smollm2@1", "smollm2", "dialogue"])
async def test_a_running_version_can_be_stopped_by_any_of_its_names(
    http: httpx.AsyncClient, pool: FakePool, name: str
) -> None:
    pool.replicas = [FakeStatus("smollm2@1"), FakeStatus("other@1")]
    assert (await http.delete(f"/llmos/v1/deployments/{name}")).status_code == 204
    assert [replica.state for replica in pool.replicas] == ["stopped", "ready"]
    reply = await http.delete(f"/llmos/v1/deployments/{name}")
    assert (reply.status_code, reply.json()["error"]["message"]) == (404, "smollm2@1 isn't running. Running: other@1.")


async def test_a_running_version_can_be_stopped_after_its_model_was_removed(
    http: httpx.AsyncClient, pool: FakePool
) -> None:
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
async def test_an_invalid_deployment_is_rejected(
    http: httpx.AsyncClient, body: dict[str, Any], status: int, param: str
) -> None:
    reply = await http.put("/llmos/v1/deployments/smollm2", json=body)
    assert (reply.status_code, reply.json()["error"]["param"]) == (status, param)
    assert (await http.get("/llmos/v1/deployments")).json()["data"] == []


async def test_a_version_that_is_not_deployed_cannot_be_scaled(http: httpx.AsyncClient) -> None:
    reply = await http.post("/llmos/v1/deployments/smollm2/scale", json={"replicas": 1})
    assert reply.status_code == 404
    assert "llmos deploy smollm2@1" in reply.json()["error"]["message"]
    assert (await http.put("/llmos/v1/deployments/nobody", json={})).status_code == 404
