"""The cost of calls at providers: the tokens that they report, and the check that these are plausible."""

import asyncio
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from llmos.billing.purchases.queries import CallFilter
from llmos.core.schemas.provider_costs import ProviderCall
from llmos.deployments.routing.route import Shadow
from llmos.gateway.metrics import Metrics
from llmos.gateway.services import Services
from support.looking import pause
from support.metered_calls import PATH, entries, tokens
from support.remote_models import STREAM, Strange, openai_stream, remote, strange_provider
from support.scripted import KEY, Connection, FakePool, fake_route

pytestmark = pytest.mark.anyio

CHAT: dict[str, Any] = {"model": "gpt-3", "messages": [{"role": "user", "content": "Hi"}]}
USAGE = {"prompt_tokens": 9, "completion_tokens": 2}
ASKED = {"currency": "EUR", "prices": {"default": {"per_million_tokens": {"input": "100", "output": "1000"}}}}


@pytest.fixture
def strange(services: Services) -> Iterator[type[Strange]]:
    with strange_provider() as (url, handler):
        remote(services, url, key=None)
        services.billing.provider_prices.set("far", ASKED)
        yield handler


def calls(services: Services) -> list[ProviderCall]:
    services.billing.ledger_writer.flush()
    return services.billing.provider_costs.calls(CallFilter()).data


@pytest.mark.parametrize("kind", ["openai", "anthropic"])
@pytest.mark.parametrize("stream", [False, True])
async def test_a_call_costs_what_its_provider_asks(
    kind: str, stream: bool, http: httpx.AsyncClient, services: Services, served: str
) -> None:
    remote(services, f"{served}/v1", kind=kind)
    services.billing.provider_prices.set("far", ASKED)
    services.billing.price_books.set({"currency": "EUR", "prices": {"default": {"per_call": "1"}}})
    reply = await http.post(PATH, json=CHAT | {"stream": stream})
    assert reply.status_code == 200
    (call,) = [each for each in calls(services) if each.version.startswith("remote:")]
    assert (call.input_tokens, call.output_tokens, call.cost, call.currency) == (5, 3, "0.0035", "EUR")
    assert (call.outcome, call.is_charged, call.is_estimated, call.differences) == ("answered", True, False, [])
    facts = (await http.get(f"/llmos/v1/answers/{call.call_id}")).json()
    assert [(each["line"], each["cost"]) for each in facts["provider_calls"]] == [(0, "0.0035")]
    report = (await http.get("/llmos/v1/usage", params={"by": "model"})).json()["data"]
    (row,) = [each for each in report if each["value"] == "remote:far/smollm2"]
    assert (row["costs"], row["provider_costs"], row["margins"]) == ({"EUR": "1"}, {"EUR": "0.0035"}, {"EUR": "0.9965"})


@pytest.mark.parametrize(
    ("usage", "found"),
    [
        (USAGE, []),
        (USAGE | {"cost": 0.0029}, []),
        (USAGE | {"cost": 0.29}, ["cost"]),
        (USAGE | {"cost": "free"}, []),
        (None, ["unreported"]),
        (USAGE | {"prompt_tokens": 5000}, ["input"]),
        (USAGE | {"prompt_tokens": 0}, ["input"]),
        (USAGE | {"completion_tokens": 0}, ["output"]),
        (USAGE | {"completion_tokens": 90}, ["output"]),
        (USAGE | {"completion_tokens": 90, "completion_tokens_details": {"reasoning_tokens": 80}}, []),
        ({"prompt_tokens": 5000, "completion_tokens": 0, "cost": 100}, ["input", "output", "cost"]),
    ],
)
async def test_what_a_provider_reports_is_compared_with_what_is_possible(
    usage: dict[str, Any] | None, found: list[str], http: httpx.AsyncClient, services: Services, strange: type[Strange]
) -> None:
    strange.answer = (200, STREAM, openai_stream("Hel", "lo", usage=usage))
    assert (await http.post(PATH, json=CHAT)).status_code == 200
    (call,) = calls(services)
    assert (call.differences, call.is_estimated) == (found, usage is None)


async def test_more_tokens_than_were_asked_for_are_noticed(
    http: httpx.AsyncClient, services: Services, strange: type[Strange]
) -> None:
    strange.answer = (200, STREAM, openai_stream("Hello", usage=USAGE | {"completion_tokens": 8}))
    await http.post(PATH, json=CHAT | {"max_tokens": 7})
    (call,) = calls(services)
    assert call.differences == ["output"]


async def test_a_provider_that_reports_nothing_is_estimated(
    http: httpx.AsyncClient, services: Services, strange: type[Strange]
) -> None:
    strange.answer = (200, STREAM, openai_stream("Hel", "lo"))
    long = CHAT | {"messages": [{"role": "user", "content": "four " * 100}]}
    await http.post(PATH, json=long)
    (call,) = calls(services)
    assert call.input_tokens >= 125
    assert call.output_tokens == 2


async def test_a_stream_that_breaks_costs_the_installation_and_not_the_caller(
    http: httpx.AsyncClient, services: Services, strange: type[Strange]
) -> None:
    strange.answer = (200, STREAM, openai_stream("Hel", "lo", ends=False))
    assert (await http.post(PATH, json=CHAT)).status_code == 502
    assert entries(services) == []
    (call,) = calls(services)
    assert (call.outcome, call.is_charged, call.is_estimated, call.differences) == ("failed", False, True, [])
    assert call.output_tokens == 2


async def test_a_request_that_a_provider_refuses_costs_nothing(
    http: httpx.AsyncClient, services: Services, strange: type[Strange]
) -> None:
    strange.answer = (500, {}, b"no")
    assert (await http.post(PATH, json=CHAT)).status_code == 502
    assert calls(services) == []


