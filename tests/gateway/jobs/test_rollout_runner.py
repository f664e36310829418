"""Rollouts on a server: cases, counted calls, switches without lost calls, and a server that dies."""

import asyncio
import dataclasses
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from llmos.core.config import load_settings
from llmos.core.errors import ReplicaFailed, Unavailable, UnsupportedModel
from llmos.deployments.desired.deployments import Deployments
from llmos.deployments.rollouts.cases import read_cases
from llmos.deployments.rollouts.rollout import RolloutPlan
from llmos.deployments.rollouts.rollouts import Rollouts
from llmos.deployments.routing.routes import Routes
from llmos.gateway.jobs.rollout_runner import RolloutRunner
from llmos.models import open_registry
from llmos.models.queries import ensure_model
from llmos.models.tables import VersionFileRow, VersionRow
from support.pipelines import with_parts
from support.scripted import FakePool

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


class VersionPool(FakePool):
    """Says for each version what the test wrote down, however often it is asked."""

    def __init__(self):
        super().__init__()
        self.says = {}

    async def generate(self, version, files, request):
        self.scripts.insert(0, list(self.says.get(version, [version])))
        async for event in super().generate(version, files, request):
            yield event


@pytest.fixture
def registry(tmp_path):
    registry = open_registry(load_settings({"LLMOS_HOME": str(tmp_path / "home")}))
    with registry.database.transaction() as session:
        for number, model in enumerate(["old", "new"], start=1):
            ensure_model(session, model, NOON)
            session.add(
                VersionRow(
                    model=model,
                    number=1,
                    digest=f"sha256:{number:064}",
                    created_at=NOON,
                    source="import:/nowhere",
                    format="gguf",
                    family="llama",
                    quantization="Q4_1",
                    parameters=1,
                    sampling={},
                    files=[VersionFileRow(name="model.gguf", digest=f"sha256:{number:064}", size=1)],
                )
            )
    Routes(registry).set("chat", "old@1", actor="ada")
    yield registry
    registry.database.close()


@pytest.fixture
def pool():
    return VersionPool()


@pytest.fixture
def services(services, registry):
    routes, deployments = Routes(registry), Deployments(registry.database, registry)
    return with_parts(
        services,
        registry=registry,
        routes=routes,
        deployments=deployments,
        rollouts=Rollouts(registry.database, routes, deployments),
    )


@pytest.fixture
def runner(services):
    return RolloutRunner(services.rollouts, services.evidence, services.pipeline)


async def look(runner):
    await runner.reconcile()
    await runner.wait()


async def ask(http, num_calls, user=None):
    """Call the route so often; returns how many answers of each kind there were."""

    async def one(i):
        body = {"model": "chat", "messages": [{"role": "user", "content": "Hi"}], "user": user or f"user {i}"}
        answer = await http.post("/v1/chat/completions", json=body)
        return answer.json()["choices"][0]["message"]["content"] if answer.status_code == 200 else answer.status_code

    return Counter(await asyncio.gather(*(one(i) for i in range(num_calls))))


def percents(services):
    return dict(services.routes.get("chat").percent_of)


@pytest.mark.anyio
async def test_a_good_version_takes_the_route_over(services, runner, http):
    rollout = services.rollouts.begin(
        "new@1", "chat", RolloutPlan(steps=[50, 100], gate="error_rate <= 1%", min_calls=5), actor="ada"
    )
    await look(runner)
    assert percents(services) == {"old@1": 50, "new@1": 50}
    await look(runner)
    assert percents(services) == {"old@1": 50, "new@1": 50}, "nothing is known yet"
    said = await ask(http, 40)
    assert set(said) == {"old@1", "new@1"}
    await look(runner)
    assert percents(services) == {"new@1": 100}
    assert set(await ask(http, 5)) == {"new@1"}
    await look(runner)
    assert services.rollouts.get(rollout.id).state == "finished"


@pytest.mark.anyio
async def test_a_failing_version_is_rolled_back_with_the_numbers(services, runner, http, pool):
    rollout = services.rollouts.begin(
        "new@1", "chat", RolloutPlan(steps=[50, 100], gate="error_rate <= 10%", min_calls=5), actor="ada"
    )
    await look(runner)
    pool.says["new@1"] = [ReplicaFailed("The model's process died.")]
    assert set(await ask(http, 40)) == {"old@1", 502}
    await look(runner)
    ended = services.rollouts.get(rollout.id)
    assert (ended.state, percents(services)) == ("rolled_back", {"old@1": 100})
    assert ended.reason == "error_rate is 1, required <= 0.1"
    assert set(await ask(http, 10)) == {"old@1"}


