"""Calls through a route: which target answers, the fallbacks, and the recorded evidence."""

import asyncio
from collections.abc import Mapping
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from llmos.core.errors import (
    BadModelFile,
    LLMOSError,
    Overloaded,
    PromptTooLong,
    ReplicaFailed,
    Unavailable,
    UnsupportedModel,
)
from llmos.deployments.routing.route import Shadow
from llmos.engine.messages import BACKGROUND_PRIORITY
from llmos.gateway.calls import shadows
from llmos.gateway.services import Services
from support.scripted import Connection, FakePool, FakeRegistry, FakeVersion, fake_route

pytestmark = pytest.mark.anyio

CHAT = {"model": "chat", "messages": [{"role": "user", "content": "Hi"}]}
PATH = "/v1/chat/completions"


@pytest.fixture
def route(services: Services) -> Any:
    """Set the route `chat`, with smollm2 and a second model behind it."""
    registry: FakeRegistry = services.registry  # type: ignore[assignment]
    registry.versions = [FakeVersion(), FakeVersion(model="other"), FakeVersion(model="third")]

    def route(target: str | Mapping[str, float], **settings: Any) -> None:
        services.routes.routes["chat"] = fake_route("chat", target, **settings)  # type: ignore[attr-defined]

    return route


@pytest.mark.thorough
async def test_calls_are_shared_out_by_weight(route: Any, http: httpx.AsyncClient, services: Services) -> None:
    route({"smollm2": 50, "other": 50})
    models = [(await http.post(PATH, json=CHAT)).json()["model"] for _ in range(60)]
    assert 10 < models.count("other@1") < 50
    windows = [services.evidence.window("chat", target) for target in ("smollm2", "other")]
    assert [window.num_answered for window in windows] == [60 - models.count("other@1"), models.count("other@1")]


@pytest.mark.thorough
async def test_a_user_always_gets_the_same_target(route: Any, http: httpx.AsyncClient) -> None:
    route({"smollm2": 50, "other": 50})
    for user in ("ada", "bob", "eve"):
        answered = {(await http.post(PATH, json={**CHAT, "user": user})).json()["model"] for _ in range(10)}
        assert len(answered) == 1


async def test_a_sticky_route_sends_a_caller_to_one_target(route: Any, http: httpx.AsyncClient) -> None:
    route({"smollm2": 50, "other": 50}, sticky="caller")
    answered = {(await http.post(PATH, json={**CHAT, "user": str(i)})).json()["model"] for i in range(20)}
    assert len(answered) == 1


@pytest.mark.combinations
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "error",
    [
        ReplicaFailed("It died."),
        Unavailable("Not now."),
        Overloaded("Too many."),
        BadModelFile("Torn."),
        UnsupportedModel("No."),
    ],
)
async def test_the_next_target_answers_when_one_fails(
    route: Any, http: httpx.AsyncClient, pool: FakePool, services: Services, error: LLMOSError, stream: bool
) -> None:
    route("smollm2", fallbacks=["other"])
    pool.enqueue(error)
    reply = await http.post(PATH, json={**CHAT, "stream": stream})
    assert reply.status_code == 200
    assert "other@1" in reply.text
    assert reply.headers["llmos-version"] == "other@1"
    failed, answered = (services.evidence.window("chat", target) for target in ("smollm2", "other"))
    assert (failed.num_failed, failed.errors, failed.error_rate) == (1, {error.code: 1}, 1)
    assert (answered.num_answered, answered.error_rate) == (1, 0)


@pytest.mark.parametrize("stream", [False, True])
async def test_an_invalid_call_is_tried_on_one_target_only(
    route: Any, http: httpx.AsyncClient, pool: FakePool, services: Services, stream: bool
) -> None:
    route("smollm2", fallbacks=["other"])
    pool.enqueue(PromptTooLong("Shorten it."))
    reply = await http.post(PATH, json={**CHAT, "stream": stream})
    assert (reply.status_code, reply.json()["error"]["code"]) == (400, "context_length_exceeded")
    window = services.evidence.window("chat", "smollm2")
    assert (window.num_refused, window.num_failed, window.error_rate) == (1, 0, None)
    assert services.evidence.window("chat", "other").num_calls == 0