async def test_a_fallback_costs_at_the_provider_that_failed_too(
    http: httpx.AsyncClient, services: Services, strange: type[Strange]
) -> None:
    strange.answer = (200, STREAM, openai_stream(ends=False))
    routes: Any = services.routes
    routes.routes["gpt-3"] = fake_route("gpt-3", "remote:far/smollm2", fallbacks=["smollm2"])
    assert (await http.post(PATH, json=CHAT)).status_code == 200
    (row,) = entries(services)
    (call,) = calls(services)
    assert (row.version, row.line, call.line, call.is_charged) == ("smollm2@1", 1, 0, False)


async def test_a_shadow_costs_at_its_provider(
    http: httpx.AsyncClient, services: Services, strange: type[Strange]
) -> None:
    strange.answer = (200, STREAM, openai_stream("Hel", "lo", usage=USAGE))
    shadow = Shadow(target="remote:far/smollm2", percent=100)
    services.routes.routes["chat"] = fake_route("chat", "smollm2", shadow=shadow)  # type: ignore[attr-defined]
    assert (await http.post(PATH, json=CHAT | {"model": "chat"})).status_code == 200
    await services.pipeline.shadows.finish()
    (row,) = entries(services)
    (call,) = calls(services)
    assert row.version == "smollm2@1"
    assert (call.outcome, call.is_charged, call.cost) == ("shadow", False, "0.0029")


@pytest.mark.usefixtures("http")  # It closes the connections to providers.
async def test_a_caller_who_hangs_up_costs_an_estimate(
    app: FastAPI, services: Services, pool: FakePool, served: str
) -> None:
    """Anthropic's API reports the tokens of the prompt at the beginning."""
    remote(services, f"{served}/v1", kind="anthropic")
    pool.enqueue("One ", "two ", pool.never)
    connection = Connection(app, PATH, CHAT | {"stream": True})
    running = connection.start()
    while "two" not in connection.text:
        await pause()
    connection.hang_up()
    await asyncio.wait([running])
    (row,) = [each for each in entries(services) if each.route == "gpt-3"]
    (call,) = calls(services)
    assert (row.outcome, tokens(row)) == ("cancelled", (5, 0, 2))
    assert (call.outcome, call.input_tokens, call.output_tokens) == ("cancelled", 5, 2)
    assert (call.is_estimated, call.differences) == (True, [])


async def test_the_metrics_count_what_providers_cannot_have_counted(
    http: httpx.AsyncClient, services: Services, strange: type[Strange]
) -> None:
    strange.answer = (200, STREAM, openai_stream("Hello", usage=USAGE | {"prompt_tokens": 0}))
    await http.post(PATH, json=CHAT)
    services.billing.ledger_writer.flush()
    metrics = Metrics()
    metrics.watch_providers(services.billing.provider_costs.totals)
    text = metrics.render().decode()
    assert 'llmos_provider_calls_total{provider="far"} 1.0' in text
    assert 'llmos_provider_cost_total{currency="EUR",provider="far"} 0.002' in text
    assert 'llmos_provider_differences_total{kind="input",provider="far"} 1.0' in text
    assert 'llmos_provider_differences_total{kind="cost",provider="far"} 0.0' in text


async def test_only_the_installation_sees_what_providers_ask(
    http: httpx.AsyncClient, services: Services, strange: type[Strange]
) -> None:
    strange.answer = (200, STREAM, openai_stream("Hel", "lo", usage=USAGE))
    services.projects.create("acme")
    key = (await http.post("/llmos/v1/keys", json={"name": "app", "project": "acme"})).json()["key"]
    theirs = {"Authorization": f"Bearer {key}"}
    assert (await http.post(PATH, json=CHAT, headers=theirs)).status_code == 200
    for path in ("/llmos/v1/provider-costs", "/llmos/v1/provider-costs/calls", "/llmos/v1/providers/far/prices"):
        assert (await http.get(path, headers=theirs)).status_code == 403
        assert (await http.get(path)).status_code == 200
    seen = [
        (await http.get("/llmos/v1/usage", headers=headers)).json()["data"]
        for headers in (theirs, {"Authorization": f"Bearer {KEY}"})
    ]
    assert [row["provider_costs"] for rows in seen for row in rows] == [{}, {"EUR": "0.0029"}]
    (call,) = calls(services)
    answer = f"/llmos/v1/answers/{call.call_id}"
    assert (await http.get(answer, headers=theirs)).json()["provider_calls"] == []
    assert len((await http.get(answer)).json()["provider_calls"]) == 1


async def test_prices_and_costs_over_http(http: httpx.AsyncClient, services: Services, strange: type[Strange]) -> None:
    strange.answer = (200, STREAM, openai_stream("Hel", "lo", usage=USAGE))
    dearer = {"currency": "USD", "prices": {"smollm2": {"per_call": "1"}}}
    reply = await http.post("/llmos/v1/providers/far/prices", json=dearer)
    assert (reply.status_code, reply.json()["version"]) == (200, 2)
    await http.post(PATH, json=CHAT)
    (cost,) = (await http.get("/llmos/v1/provider-costs", params={"provider": "far"})).json()["data"]
    assert (cost["model"], cost["costs"], cost["num_calls"]) == ("smollm2", {"USD": "1"}, 1)
    (call,) = (await http.get("/llmos/v1/provider-costs/calls")).json()["data"]
    assert (call["version"], call["cost"], call["price_version"]) == ("remote:far/smollm2", "1", 2)
    wrong = await http.post("/llmos/v1/providers/near/prices", json=dearer)
    assert wrong.status_code == 404
    assert [row for row in entries(services) if tokens(row) == (9, 0, 2)]