@pytest.mark.anyio
async def test_a_version_that_cannot_be_loaded_never_gets_a_call(services, runner, pool, http):
    pool.says["new@1"] = [UnsupportedModel("This engine knows no such family.")]
    rollout = services.rollouts.begin("new@1", "chat", actor="ada")
    await look(runner)
    ended = services.rollouts.get(rollout.id)
    assert (ended.state, ended.reason) == ("rolled_back", "new@1 can't answer: This engine knows no such family.")
    assert set(await ask(http, 10)) == {"old@1"}


@pytest.mark.anyio
@pytest.mark.parametrize(("gate", "state"), [("score >= 0.6", "rolled_back"), ("score >= 0.5", "running")])
async def test_cases_run_before_any_call_reaches_the_version(services, runner, pool, gate, state):
    pool.says["new@1"] = ["The capital is ", "Paris."]
    cases = [{"prompt": "France?", "contains": "paris"}, {"prompt": "Italy?", "matches": r"\bRome\b"}]
    rollout = services.rollouts.begin("new@1", "chat", RolloutPlan(gate=gate, cases=read_cases(cases)), actor="ada")
    await look(runner)
    ended = services.rollouts.get(rollout.id)
    assert (ended.state, ended.scores) == (state, {"new": 0.5})
    assert [request.user_text for request in pool.requests] == ["Hello", "France?", "Italy?"]


@pytest.mark.anyio
async def test_a_score_is_compared_with_the_previous_version(services, runner, pool):
    pool.says |= {"new@1": ["no"], "old@1": ["yes"]}
    rollout = services.rollouts.begin(
        "new@1",
        "chat",
        RolloutPlan(gate="score >= 1x", cases=read_cases([{"prompt": "Well?", "equals": "yes"}])),
        actor="ada",
    )
    await look(runner)
    assert services.rollouts.get(rollout.id).scores == {"new": 0.0, "before": 1.0}
    assert services.rollouts.get(rollout.id).state == "rolled_back"


@pytest.mark.anyio
async def test_a_first_step_of_all_calls_is_compared_with_those_before_it(services, runner, http):
    """p95_first_token says something of these answers; how fast they are beside each other is beside the point."""
    gate = "p95_first_token <= 1000000x"
    rollout = services.rollouts.begin("new@1", "chat", RolloutPlan(steps=[100], gate=gate, min_calls=5), actor="ada")
    await ask(http, 10)
    await look(runner)
    assert percents(services) == {"new@1": 100}
    await ask(http, 10)
    await look(runner)
    assert services.rollouts.get(rollout.id).state == "finished"


@pytest.mark.anyio
async def test_a_version_that_takes_long_to_load_is_waited_for(services, runner, pool):
    """Callers wait for a load as long as they like to, a rollout as long as it takes."""
    asked = []

    async def ensure(version, files, *, wait=False):
        asked.append((version, wait))
        if not wait and len(asked) == 1:
            raise Unavailable("new@1 is being loaded, 40 % so far.", retry_after_seconds=9)

    pool.ensure = ensure
    rollout = services.rollouts.begin("new@1", "chat", actor="ada")
    await look(runner)
    assert services.rollouts.get(rollout.id).state == "running"
    assert asked[0] == ("new@1", True)


@pytest.mark.anyio
async def test_a_target_that_cannot_answer_the_cases_is_named(services, runner, pool):
    pool.says["old@1"] = [ReplicaFailed("The model's process died.")]
    rollout = services.rollouts.begin(
        "new@1",
        "chat",
        RolloutPlan(gate="score >= 1x", cases=read_cases([{"prompt": "Well?", "equals": "yes"}])),
        actor="ada",
    )
    await look(runner)
    assert services.rollouts.get(rollout.id).reason == "old@1 can't answer: The model's process died."


@pytest.mark.anyio
async def test_undoing_a_rollout_stops_its_cases(services, runner, pool):
    waits = asyncio.Event()
    pool.ensure = lambda *_, **__: waits.wait()
    rollout = services.rollouts.begin(
        "new@1",
        "chat",
        RolloutPlan(gate="score >= 1", cases=read_cases([{"prompt": "Well?", "equals": "yes"}])),
        actor="ada",
    )
    await runner.reconcile()
    services.rollouts.roll_back_route("chat", actor="ada")
    await look(runner)
    assert services.rollouts.get(rollout.id).state == "rolled_back"
    assert pool.requests == []


