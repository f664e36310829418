"""openai-agents against the real server and model, over both of OpenAI's formats: nothing of it is adapted."""

from collections.abc import AsyncIterator
from typing import Annotated, Literal

import openai
import pytest
from agents import (
    Agent,
    Model,
    ModelSettings,
    OpenAIChatCompletionsModel,
    OpenAIResponsesModel,
    RunConfig,
    Runner,
    SQLiteSession,
    function_tool,
)
from openai.types.responses import ResponseTextDeltaEvent
from pydantic import BaseModel, Field

from support.real_server import KEY, Running

pytestmark = [pytest.mark.anyio, pytest.mark.process]

SETTINGS = ModelSettings(temperature=0, max_tokens=60)
QUIET = RunConfig(tracing_disabled=True)  # Traces go to OpenAI.


class Mood(BaseModel):
    """A feeling of somebody."""

    mood: Literal["happy", "sad"]
    stars: Annotated[int, Field(ge=1, le=5)]


@pytest.fixture(params=[OpenAIChatCompletionsModel, OpenAIResponsesModel], ids=["chat", "responses"])
async def model(request: pytest.FixtureRequest, running: Running) -> AsyncIterator[Model]:
    async with openai.AsyncOpenAI(base_url=f"{running.url}/v1", api_key=KEY, max_retries=0) as client:
        yield request.param("dialogue", client)


async def test_a_conversation(model: Model) -> None:
    agent = Agent("greeter", instructions="Be brief.", model=model, model_settings=SETTINGS)
    session = SQLiteSession("ada")
    first = await Runner.run(agent, "My name is Ada. Say hello.", session=session, run_config=QUIET)
    assert first.final_output
    second = await Runner.run(agent, "What is my name?", session=session, run_config=QUIET)
    usages = [run.context_wrapper.usage.input_tokens for run in (first, second)]
    assert usages[1] > usages[0] + 5
    session.close()


async def test_a_stream(model: Model) -> None:
    agent = Agent("counter", model=model, model_settings=SETTINGS)
    run = Runner.run_streamed(agent, "Count from one to five.", run_config=QUIET)
    pieces = [
        event.data.delta
        async for event in run.stream_events()
        if event.type == "raw_response_event" and isinstance(event.data, ResponseTextDeltaEvent)
    ]
    assert len(pieces) > 3
    assert "".join(pieces) == run.final_output


async def test_a_call_of_a_function_and_the_answer_behind_it(model: Model) -> None:
    asked = list[int]()

    @function_tool
    def add(first: int, second: int) -> int:
        """Add two numbers."""
        asked.append(first)
        return first + second

    settings = ModelSettings(temperature=0, max_tokens=400, tool_choice="required")
    agent = Agent("adder", model=model, tools=[add], model_settings=settings)
    run = await Runner.run(agent, "Add 2 and 3, and say the sum.", run_config=QUIET, max_turns=8)
    assert asked
    assert run.final_output


async def test_an_answer_of_a_type(model: Model) -> None:
    agent = Agent("critic", model=model, model_settings=SETTINGS, output_type=Mood)
    run = await Runner.run(agent, "I love it!", run_config=QUIET)
    assert isinstance(run.final_output, Mood)
    assert len(run.raw_responses) == 1, "the first answer has the type: nothing is repaired"
