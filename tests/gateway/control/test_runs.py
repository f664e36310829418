"""/llmos/v1/sessions and /llmos/v1/runs: over HTTP, through both clients, in a database of each kind."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from llmos.client import AsyncClient, Client
from llmos.core.errors import BadRequest, Conflict, NotFound, RunConflict
from llmos.core.ids import new_id
from support.apps import LEASE, answer, calling, question, result
from support.databases import KINDS
from support.scripted import KEY

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module", params=KINDS)
def database_kind(request: pytest.FixtureRequest) -> str:
    kind: str = request.param
    return kind


@pytest.fixture
async def client(app: FastAPI, http: httpx.AsyncClient) -> AsyncIterator[AsyncClient]:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with AsyncClient("http://127.0.0.1:9", api_key=KEY, transport=transport) as client:
        yield client


def run_of(session: str | None = None, **fields: Any) -> dict[str, Any]:
    begun = {"id": new_id("run"), "app": "support", "lease": LEASE, "input": question(), "session": session}
    return {name: value for name, value in (begun | fields).items() if value is not None}


def step(kind: str, message: dict[str, Any], key: str) -> dict[str, Any]:
    return {"key": key, "kind": kind, "name": "order_status", "state": "done", "result": message}


async def test_a_conversation_is_kept_and_found_again(client: AsyncClient) -> None:
    session = await client.sessions.open("support", "u42", user="ann")
    run = await client.runs.begin(**run_of(session.id))
    called = [step("model", calling("a"), "m1"), step("tool", result("a"), "t1"), step("model", answer(), "m2")]
    end = {"state": "succeeded", "output": "On its way.", "usage": {"num_calls": 2}, "num_tokens": 30}
    written = await client.runs.write(run.id, lease=LEASE, steps=called, end=end)
    assert (written.run.state, [each.state for each in written.steps]) == ("succeeded", ["done"] * 3)
    (turn,) = await client.sessions.turns(session.id)
    assert turn.messages == [question(), calling("a"), result("a"), answer()]
    assert (await client.sessions.append(session.id, [question(), answer()])).num_turns == 2
    moved = await client.sessions.set_window(session.id, 1, "They asked.")
    assert (await client.sessions.list(app="support")) == [moved]
    assert (await client.sessions.get(session.id)).summary == "They asked."
    (listed,) = await client.runs.list(app="support", session=session.id)
    assert (listed.id, listed.steps, listed.usage.num_calls) == (run.id, [], 2)
    assert [each.key for each in (await client.runs.get(run.id)).steps] == ["m1", "t1", "m2"]
    await client.runs.remove(run.id)
    await client.sessions.remove(session.id)
    with pytest.raises(NotFound):
        await client.sessions.get(session.id)


async def test_a_long_run_is_read_in_parts_and_runs_are_counted(client: AsyncClient, http: httpx.AsyncClient) -> None:
    run = await client.runs.begin(**run_of(app="counted"))
    steps = [step("step", {}, f"s{number}") for number in range(7)]
    await client.runs.write(run.id, lease=LEASE, steps=[*steps[:6], steps[6] | {"state": "failed"}])
    part = await client.runs.get(run.id, first_step=2, max_steps=3)
    assert (part.num_steps, [each.number for each in part.steps]) == (7, [2, 3, 4])
    assert [each.key for each in (await client.runs.get(run.id, step_state="failed")).steps] == ["s6"]
    assert (await client.runs.get(run.id, max_steps=0)).steps == []
    assert len((await client.runs.get(run.id)).steps) == 7
    assert (await http.get(f"/llmos/v1/runs/{run.id}?max_steps=-1")).status_code == 400
    await client.runs.cancel(run.id)
    await client.runs.begin(**run_of(app="counted"))
    counts = {each.state: each.num_runs for each in await client.runs.count() if each.app == "counted"}
    assert counts == {"cancelled": 1, "running": 1}


async def test_a_person_decides_what_a_run_waits_for(client: AsyncClient) -> None:
    run = await client.runs.begin(**run_of())
    end = {"state": "waiting", "waits_for": "approval", "waits_with": {"amount": 5}}
    await client.runs.write(run.id, lease=LEASE, end=end)
    (waiting,) = await client.runs.list(state="waiting")
    assert (waiting.waits_for, waiting.waits_with) == ("approval", {"amount": 5})
    assert (await client.runs.signal(run.id, "approval", {"by": "ada"})).state == "ready"
    assert [each.id for each in await client.runs.list(abandoned=True)] == [run.id]
    claimed = await client.runs.claim(run.id, "ab" * 8)
    assert (claimed.state, claimed.signals[0].value, claimed.signals[0].actor) == ("running", {"by": "ada"}, "owner")
    assert (await client.runs.cancel(run.id)).state == "cancelled"


async def test_a_conflict_is_raised_at_once(client: AsyncClient) -> None:
    session = await client.sessions.open("support", "u42")
    run = await client.runs.begin(**run_of(session.id))
    with pytest.raises(RunConflict, match=run.id):
        await client.runs.begin(**run_of(session.id))
    with pytest.raises(RunConflict, match="Another process"):
        await client.runs.write(run.id, lease="ab" * 8)
    with pytest.raises(Conflict, match="hasn't ended"):
        await client.runs.remove(run.id)
    with pytest.raises(NotFound, match="in doubt"):
        await client.runs.resolve(run.id, "other", has_happened=True)


@pytest.mark.parametrize(
    ("steps", "complaint"),
    [
        ([step("model", question(), "m")], "message of the role assistant"),
        ([step("model", answer() | {"tool_calls": 3}, "m")], "message of the role assistant"),
        ([step("tool", {"role": "tool"}, "t")], "message of the role tool"),
        ([step("step", {}, "with space")], r"steps\[0\].key"),
        ([step("walk", {}, "s")], "kind"),
    ],
)
async def test_a_step_that_would_break_a_turn_is_refused(
    client: AsyncClient, steps: list[dict[str, Any]], complaint: str
) -> None:
    run = await client.runs.begin(**run_of())
    with pytest.raises(BadRequest, match=complaint):
        await client.runs.write(run.id, lease=LEASE, steps=steps)
    assert (await client.runs.get(run.id)).steps == []


async def test_bad_requests_say_what_is_wrong(client: AsyncClient, http: httpx.AsyncClient) -> None:
    session = await client.sessions.open("support", "u42")
    for fields, complaint in (
        ({"id": "7"}, "id"),
        ({"input": "hello"}, "message of the role user"),
        ({"lease": "x"}, "lease"),
        ({"app": "not a name"}, "an app"),
    ):
        with pytest.raises(BadRequest, match=complaint):
            await client.runs.begin(**run_of(session.id, **fields))
    run = await client.runs.begin(**run_of())
    for end in ({"state": "waiting"}, {"state": "succeeded", "waits_for": "x"}):
        with pytest.raises(BadRequest, match="waits_for"):
            await client.runs.write(run.id, lease=LEASE, end=end)
    assert (await http.post(f"/llmos/v1/runs/{run.id}/signals/" + 193 * "x", json={})).status_code == 400


async def test_an_erasure_removes_the_sessions_and_runs_of_a_person(client: AsyncClient) -> None:
    session = await client.sessions.open("support", "u42", user="ann")
    in_session = await client.runs.begin(**run_of(session.id))
    alone = await client.runs.begin(**run_of(user="ann"))
    others = await client.runs.begin(**run_of(user="bob"))
    (erased,) = (await client.erasures.forget("ann")).projects
    assert erased.sessions == [session.id]
    assert erased.runs == sorted([in_session.id, alone.id])
    assert [each.id for each in await client.runs.list()] == [others.id]


async def test_a_removed_project_takes_its_sessions_and_runs_along(
    client: AsyncClient, app: FastAPI, http: httpx.AsyncClient
) -> None:
    await client.projects.create("acme")
    key = (await client.keys.create(project="acme")).key
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with AsyncClient("http://127.0.0.1:9", api_key=key, transport=transport) as acme:
        session = await acme.sessions.open("support", "u42")
        run = await acme.runs.begin(**run_of(session.id))
    await client.projects.remove("acme")
    services = app.state.services
    for find, id in ((services.data.app_sessions.get, session.id), (services.data.app_runs.get, run.id)):
        with pytest.raises(NotFound):
            await asyncio.to_thread(find, "acme", id)


def test_the_blocking_client_does_the_same(served: str) -> None:
    with Client(served, api_key=KEY) as client:
        session = client.sessions.open("support", "u42")
        assert client.sessions.append(session.id, [question(), answer()]).num_turns == 1
        assert len(client.sessions.turns(session.id)) == 1
        assert client.sessions.set_window(session.id, 1).first_turn == 1
        assert client.sessions.list()[0].id == client.sessions.get(session.id).id
        run = client.runs.begin(**run_of(session.id))
        client.runs.write(run.id, lease=LEASE, end={"state": "waiting", "waits_for": "approval"})
        assert client.runs.signal(run.id, "approval").state == "ready"
        client.runs.claim(run.id, LEASE)
        with pytest.raises(NotFound):
            client.runs.resolve(run.id, "x", has_happened=False)
        assert client.runs.list()[0].state == "running"
        assert client.runs.cancel(run.id).state == client.runs.get(run.id).state == "cancelled"
        client.runs.remove(run.id)
        client.sessions.remove(session.id)
