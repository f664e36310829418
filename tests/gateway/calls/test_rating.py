"""Calls that score given texts pass the stages of the pipeline that others pass."""

import asyncio
import hashlib
from collections.abc import Callable
from math import exp
from typing import Any

import httpx
import pytest
import rfc8785
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st

from llmos.core.errors import BadRequest, Unavailable
from llmos.deployments.backend import Backends
from llmos.deployments.routing.route import Shadow
from llmos.gateway.calls.call import Prompt
from llmos.gateway.calls.limits_hold import estimated_tokens
from llmos.gateway.calls.rating import RateCall, probabilities
from llmos.gateway.services import Services
from llmos.security.callers import owner
from llmos.security.keys import NewKey
from llmos.security.limits import Limits
from llmos.security.receipts.verification import verify_receipt
from support.fake_backend import FakeBackend, FakeModel
from support.scripted import Connection, FakeRegistry, FakeVersion, fake_route

pytestmark = pytest.mark.anyio

PATH = "/llmos/v1/likelihood"
ASKED: dict[str, Any] = {"model": "dialogue", "prompt": "Grüß Gott", "continuations": ["ab", "c"]}
DENY = {"guardrail": "denied_topics", "phrases": ["Zanzibar"], "topic": "zanzibar"}


@pytest.fixture
def model() -> FakeModel:
    return FakeModel()


@pytest.fixture
def backends(model: FakeModel) -> Backends | None:
    return Backends({"local": lambda target: FakeBackend(target, model)})


@pytest.fixture
def apply(services: Services) -> Callable[..., None]:
    """Let a policy apply to all calls."""

    def apply(**document: Any) -> None:
        services.guardrails.set("strict", document)
        services.guardrails.apply("strict", "installation")

    return apply


def headers_of(services: Services, **key: Any) -> dict[str, str]:
    _, text = services.keys.create(NewKey(**key))
    return {"authorization": f"Bearer {text}"}


async def test_its_tokens_are_counted_once_and_nothing_is_generated(
    http: httpx.AsyncClient, services: Services, model: FakeModel
) -> None:
    model.num_cached_tokens = 4
    assert (await http.post(PATH, json=ASKED)).status_code == 200
    metrics = services.metrics.render().decode()
    assert 'llmos_prompt_tokens_total{model_name="smollm2@1"} 12.0' in metrics
    assert 'llmos_prompt_tokens_cached_total{model_name="smollm2@1"} 4.0' in metrics
    assert 'llmos_generation_tokens_total{model_name="smollm2@1"}' not in metrics
    calls = services.call_counts.of("smollm2@1")
    assert (calls.accepted, calls.answered, calls.running) == (1, 1, 0)
    assert services.evidence.window("dialogue", "smollm2").num_answered == 1


async def test_a_receipt_has_the_hash_of_the_log_probabilities(http: httpx.AsyncClient, services: Services) -> None:
    body = ASKED | {"score_prompt": True}
    reply = await http.post(PATH, json=body)
    receipt = (await http.get(reply.headers["x-llmos-receipt"])).json()
    verify_receipt(receipt, [services.signing_key.public])
    answer = reply.json()
    value = {
        "options": [[token["logprob"] for token in option["tokens"]] for option in answer["options"]],
        "prompt": [token["logprob"] for token in answer["prompt"]["tokens"]],
    }
    assert receipt["output"] == {"of": "logprobs", "sha256": hashlib.sha256(rfc8785.dumps(value)).hexdigest()}
    assert (receipt["operation"], receipt["sampling"], receipt["version"]) == ("rate", None, "smollm2@1")
    assert receipt["usage"] == {"prompt_tokens": 12, "cached_tokens": 0, "completion_tokens": 0}


async def test_the_next_target_of_a_route_answers_when_one_fails(
    http: httpx.AsyncClient, services: Services, model: FakeModel
) -> None:
    registry: FakeRegistry = services.registry  # type: ignore[assignment]
    registry.versions = [FakeVersion(), FakeVersion(model="other")]
    route = fake_route("dialogue", "smollm2", fallbacks=["other"])
    services.routes.routes["dialogue"] = route  # type: ignore[attr-defined]
    model.rate_errors = [Unavailable("Not now.")]
    assert (await http.post(PATH, json=ASKED)).json()["version"] == "other@1"
    failed, answered = (services.evidence.window("dialogue", target) for target in ("smollm2", "other"))
    assert (failed.errors, answered.num_answered) == ({"unavailable": 1}, 1)
    model.rate_errors = [BadRequest("It merges.", param="continuations[0]")]
    assert (await http.post(PATH, json=ASKED)).status_code == 400, "a wrong request is wrong everywhere"


