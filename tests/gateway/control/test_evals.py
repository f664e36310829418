"""/llmos/v1/evals over HTTP: a run in the background of live calls, what is wrong with a suite, and projects apart."""

from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from llmos import AsyncClient
from llmos.core.errors import LLMOSError, ProviderFailed
from llmos.core.schemas.evals import EvalRunDetails
from llmos.data.evals import NewEvalRun
from llmos.evals.suite_reading import parse_suite
from llmos.gateway.control.evals import begin_run
from llmos.gateway.services import Services
from llmos.security.callers import owner
from llmos.security.keys import NewKey
from support.scripted import KEY, FakePool

pytestmark = pytest.mark.anyio

SUITE = {
    "name": "greetings",
    "cases": [
        {"id": "says", "input": "Hi", "expect": {"contains": "hello"}},
        {"id": "never", "input": "Bye", "expect": {"contains": "goodbye"}},
    ],
}


def client_of(app: FastAPI, key: str = KEY) -> AsyncClient:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    return AsyncClient("http://127.0.0.1:9", api_key=key, transport=transport)


@pytest.fixture
def client(app: FastAPI, http: httpx.AsyncClient) -> AsyncClient:
    """The jobs run while `http` is open."""
    return client_of(app)


async def ran(client: AsyncClient, suite: Any = SUITE, **settings: Any) -> EvalRunDetails:
    return await client.evals.run(suite, **{"models": ["dialogue"], **settings})


async def test_a_run_is_a_job_that_asks_and_keeps_what_it_came_to(client: AsyncClient, pool: FakePool) -> None:
    found = await ran(client)
    assert (found.state, found.verdict, found.exit_status, found.num_done) == ("finished", "failed", 4, 2)
    assert [(case.id, case.state, case.answers[0].text) for case in found.cases] == [
        ("says", "passed", "Hello"),
        ("never", "failed", "Hello"),
    ]
    assert found.results[0].versions == ["smollm2@1"]
    assert [request.sampling.temperature for request in pool.requests] == [0, 0]
    assert (await client.evals.list())[0].id == found.id
    assert (await client.evals.remove(found.id)).id == found.id
    assert await client.evals.list("greetings") == []


async def test_repeats_are_computed_each_time_although_the_route_has_a_cache(
    client: AsyncClient, pool: FakePool, http: httpx.AsyncClient
) -> None:
    suite = {"cases": [{"id": "a", "input": "Hi", "expect": {"contains": "hello"}}], "sampling": {"temperature": 0}}
    found = await ran(client, suite, repeat=3)
    assert len(pool.requests) == 3
    assert found.cases[0].num_tries == 3


async def test_two_models_are_compared_and_so_are_two_runs(client: AsyncClient) -> None:
    both = await ran(client, models=["dialogue", "smollm2"])
    assert both.comparison is not None
    assert (both.comparison.verdict, both.verdict, both.exit_status) == ("undecided", "undecided", 5)
    other = await ran(client)
    found = await client.evals.compare(both.id, other.id)
    assert (found.both, found.neither, found.verdict) == (1, 1, "undecided")


async def test_a_model_that_fails_for_one_case_makes_an_error_of_it(client: AsyncClient, pool: FakePool) -> None:
    for _ in range(3):
        pool.enqueue(ProviderFailed("The provider is down."))
    suite = {"cases": [{"id": "a", "input": "Hi", "expect": {"contains": "hello"}}]}
    found = await ran(client, suite)
    assert (found.cases[0].state, found.cases[0].reason) == ("error", "The provider is down.")
    assert (found.verdict, found.exit_status) == ("could_not_run", 1)


async def test_a_dataset_is_a_suite(client: AsyncClient, http: httpx.AsyncClient, services: Services) -> None:
    import msgspec

    from llmos.data.datasets.rows import make_row

    datasets = services.data.datasets.of("owner")
    with datasets.writing("questions", "case", recipe={}) as writer:
        writer.add(make_row("case", {"input": "Hi", "expected": {"contains": "hello"}}))
        writer.add(make_row("case", {"input": "Say hello", "expected": "Hello"}))
        writer.finish()
    found = await ran(client, None, dataset="questions")
    assert (found.source, found.suite, found.verdict) == ("questions@1", "questions", "passed")
    assert msgspec.to_builtins(found.gates[0])["sentence"] == "All 2 cases pass."


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ({"models": ["dialogue"]}, 400, "Send either `suite` or `dataset`."),
        ({"suite": SUITE}, 400, "Neither `models` nor the suite's `model`"),
        ({"suite": SUITE, "models": ["dialog"]}, 404, "There is no model dialog"),
        ({"suite": SUITE, "models": ["dialogue", "dialogue"]}, 400, "can't be compared with itself"),
        ({"suite": {"cases": []}, "models": ["dialogue"]}, 400, "there are no cases"),
        ({"suite": {"cases": [{"id": "a", "input": "x", "expect": {"contans": "y"}}]}, "models": ["dialogue"]}, 400,
         "The suite, case 1: there is no check `contans`. Did you mean `contains`?"),
        ({"suite": {"cases": [{"id": "a", "input": "x", "expect": {"cites": True}}]}, "models": ["dialogue"]}, 400,
         "which only an application does"),
        ({"dataset": "nothing", "models": ["dialogue"]}, 404, "nothing"),
    ],
)  # fmt: skip
async def test_a_run_that_can_not_be_is_refused_at_once(
    http: httpx.AsyncClient, body: dict[str, Any], status: int, message: str
) -> None:
    refused = await http.post("/llmos/v1/evals", json=body)
    assert refused.status_code == status
    assert message in refused.json()["error"]["message"]


async def test_an_unknown_run_is_404(http: httpx.AsyncClient) -> None:
    for method, path in (("GET", ""), ("DELETE", ""), ("GET", "/comparison?to=eval-2")):
        found = await http.request(method, f"/llmos/v1/evals/eval-1{path}")
        assert found.status_code == 404
        assert "There is no run 'eval-1' of an eval." in found.json()["error"]["message"]


async def test_a_key_of_another_project_sees_no_run(client: AsyncClient, app: FastAPI, services: Services) -> None:
    found = await ran(client)
    services.projects.create("acme")
    other = client_of(app, services.keys.create(NewKey(project="acme", role="developer"))[1])
    assert await other.evals.list() == []
    with pytest.raises(LLMOSError, match="There is no run"):
        await other.evals.get(found.id)
    own = await other.evals.run(SUITE, models=["dialogue"])
    assert (own.project, own.verdict) == ("acme", "failed")


async def test_the_same_run_that_goes_on_has_one_job(services: Services) -> None:
    new = NewEvalRun(suite=parse_suite(SUITE, "the suite"), models=["dialogue"], num_repeats=1)
    first, again = (begin_run(services, owner(), new) for _ in range(2))
    assert first.job is not None
    assert (again.id, again.job) == (first.id, first.job)
    services.jobs.cancel(first.job)
    continued = begin_run(services, owner(), new)
    assert (continued.id, continued.job != first.job) == (first.id, True)
