"""Applications on the real server, with the real model."""

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field

from llmos.apps import App, DoneEvent, LimitReached, Limits, TextEvent, ToolEvent
from llmos.client import AsyncClient, Client
from llmos.core.errors import RunConflict
from support.real_server import KEY, Running

pytestmark = pytest.mark.process

OrderId = Annotated[str, Field(pattern="[A-Z]{2}[0-9]{6}")]


class Reply(BaseModel):
    """The answer to a customer."""

    mood: Literal["happy", "sad"]
    stars: Annotated[int, Field(ge=1, le=5)]


@pytest.fixture
def client(running: Running) -> Iterator[Client]:
    with Client(running.url, api_key=KEY) as client:
        yield client


@pytest.fixture
def make_app(running: Running) -> Iterator[Callable[..., App]]:
    """Make apps that use the real server, and close them."""
    with ExitStack() as opened:

        def make(name: str, **options: Any) -> App:
            given = {"model": "smollm2", "connect": lambda: AsyncClient(running.url, api_key=KEY), **options}
            return opened.enter_context(App(name, **given))

        yield make


def order_status(order_id: OrderId) -> str:
    "Where an order is."
    return f"The order {order_id} is on its way."


def test_a_conversation_goes_on(make_app: Callable[..., App], client: Client) -> None:
    app = make_app("chat", options={"max_tokens": 12, "temperature": 0})
    first = app.run("My name is Ada. Say hello.", session="goes-on", user="ada-goes-on")
    assert first.text
    assert first.usage.completion_tokens <= 12
    second = app.run("What is my name?", session="goes-on")
    assert second.usage.prompt_tokens > first.usage.prompt_tokens + 12
    (session,) = [each for each in client.sessions.list(app="chat") if each.name == "goes-on"]
    turns = client.sessions.turns(session.id)
    assert [turn.messages[-1]["content"] for turn in turns] == [first.text, second.text]
    assert [turn.run for turn in turns] == [first.id, second.id]
    assert session.num_tokens == second.usage.prompt_tokens + second.usage.completion_tokens
    assert client.runs.get(second.id).output == second.text
    (erased,) = client.erasures.forget("ada-goes-on").projects
    assert erased.sessions == [session.id]
    assert set(erased.runs) == {first.id, second.id}


def test_arguments_are_held_to_their_schema_and_a_model_that_calls_for_ever_is_stopped(
    make_app: Callable[..., App], client: Client
) -> None:
    limits = Limits(steps=2)
    app = make_app("calls", limits=limits, options={"tool_choice": "required", "temperature": 0})
    app.tool(order_status)
    with pytest.raises(LimitReached, match="called the model 2 times, its limit") as reached:
        app.run("Where is AB123456?", session="for-ever")
    run = client.runs.get(reached.value.run_id)
    assert (run.state, run.error and run.error.code) == ("failed", "limit_reached")
    called = [step for step in run.steps if step.kind == "tool"]
    assert called
    assert {step.state for step in called} == {"done"}
    session = next(each for each in client.sessions.list(app="calls"))
    (turn,) = client.sessions.turns(session.id)
    assert turn.messages[-1]["content"].startswith("[No answer: The run")


def test_an_answer_has_the_shape_of_its_type(make_app: Callable[..., App]) -> None:
    app = make_app("shaped", output=Reply, options={"temperature": 0, "max_tokens": 60})
    run = app.run("I love it!")
    assert isinstance(run.output, Reply)
    assert Reply.model_validate_json(run.text) == run.output