async def test_the_time_limit_of_a_route_holds(http: httpx.AsyncClient, services: Services, model: FakeModel) -> None:
    route = fake_route("dialogue", "smollm2", timeout_seconds=0.01)
    services.routes.routes["dialogue"] = route  # type: ignore[attr-defined]
    model.gate = asyncio.Event()
    reply = await http.post(PATH, json=ASKED)
    assert reply.status_code == 503
    assert "no answer within 0.01 seconds" in reply.json()["error"]["message"]
    assert len(model.closed_early) == 1


async def test_a_call_that_scores_has_no_shadow(http: httpx.AsyncClient, services: Services, model: FakeModel) -> None:
    registry: FakeRegistry = services.registry  # type: ignore[assignment]
    registry.versions = [FakeVersion(), FakeVersion(model="other")]
    route = fake_route("dialogue", "smollm2", shadow=Shadow(target="other", percent=100))
    services.routes.routes["dialogue"] = route  # type: ignore[attr-defined]
    await http.post(PATH, json=ASKED)
    scored = {"model": "dialogue", "prompt": "ab", "prompt_logprobs": 0, "max_tokens": 1}
    assert (await http.post("/v1/completions", json=scored)).status_code == 200
    await services.pipeline.shadows.finish()
    assert (len(model.rated), len(model.requests)) == (1, 1)


async def test_a_caller_that_hangs_up_stops_the_work(app: FastAPI, services: Services, model: FakeModel) -> None:
    model.gate = asyncio.Event()
    caller = Connection(app, PATH, ASKED)
    call = caller.start()
    await model.someone_came.wait()
    caller.hang_up()
    await call
    assert len(model.closed_early) == 1
    assert services.call_counts.of("smollm2@1").cancelled == 1
    assert caller.sent == []


async def test_the_requests_of_a_key_are_limited(http: httpx.AsyncClient, services: Services) -> None:
    headers = headers_of(services, limits=Limits(requests_per_minute=1))
    assert [(await http.post(PATH, json=ASKED, headers=headers)).status_code for _ in range(2)] == [200, 429]


async def test_continuations_count_as_tokens_before_they_are_computed(
    http: httpx.AsyncClient, services: Services, model: FakeModel
) -> None:
    headers, model.gate = headers_of(services, limits=Limits(tokens_per_minute=100)), asyncio.Event()
    asked = ASKED | {"continuations": ["word " * 80]}
    running = asyncio.create_task(http.post(PATH, json=asked, headers=headers))
    await model.someone_came.wait()
    refused = await http.post(PATH, json=asked, headers=headers)
    model.gate.set()
    assert (refused.status_code, (await running).status_code) == (429, 200)


async def test_a_caller_that_goes_away_has_used_its_tokens(
    http: httpx.AsyncClient, services: Services, model: FakeModel
) -> None:
    headers, model.gate = headers_of(services, limits=Limits(tokens_per_minute=100)), asyncio.Event()
    asked = ASKED | {"continuations": ["word " * 80]}
    running = asyncio.create_task(http.post(PATH, json=asked, headers=headers))
    await model.someone_came.wait()
    running.cancel()
    await asyncio.wait([running])
    await services.limits.finish()
    model.gate.set()
    assert (await http.post(PATH, json=asked, headers=headers)).status_code == 429


async def test_a_refused_call_has_used_nothing(http: httpx.AsyncClient, services: Services, model: FakeModel) -> None:
    headers = headers_of(services, limits=Limits(tokens_per_minute=100))
    asked = ASKED | {"continuations": ["word " * 80]}
    model.rate_errors = [BadRequest("It merges.", param="continuations[0]")]
    assert (await http.post(PATH, json=asked, headers=headers)).status_code == 400
    await services.limits.finish()
    assert (await http.post(PATH, json=asked, headers=headers)).status_code == 200


async def test_the_longest_prompt_of_a_key_includes_a_continuation(
    http: httpx.AsyncClient, services: Services, model: FakeModel
) -> None:
    """The fake model counts five tokens for any text."""
    headers = headers_of(services, limits=Limits(prompt_tokens=12))
    assert (await http.post(PATH, json=ASKED, headers=headers)).status_code == 200
    assert len(model.counted) == 2, "a text of one byte has no more than one token"
    for too_long in ([1] * 8, "a text of two"):
        reply = await http.post(PATH, json=ASKED | {"continuations": [too_long]}, headers=headers)
        assert reply.status_code == (400 if isinstance(too_long, list) else 200)
    short = headers_of(services, limits=Limits(prompt_tokens=4))
    error = (await http.post(PATH, json=ASKED, headers=short)).json()["error"]
    assert "may send 4. Shorten it by 1 token" in error["message"]


