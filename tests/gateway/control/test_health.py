"""Health and metrics: live, ready, and the counts of calls and replicas."""

import httpx
import pytest

from llmos.client import Client
from llmos.core.errors import PromptTooLong
from llmos.core.server_proof import new_challenge, prove
from llmos.gateway.services import Services
from support.scripted import KEY, FakePool, FakeStatus

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


async def test_a_removed_model_does_not_keep_the_server_from_being_ready(
    http: httpx.AsyncClient, services: Services, pool: FakePool
) -> None:
    services.readiness.wanted += ["smollm2@1", "other@2"]
    pool.replicas = [FakeStatus("smollm2@1")]
    assert (await http.get("/health/ready")).status_code == 503
    services.registry.removed.add("other@2")  # type: ignore[attr-defined]
    reply = await http.get("/health/ready")
    assert (reply.status_code, reply.json()["models"]) == (200, [{"version": "smollm2@1", "state": "ready"}])
    assert (await http.get("/v2/health/ready")).status_code == 200


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
        'llmos_prompt_tokens_total{model_name="smollm2@1"} 10.0',
        'llmos_generation_tokens_total{model_name="smollm2@1"} 9.0',
        'llmos_time_to_first_token_seconds_count{model_name="smollm2@1"} 2.0',
        'llmos_request_time_per_output_token_seconds_count{model_name="smollm2@1"} 2.0',
        'llmos_e2e_request_latency_seconds_count{model_name="smollm2@1"} 2.0',
        'llmos_request_errors_total{code="context_length_exceeded",model_name="smollm2@1"} 1.0',
    ]:
        assert line in counted


async def test_metrics_include_the_statistics_of_replicas(http: httpx.AsyncClient, pool: FakePool) -> None:
    pool.replicas = [FakeStatus("smollm2@1", restarts=2), FakeStatus("other@1", state="loading", load=None, ready=None)]
    reply = await http.get("/metrics")
    assert reply.headers["content-type"].startswith("text/plain")
    for line in [
        'llmos_replica_up{model_name="smollm2@1"} 1.0',
        'llmos_replica_up{model_name="other@1"} 0.0',
        'llmos_num_requests_running{model_name="smollm2@1"} 2.0',
        'llmos_num_requests_waiting{model_name="smollm2@1"} 1.0',
        'llmos_engine_steps_total{model_name="smollm2@1"} 9.0',
        'llmos_free_kv_blocks{model_name="smollm2@1"} 60.0',
        'llmos_cached_kv_blocks{model_name="smollm2@1"} 4.0',
        'llmos_num_preemptions_total{model_name="smollm2@1"} 3.0',
        'llmos_spec_decode_num_draft_tokens_total{model_name="smollm2@1"} 8.0',
        'llmos_spec_decode_num_accepted_tokens_total{model_name="smollm2@1"} 6.0',
        'llmos_replica_restarts_total{model_name="smollm2@1"} 2.0',
    ]:
        assert line in reply.text.splitlines()


async def test_the_server_proves_that_it_has_the_key(http: httpx.AsyncClient) -> None:
    http.headers.pop("authorization")
    challenge = new_challenge()
    reply = await http.get("http://llmos:8123/health/identity", headers={"llmos-challenge": challenge})
    assert (reply.status_code, reply.content) == (204, b"")
    assert reply.headers["llmos-proof"] == prove(KEY, challenge, 8123)


@pytest.mark.parametrize("challenge", [None, "", "00", "g" * 64, "0" * 129, "0" * 31])
async def test_a_wrong_challenge_is_refused(http: httpx.AsyncClient, challenge: str | None) -> None:
    headers = {} if challenge is None else {"llmos-challenge": challenge}
    reply = await http.get("/health/identity", headers=headers)
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, "llmos-challenge")


def test_a_client_of_this_home_gets_in_over_a_real_socket(
    served: str, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = services.settings.home
    (home / "keys").mkdir(exist_ok=True)
    (home / "keys" / "owner").write_text(KEY)
    monkeypatch.setenv("LLMOS_HOME", str(home))
    monkeypatch.delenv("LLMOS_API_KEY", raising=False)
    with Client(served) as client:
        assert [model.version for model in client.models.list()]


async def test_a_browser_sees_what_this_is_without_a_key(http: httpx.AsyncClient) -> None:
    http.headers.pop("authorization")
    reply = await http.get("/")
    assert reply.status_code == 200
    assert reply.headers["content-type"] == "text/html; charset=utf-8"
    assert "An LLMOS server" in reply.text
    assert KEY not in reply.text