async def test_a_stream_that_has_begun_never_changes_its_model(
    route: Any, http: httpx.AsyncClient, pool: FakePool, services: Services
) -> None:
    route("smollm2", fallbacks=["other"])
    pool.enqueue("Hel", ReplicaFailed("It died."))
    reply = await http.post(PATH, json={**CHAT, "stream": True})
    assert "Hel" in reply.text
    assert "It died." in reply.text
    assert "other@1" not in reply.text
    assert services.evidence.window("chat", "smollm2").num_failed == 1


async def test_a_whole_answer_that_breaks_off_is_begun_again_by_the_next(
    route: Any, http: httpx.AsyncClient, pool: FakePool
) -> None:
    route("smollm2", fallbacks=["other"])
    pool.enqueue("Hel", ReplicaFailed("It died."))
    pool.enqueue("Good ", "day")
    answer = (await http.post(PATH, json=CHAT)).json()
    assert (answer["model"], answer["choices"][0]["message"]["content"]) == ("other@1", "Good day")
    assert answer["usage"]["completion_tokens"] == 3


async def test_the_error_of_the_last_target_is_returned(route: Any, http: httpx.AsyncClient, pool: FakePool) -> None:
    route("smollm2", fallbacks=["other", "third"])
    for word in ("First", "Second", "Third"):
        pool.enqueue(Unavailable(f"{word}.", retry_after_seconds=7))
    reply = await http.post(PATH, json=CHAT)
    assert (reply.status_code, reply.json()["error"]["message"]) == (503, "Third.")
    assert reply.headers["retry-after"] == "7"


async def test_a_target_that_takes_too_long_is_left_for_the_next(
    route: Any, http: httpx.AsyncClient, pool: FakePool, services: Services
) -> None:
    route("smollm2", fallbacks=["other"], timeout_seconds=0.01)
    pool.enqueue(pool.never)
    pool.enqueue("Hello")
    reply = await http.post(PATH, json={**CHAT, "stream": True})
    assert reply.headers["llmos-version"] == "other@1"
    assert len(pool.closed_early) == 1
    assert services.evidence.window("chat", "smollm2").errors == {"unavailable": 1}


async def test_a_timeout_without_a_fallback_states_the_limit(
    route: Any, http: httpx.AsyncClient, pool: FakePool
) -> None:
    route("smollm2", timeout_seconds=0.01)
    pool.enqueue("Hel", pool.never)
    reply = await http.post(PATH, json=CHAT)
    assert reply.status_code == 503
    assert "smollm2@1 gave no answer within 0.01 seconds" in reply.json()["error"]["message"]


async def test_a_target_that_was_removed_is_passed_over(route: Any, http: httpx.AsyncClient) -> None:
    route("gone", fallbacks=["other"])
    assert (await http.post(PATH, json=CHAT)).json()["model"] == "other@1"
    route("gone")
    assert (await http.post(PATH, json=CHAT)).status_code == 404


async def test_a_hang_up_counts_as_no_failure(route: Any, app: FastAPI, pool: FakePool, services: Services) -> None:
    route("smollm2", fallbacks=["other"])
    pool.enqueue(pool.never)
    caller = Connection(app, PATH, CHAT)
    running = caller.start()
    await pool.someone_came.wait()
    caller.hang_up()
    await asyncio.wait([running])
    window = services.evidence.window("chat", "smollm2")
    assert (window.num_cancelled, window.error_rate) == (1, None)
    assert services.evidence.window("chat", "other").num_calls == 0


async def test_calls_by_a_models_own_name_are_no_evidence(http: httpx.AsyncClient, services: Services) -> None:
    await http.post(PATH, json={**CHAT, "model": "smollm2"})
    assert services.evidence.window("smollm2", "smollm2").num_calls == 0
    await http.post(PATH, json={**CHAT, "model": "dialogue"})
    window = services.evidence.window("dialogue", "smollm2")
    assert window.first_token_seconds is not None
    assert window.first_token_seconds.num == 1


GREEDY = {**CHAT, "temperature": 0}