async def test_a_key_may_be_kept_from_a_model(http: httpx.AsyncClient, services: Services, model: FakeModel) -> None:
    headers = headers_of(services, routes=("minilm",))
    assert (await http.post(PATH, json=ASKED, headers=headers)).status_code == 403
    assert not model.rated


@pytest.mark.parametrize("field", [{"prompt": "Tell me of Zanzibar."}, {"continuations": ["c", "It is Zanzibar."]}])
async def test_guardrails_screen_the_prompt_and_the_continuations(
    http: httpx.AsyncClient, model: FakeModel, apply: Callable[..., None], field: dict[str, Any]
) -> None:
    apply(input=[DENY])
    reply = await http.post(PATH, json=ASKED | field)
    assert (reply.status_code, reply.json()["error"]["code"]) == (400, "content_filter")
    assert not model.rated


async def test_what_a_guardrail_masks_is_not_scored(
    http: httpx.AsyncClient, model: FakeModel, apply: Callable[..., None]
) -> None:
    apply(input=[{"guardrail": "pii"}])
    mail = {"prompt": "Mail ann@example.com", "continuations": ["to ann@example.com", "c"]}
    answer = (await http.post(PATH, json=ASKED | mail)).json()
    (command,) = model.rated
    assert (command.request.text, command.continuations) == ("Mail [EMAIL]", ["to [EMAIL]", "c"])
    assert [each["text"] for each in answer["options"]] == ["to [EMAIL]", "c"]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"prompt": None, "tokens": [97]}, "tokens"),
        ({"continuations": ["c", [97]]}, "continuations"),
    ],
)
async def test_token_ids_cannot_be_screened(
    http: httpx.AsyncClient, model: FakeModel, apply: Callable[..., None], body: dict[str, Any], param: str
) -> None:
    apply(input=[DENY])
    asked = {name: each for name, each in (ASKED | body).items() if each is not None}
    reply = await http.post(PATH, json=asked)
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, param)
    assert not model.rated


async def test_likely_tokens_do_not_show_what_a_policy_withholds(
    http: httpx.AsyncClient, model: FakeModel, apply: Callable[..., None]
) -> None:
    apply(output=[DENY])
    completion = {"model": "dialogue", "prompt": "ab", "max_tokens": 1}
    for path, body, field in [
        (PATH, ASKED, {"top": 1}),
        ("/v1/completions", completion, {"prompt_logprobs": 1}),
        ("/v1/completions", completion, {"echo": True, "logprobs": 0}),
    ]:
        reply = await http.post(path, json=body | field)
        assert (reply.status_code, reply.json()["error"]["param"]) == (400, list(field)[-1])
    assert (await http.post(PATH, json=ASKED)).status_code == 200


async def test_a_busy_model_refuses_further_calls_that_score(
    http: httpx.AsyncClient, services: Services, model: FakeModel
) -> None:
    assert services.admission.num_open == 0
    model.gate = asyncio.Event()
    running = asyncio.create_task(http.post(PATH, json=ASKED | {"continuations": ["a"] * 1000}))
    await model.someone_came.wait()
    assert services.admission.num_open == 1, "one prompt, however many continuations"
    model.gate.set()
    assert (await running).status_code == 200
    assert services.admission.num_open == 0


def test_estimates_count_the_prompt_and_every_continuation() -> None:
    call = RateCall(
        model="m", caller=owner(), prompt=Prompt(tokens=[1] * 7), continuations=["x" * 400, [1, 2, 3]], num_top=3
    )
    assert estimated_tokens(call) == 7 + 101 + 4


@given(st.lists(st.floats(-1e5, 0), min_size=1, max_size=20))
def test_probabilities_are_shares_of_one_in_the_order_of_the_log_probabilities(logprobs: list[float]) -> None:
    shares = probabilities(logprobs)
    assert sum(shares) == pytest.approx(1)
    assert all(0 <= share <= 1 for share in shares)
    order = sorted(range(len(shares)), key=logprobs.__getitem__)
    assert [shares[i] for i in order] == sorted(shares)


@given(st.lists(st.floats(-30, 0), min_size=1, max_size=9), st.floats(-900, 900))
def test_probabilities_depend_on_differences_alone(logprobs: list[float], shift: float) -> None:
    assert probabilities([each + shift for each in logprobs]) == pytest.approx(probabilities(logprobs), abs=1e-9)
    total = sum(map(exp, logprobs))
    assert probabilities(logprobs) == pytest.approx([exp(each) / total for each in logprobs])


def test_no_options_have_no_probabilities() -> None:
    assert probabilities([]) == []
