"""Health and metrics: live, ready, and the counts of calls and replicas."""

import httpx
import pytest

from llmos.core.errors import PromptTooLong
from llmos.gateway.services import Services
from support.scripted import FakePool, FakeStatus

pytestmark = pytest.mark.anyio

CHAT = {"model": "dialogue", "messages": [{"role": "user", "content": "Hello"}]}


async def test_the_server_is_live_before_any_model_is_loaded(http: httpx.AsyncClient, services: Services) -> None:
    services.readiness.wanted.append("smollm2@1")
    assert (await http.get("/health/live")).json() == {"status": "live"}


async def test_the_server_is_ready_when_every_wanted_model_is_loaded(
    http: httpx.AsyncClient, services: Services, pool: FakePool
) -> None:
    services.readiness.wanted += ["smollm2@1", "other@2"]
    pool.replicas = [FakeStatus("smollm2@1"), FakeStatus("unasked@1", state="failed")]
    reply = await http.get("/health/ready")
    assert reply.status_code == 503
    assert reply.json() == {
        "status": "unready",
        "models": [
            {"version": "smollm2@1", "state": "ready"},
            {"version": "other@2", "state": "loading", "reason": "other@2 is being loaded."},
        ],
    }
    pool.replicas.append(FakeStatus("other@2"))
    reply = await http.get("/health/ready")
    assert (reply.status_code, reply.json()["status"]) == (200, "ready")


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        ("loading", "smollm2@1 is being loaded. It died."),
        ("failed", "smollm2@1 can't be loaded. It died."),
        ("stuck", "smollm2@1 does not respond. If it stays that way, it is restarted. It died."),
    ],
)
async def test_a_server_with_a_failed_model_is_not_ready_and_says_why(
    http: httpx.AsyncClient, services: Services, pool: FakePool, state: str, reason: str
) -> None:
    services.readiness.wanted.append("smollm2@1")
    pool.replicas = [FakeStatus("smollm2@1", state=state, error="It died.")]
    reply = await http.get("/health/ready")
    assert reply.status_code == 503
    assert reply.json()["models"] == [{"version": "smollm2@1", "state": state, "reason": reason}]


async def test_models_loaded_on_demand_do_not_affect_readiness(
    http: httpx.AsyncClient, services: Services, pool: FakePool
) -> None:
    assert (await http.get("/health/ready")).json() == {"status": "ready", "models": []}
    services.readiness.wanted.append("smollm2@1")
    pool.replicas = [FakeStatus("smollm2@1", state="stopped"), FakeStatus("other@1", state="loading")]
    assert (await http.get("/health/ready")).status_code == 200


async def test_tokens_and_waits_are_counted_by_version(http: httpx.AsyncClient, pool: FakePool) -> None:
    await http.post("/v1/chat/completions", json=CHAT)
    await http.post("/v1/chat/completions", json=CHAT | {"n": 2})
    pool.enqueue(PromptTooLong("too long"))
    await http.post("/v1/chat/completions", json=CHAT)
    counted = (await http.get("/metrics")).text.splitlines()
    for line in [
        'llmos_prompt_tokens_total{version="smollm2@1"} 10.0',
        'llmos_completion_tokens_total{version="smollm2@1"} 9.0',
        'llmos_time_to_first_token_seconds_count{version="smollm2@1"} 2.0',
        'llmos_time_per_output_token_seconds_count{version="smollm2@1"} 2.0',
    ]:
        assert line in counted


async def test_metrics_include_the_statistics_of_replicas(http: httpx.AsyncClient, pool: FakePool) -> None:
    pool.replicas = [FakeStatus("smollm2@1", restarts=2), FakeStatus("other@1", state="loading", load=None, ready=None)]
    reply = await http.get("/metrics")
    assert reply.headers["content-type"].startswith("text/plain")
    for line in [
        'llmos_replica_up{version="smollm2@1"} 1.0',
        'llmos_replica_up{version="other@1"} 0.0',
        'llmos_running_sequences{version="smollm2@1"} 2.0',
        'llmos_waiting_sequences{version="smollm2@1"} 1.0',
        'llmos_free_kv_blocks{version="smollm2@1"} 60.0',
        'llmos_cached_kv_blocks{version="smollm2@1"} 4.0',
        'llmos_preemptions_total{version="smollm2@1"} 3.0',
        'llmos_draft_tokens_total{version="smollm2@1"} 8.0',
        'llmos_accepted_draft_tokens_total{version="smollm2@1"} 6.0',
        'llmos_replica_restarts_total{version="smollm2@1"} 2.0',
    ]:
        assert line in reply.text.splitlines()