def test_events_come_as_they_happen_and_closing_them_cancels_the_run(
    make_app: Callable[..., App], client: Client
) -> None:
    app = make_app("events", options={"max_tokens": 16, "temperature": 0})
    events = [*app.stream("Count from one to ten.")]
    assert isinstance(events[-1], DoneEvent)
    assert "".join(each.text for each in events if isinstance(each, TextEvent)) == events[-1].run.text
    endless = make_app("endless", options={"ignore_eos": True, "max_tokens": 4000})
    stream: Any = endless.stream("Count from one to a million.", session="hangs-up")
    assert isinstance(next(stream), TextEvent)
    with pytest.raises(RunConflict, match="in this session"):
        endless.run("Hello?", session="hangs-up")
    stream.close()
    (run,) = client.runs.list(app="endless")
    assert run.state == "cancelled"
    assert make_app("endless", options={"max_tokens": 4}).run("Hello?", session="hangs-up").text


def test_a_run_waits_for_a_person_and_is_continued(make_app: Callable[..., App], client: Client) -> None:
    app = make_app("asks", limits=Limits(steps=2), options={"tool_choice": "required", "temperature": 0})
    app.tool(confirm=True)(order_status)
    waiting = app.run("Where is AB123456?")
    assert waiting.state == "waiting"
    assert waiting.waits_with["tool"] == "order_status"
    confirmed = 0
    with suppress(LimitReached):
        while True:  # Each call of an answer waits for its own confirmation.
            app.resume(waiting.id, True)
            confirmed += 1
    assert confirmed < 70
    events = [step for step in client.runs.get(waiting.id).steps if step.kind == "tool"]
    assert {step.state for step in events} == {"done"}


def test_tools_appear_among_the_events(make_app: Callable[..., App]) -> None:
    app = make_app("tools", limits=Limits(steps=1), options={"tool_choice": "required", "temperature": 0})
    app.tool(order_status)
    seen: list[Any] = []
    with suppress(LimitReached):
        for event in app.stream("Where is AB123456?"):
            seen.append(event)
    assert {event.state for event in seen if isinstance(event, ToolEvent)} == {"begun", "done"}


def test_a_process_that_is_killed_leaves_a_run_that_another_one_finishes(
    running: Running, client: Client, tmp_path: Path
) -> None:
    """kill -9, really, at every point of a program with two effects; the lease is short so that the test is."""
    world, finished = tmp_path / "world", 0
    for point in range(9):
        world.write_text("")
        killed = _program(running, world, "run", "-", point)
        if killed.returncode == 0:
            break
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        (run,) = client.runs.list(app="payer", state="running")
        while not client.runs.list(app="payer", abandoned=True):
            pass  # Its lease runs out; the test's own patience is pytest's.
        resumed = _program(running, world, "resume", run.id, 99)
        assert resumed.stdout == "refunded 500, refunded 500\n", resumed.stderr
        assert len(world.read_text().splitlines()) == 2
        assert client.runs.get(run.id).state == "succeeded"
        finished += 1
    assert finished >= 7
    session = next(each for each in client.sessions.list(app="payer"))
    assert {turn.messages[-1]["content"] for turn in client.sessions.turns(session.id)} == {
        "refunded 500, refunded 500"
    }


def _program(running: Running, world: Path, mode: str, run_id: str, point: int) -> "subprocess.CompletedProcess[str]":
    program = Path(__file__).parents[1] / "apps" / "kill_program.py"
    arguments = [running.url, KEY, str(world), mode, run_id, str(point)]
    return subprocess.run([sys.executable, str(program), *arguments], capture_output=True, text=True, timeout=300)


def test_an_agent_of_another_framework_gets_a_session(make_app: Callable[..., App], running: Running) -> None:
    from langchain_openai import ChatOpenAI

    chat = ChatOpenAI(model="smollm2", base_url=f"{running.url}/v1", api_key=KEY, max_tokens=8, temperature=0)  # type: ignore[arg-type, call-arg]

    def brain(text: str, before: list[Any]) -> str:
        return str(chat.invoke([*before, {"role": "user", "content": text}]).content)

    app = make_app("langchain", brain=brain)
    first, second = (app.run(text, session="u42") for text in ("My name is Ada.", "Who am I?"))
    assert first.text
    assert second.text
    assert [step.kind for step in second.steps] == ["model"]
