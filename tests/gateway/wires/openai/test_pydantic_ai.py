"""pydantic-ai against the real server and model, over both of OpenAI's formats: nothing of it is adapted."""

from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal

import httpx
import openai
import pytest
from pydantic import BaseModel, Field
from pydantic_ai import Agent, NativeOutput, RunContext, ToolOutput
from pydantic_ai.models import Model
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.openai import OpenAIProvider

from support.real_server import KEY, Running

pytestmark = [pytest.mark.anyio, pytest.mark.process]

OrderId = Annotated[str, Field(pattern="^[A-Z]{2}[0-9]{6}$")]


class Mood(BaseModel):
    """A feeling of somebody."""

    mood: Literal["happy", "sad"]
    stars: Annotated[int, Field(ge=1, le=5)]


@pytest.fixture(params=[OpenAIChatModel, OpenAIResponsesModel], ids=["chat", "responses"])
async def model(request: pytest.FixtureRequest, running: Running) -> AsyncIterator[Model]:
    async with openai.AsyncOpenAI(base_url=f"{running.url}/v1", api_key=KEY, max_retries=0) as client:
        settings: Any = {"temperature": 0, "max_tokens": 60}
        yield request.param("dialogue", provider=OpenAIProvider(openai_client=client), settings=settings)


async def test_a_conversation(model: Model) -> None:
    agent = Agent(model, instructions="Be brief.")
    first = await agent.run("My name is Ada. Say hello.")
    assert first.output
    assert 0 < first.usage.output_tokens <= 60
    second = await agent.run("What is my name?", message_history=first.all_messages())
    assert second.usage.input_tokens > first.usage.input_tokens + 5


async def test_a_stream(model: Model) -> None:
    agent = Agent(model)
    async with agent.run_stream("Count from one to five.") as stream:
        pieces = [piece async for piece in stream.stream_text(delta=True, debounce_by=None)]
    assert len(pieces) > 3
    assert "".join(pieces) == (await agent.run("Count from one to five.")).output


async def test_a_call_of_a_function_and_the_answer_behind_it(model: Model) -> None:
    asked = list[str]()

    def settings(context: RunContext[None]) -> Any:
        return {"tool_choice": "required" if context.run_step <= 1 else "none"}

    agent = Agent(model, model_settings=settings)

    @agent.tool_plain
    def order_status(order_id: OrderId) -> str:
        """Where an order is."""
        asked.append(order_id)
        return f"{order_id} is on its way."

    run = await agent.run("Where is the order AB123456?")
    assert asked
    assert all(len(each) == 8 for each in asked)
    assert run.output


@pytest.mark.parametrize("output", [ToolOutput, NativeOutput])
async def test_an_answer_of_a_type(model: Model, output: Any) -> None:
    run: Any = await Agent(model, output_type=output(Mood)).run("I love it!")
    assert isinstance(run.output, Mood)
    assert run.usage.requests == 1, "the first answer has the type: nothing is repaired"


async def test_an_error_says_what_is_wrong(model: Model) -> None:
    with pytest.raises(Exception, match="There is no model") as raised:
        await Agent(type(model)("missing", provider=model._provider)).run("Hello")  # type: ignore[call-arg, attr-defined]
    assert not isinstance(raised.value, httpx.HTTPError)
