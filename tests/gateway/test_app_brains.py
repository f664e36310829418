"""Agents of other frameworks as brains of applications: sessions, steps, knowledge and limits stand around them.

The server and the model are real.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import agents
import httpx
import openai
import pytest
from langchain_openai import ChatOpenAI
from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

from llmos.apps import App
from llmos.client import AsyncClient, Client
from llmos.core.schemas.knowledge import Citation, SearchDescription, SearchHit
from llmos.core.schemas.turns import Message
from support.real_server import KEY, Running

pytestmark = pytest.mark.process

Brain = Callable[[str, list[Message]], Any]

PASSAGE = "The store in Rome opens at nine and closes at six."


@dataclass
class Faq:
    """Knowledge of one passage."""

    answerable: bool = True
    name: str = "faq"
    answer: Any = "compose"
    unsupported: Any = "mark"
    abstain: str = "I don't know."

    async def search(self, server: Any, question: str) -> SearchDescription:
        citation = Citation(document="rome.md", quote=PASSAGE, end=len(PASSAGE))
        return SearchDescription(hits=[SearchHit(text=PASSAGE, citation=citation)], answerable=self.answerable)


def pydantic_ai_brain(url: str) -> Brain:
    async def answer(text: str, before: list[Message]) -> str:
        async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key=KEY) as client:
            model = OpenAIChatModel("smollm2", provider=OpenAIProvider(openai_client=client))
            settings: Any = {"temperature": 0, "max_tokens": 30}
            return (await Agent(model, model_settings=settings).run(with_messages(text, before))).output

    return answer


def openai_agents_brain(url: str) -> Brain:
    async def answer(text: str, before: list[Message]) -> str:
        async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key=KEY) as client:
            agent = agents.Agent(
                "shop",
                model=agents.OpenAIChatCompletionsModel("smollm2", client),
                model_settings=agents.ModelSettings(temperature=0, max_tokens=30),
            )
            given: Any = [*before, {"role": "user", "content": text}]
            quiet = agents.RunConfig(tracing_disabled=True)
            return str((await agents.Runner.run(agent, given, run_config=quiet)).final_output)

    return answer


def langchain_brain(url: str) -> Brain:
    def answer(text: str, before: list[Message]) -> str:
        with httpx.Client() as client:
            given: Any = {"model": "smollm2", "base_url": f"{url}/v1", "api_key": KEY, "http_client": client}
            model = ChatOpenAI(temperature=0, max_tokens=30, **given)
            return str(model.invoke([*before, {"role": "user", "content": text}]).content)

    return answer


def with_messages(text: str, before: list[Message]) -> str:
    """Return a question with the conversation before it."""
    return "\n".join([*(f"{each['role']}: {each['content']}" for each in before), text])


@pytest.fixture(params=[pydantic_ai_brain, openai_agents_brain, langchain_brain])
def make_app(request: pytest.FixtureRequest, running: Running) -> Iterator[Callable[..., App]]:
    """Make apps whose brain is an agent of another framework."""
    with ExitStack() as opened:

        def make(**options: Any) -> App:
            name = request.param.__name__.replace("_", "-")
            given = {"model": "smollm2", "connect": lambda: AsyncClient(running.url, api_key=KEY), **options}
            return opened.enter_context(App(name, brain=request.param(running.url), **given))

        yield make


def test_a_session_stands_around_the_agent(make_app: Callable[..., App], running: Running) -> None:
    app = make_app()
    first = app.run("My name is Ada. Say hello.", session="brain", user="ada")
    second = app.run("What is my name?", session="brain", user="ada")
    assert first.text
    assert second.text
    with Client(running.url, api_key=KEY) as client:
        (session,) = [each for each in client.sessions.list(app=app.name) if each.name == "brain"]
        turns = client.sessions.turns(session.id)
    assert [turn.messages[-1]["content"] for turn in turns] == [first.text, second.text]


def test_a_step_in_front_of_the_agent_is_not_repeated(running: Running) -> None:
    ask, looked_up = langchain_brain(running.url), list[str]()
    given: Any = {"connect": lambda: AsyncClient(running.url, api_key=KEY)}
    app = App("steps-and-agent", **given)

    @app.step
    def look_up(order: str) -> str:
        looked_up.append(order)
        return f"{order} is on its way."

    def brain(text: str) -> str:
        status = look_up(text)
        app.wait_for("approval", status=status)
        return str(ask(f"Say it kindly: {status}", []))

    with App("steps-and-agent", brain=brain, **given) as kind, app:
        waiting = kind.run("AB123456")
        assert waiting.state == "waiting"
        assert kind.resume(waiting.id, True).text
    assert looked_up == ["AB123456"]


def test_sentences_are_told_apart_by_the_real_model(running: Running) -> None:
    given: Any = {"model": "smollm2", "connect": lambda: AsyncClient(running.url, api_key=KEY)}
    text = "The store in Rome opens at nine and closes at six. Penguins swim below the ice of the southern sea."
    with App("told-apart", brain=lambda _: text, knowledge=Faq(unsupported="drop"), **given) as app:
        run = app.run("When is the store in Rome open?")
    assert run.text == PASSAGE
    assert [each.document for each in run.citations] == ["rome.md"]


def test_the_documents_decide_what_the_agent_may_say(make_app: Callable[..., App]) -> None:
    run = make_app(knowledge=Faq()).run("When does the store in Rome open?")
    assert run.sentences
    assert run.text.count("[unsupported]") == sum(not each.is_supported for each in run.sentences)
    assert run.usage.prompt_tokens, "its sentences were scored"
    unknown = make_app(knowledge=Faq(answerable=False)).run("Who wrote Faust?")
    assert (unknown.text, unknown.abstained) == ("I don't know.", True)