@pytest.mark.anyio
async def test_a_waiting_step_states_the_reason(services, runner, http):
    rollout = services.rollouts.begin(
        "new@1", "chat", RolloutPlan(steps=[100], gate="error_rate <= 1%", min_calls=5), actor="ada"
    )
    await look(runner)
    await ask(http, 3)
    await look(runner)
    assert services.rollouts.get(rollout.id).reason == "waits: 3 of 5 calls needed to judge error_rate"


@pytest.mark.anyio
async def test_a_step_without_calls_rolls_back_at_its_timeout(services):
    now = [NOON]
    rollouts = Rollouts(services.registry.database, services.routes, services.deployments, clock=lambda: now[0])
    services = dataclasses.replace(services, rollouts=rollouts)
    runner = RolloutRunner(services.rollouts, services.evidence, services.pipeline, clock=lambda: now[0])
    rollout = rollouts.begin("new@1", "chat", RolloutPlan(max_hold_seconds=60), actor="ada")
    await look(runner)
    now[0] += timedelta(seconds=59)
    await look(runner)
    assert rollouts.get(rollout.id).state == "running"
    now[0] += timedelta(seconds=2)
    await look(runner)
    ended = rollouts.get(rollout.id)
    assert ended.state == "rolled_back"
    assert "not enough is known after 61 seconds at 5 %: 0 of 20 calls" in ended.reason


@pytest.mark.thorough
@pytest.mark.anyio
async def test_no_call_is_lost_in_any_switch(services, runner, http):
    """Callers never stop while a version goes all the way, and back again: every call is answered."""
    rollout = services.rollouts.begin(
        "new@1", "chat", RolloutPlan(steps=[10, 50, 100], gate="error_rate <= 0%", min_calls=3), actor="ada"
    )
    said, is_over = Counter(), asyncio.Event()

    async def call_on():
        while not is_over.is_set():
            said.update(await ask(http, 8))

    callers = [asyncio.create_task(call_on()) for _ in range(3)]
    while services.rollouts.get(rollout.id).state != "finished":
        await look(runner)
    services.rollouts.roll_back_route("chat", actor="ada")
    before = said["old@1"]
    while said["old@1"] < before + 20:
        await asyncio.wait(callers, timeout=0.01)
    is_over.set()
    await asyncio.gather(*callers)
    assert set(said) == {"old@1", "new@1"}, "no status but 200"


@pytest.mark.anyio
async def test_a_new_server_continues_the_rollouts_of_a_dead_one(services, runner, http):
    rollout = services.rollouts.begin(
        "new@1", "chat", RolloutPlan(steps=[50, 100], gate="error_rate <= 0%", min_calls=3), actor="ada"
    )
    await look(runner)
    # The dead server's memory of calls is gone; its decisions are not.
    after = RolloutRunner(services.rollouts, services.evidence, services.pipeline)
    await ask(http, 30)
    await look(after)
    assert services.rollouts.get(rollout.id).step == 1


@pytest.mark.anyio
async def test_rollouts_over_http(services, http, runner):
    begun = await http.post(
        "/llmos/v1/rollouts", json={"version": "new@1", "route": "chat", "steps": [50, 100], "min_calls": 3}
    )
    assert begun.status_code == 200
    assert begun.json()["state"] == "starting"
    await look(runner)
    described = (await http.get(f"/llmos/v1/rollouts/{begun.json()['id']}")).json()
    assert (described["state"], described["percent"]) == ("running", 50)
    undone = await http.delete("/llmos/v1/routes/chat/rollout")
    assert undone.json()["state"] == "rolled_back"
    listed = (await http.get("/llmos/v1/rollouts", params={"route": "chat"})).json()["data"]
    assert [each["reason"] for each in listed] == ["rolled back on request"]
    history = (await http.get(f"/llmos/v1/rollouts/{begun.json()['id']}/history")).json()["data"]
    assert [event["kind"] for event in history] == ["began", "stepped", "rolled_back"]


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 400),
        ({"version": "new@1", "route": "nothing"}, 404),
        ({"version": "none", "route": "chat"}, 404),
        ({"version": "old@1", "route": "chat"}, 409),
        ({"version": "new@1", "route": "chat", "steps": [7]}, 400),
        ({"version": "new@1", "route": "chat", "gate": "1 < 2"}, 400),
        ({"version": "new@1", "route": "chat", "unknown": 1}, 400),
    ],
)
async def test_an_invalid_rollout_is_rejected(services, http, body, status):
    assert (await http.post("/llmos/v1/rollouts", json=body)).status_code == status
    assert services.rollouts.list() == []
    assert (await http.get("/llmos/v1/rollouts/7")).status_code == 404
    assert (await http.delete("/llmos/v1/routes/chat/rollout")).status_code == 409