@pytest.mark.parametrize("stream", [False, True])
async def test_a_shadow_runs_behind_the_answer_and_is_compared(
    route: Any, http: httpx.AsyncClient, pool: FakePool, services: Services, stream: bool
) -> None:
    route("smollm2", shadow=Shadow("other"))
    pool.enqueue("Good ", "day")
    pool.enqueue("Good ", "night")
    pool.enqueue("Good day")
    pool.enqueue("Good ", "day")
    for _ in range(2):
        reply = await http.post(PATH, json={**GREEDY, "stream": stream})
        assert reply.headers["llmos-version"] == "smollm2@1"
        await services.pipeline.shadows.finish()
    agreement = services.evidence.agreement("chat", "other")
    assert (agreement.num_calls, agreement.num_compared, agreement.num_agreed) == (2, 2, 1)
    assert agreement.common_share == pytest.approx((5 / 10 + 1) / 2)
    assert agreement.shadow_seconds is not None
    assert [request.priority for request in pool.requests] == [0, BACKGROUND_PRIORITY] * 2
    # Neither is evidence for the target: nobody was answered by it.
    assert services.evidence.window("chat", "other").num_calls == 0
    evidence = (await http.get("/llmos/v1/routes/chat/evidence")).json()
    assert (evidence["shadow"]["target"], evidence["shadow"]["agreement"]) == ("other", 0.5)
    assert evidence["targets"][0]["num_answered"] == 2


async def test_sampled_answers_are_compared_by_time_alone(
    route: Any, http: httpx.AsyncClient, services: Services
) -> None:
    route("smollm2", shadow=Shadow("other"))
    await http.post(PATH, json={**CHAT, "temperature": 0.7})
    await services.pipeline.shadows.finish()
    agreement = services.evidence.agreement("chat", "other")
    assert (agreement.num_calls, agreement.num_compared, agreement.agreement) == (1, 0, None)


async def test_a_failing_shadow_does_not_affect_the_call(
    route: Any, http: httpx.AsyncClient, pool: FakePool, services: Services
) -> None:
    route("smollm2", shadow=Shadow("other"))
    pool.enqueue("Hello")
    pool.enqueue(ReplicaFailed("It died."))
    assert (await http.post(PATH, json=GREEDY)).status_code == 200
    await services.pipeline.shadows.finish()
    route("smollm2", shadow=Shadow("gone"))
    assert (await http.post(PATH, json=GREEDY)).status_code == 200
    await services.pipeline.shadows.finish()
    assert services.evidence.agreement("chat", "other").num_failed == 1
    assert services.evidence.agreement("chat", "gone").num_failed == 1
    assert services.evidence.window("chat", "smollm2").num_failed == 0


async def test_stuck_shadows_block_nobody_and_are_limited(
    route: Any, http: httpx.AsyncClient, pool: FakePool, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shadows, "MAX_RUNNING", 1)
    route("smollm2", shadow=Shadow("other"))
    pool.enqueue("Hello")
    pool.enqueue(pool.never)
    for _ in range(3):
        assert (await http.post(PATH, json=GREEDY)).status_code == 200
    assert not services.pipeline.shadows.has_room
    assert services.admission.num_open == 0
    await services.pipeline.shadows.close()
    assert services.pipeline.shadows.has_room
    assert len(pool.requests) == 4


async def test_an_answer_that_was_not_read_completely_has_no_shadow(
    route: Any, app: FastAPI, pool: FakePool, services: Services
) -> None:
    route("smollm2", shadow=Shadow("other"))
    pool.enqueue("Hel", pool.never)
    caller = Connection(app, PATH, {**GREEDY, "stream": True})
    running = caller.start()
    await caller.first_chunk()
    caller.hang_up()
    await asyncio.wait([running])
    await services.pipeline.shadows.finish()
    assert len(pool.requests) == 1


@pytest.mark.thorough
async def test_a_shadow_gets_its_share(route: Any, http: httpx.AsyncClient, services: Services) -> None:
    route("smollm2", shadow=Shadow("other", 30))
    for _ in range(60):
        await http.post(PATH, json=GREEDY)
        await services.pipeline.shadows.finish()
    assert 4 < services.evidence.agreement("chat", "other").num_calls < 35
