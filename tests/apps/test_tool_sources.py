"""Tools that aren't functions of the program: they come and go, and their names never hide each other."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from llmos.apps import App
from llmos.apps.memory import MemoryServer
from llmos.apps.steps import Step
from llmos.apps.testing import Call, Script
from llmos.apps.tools import Tool, ToolOptions


class Shout:
    """An operation of another program."""

    description = "Say it louder."
    parameters: Mapping[str, Any] = {"type": "object", "properties": {"text": {"type": "string"}}}

    def __init__(self, name: str) -> None:
        self.name = name
        self.keys: list[str] = []

    def parse(self, arguments: str) -> dict[str, Any]:
        parsed = json.loads(arguments)
        if not isinstance(parsed.get("text"), str):
            raise ValueError("text must be a string")
        return dict(parsed)

    def bind(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        return dict(kwargs)

    async def call(self, arguments: Mapping[str, Any], *, key: str = "", seconds: float | None = None) -> Any:
        self.keys.append(key)
        return f"{self.name}: {arguments['text'].upper()}"

    def dump(self, value: Any) -> Any:
        return value

    def load(self, value: Any) -> Any:
        return value


class Source:
    def __init__(self, name: str, *operations: Shout | Step[..., Any]) -> None:
        self.name, self.operations, self.num_closed = name, [*operations], 0

    async def tools(self) -> Sequence[Tool]:
        return [Tool(each, ToolOptions()) for each in self.operations]

    async def close(self) -> None:
        self.num_closed += 1


@pytest.fixture
def app() -> App:
    return App("shop")


def offered(script: Script, index: int) -> list[str]:
    return [tool["function"]["name"] for tool in script.prompts[index].tools]


def told(script: Script) -> list[str]:
    return [str(message["content"]) for message in script.prompts[-1].messages if message["role"] == "tool"]


def test_a_source_gives_the_model_tools(app: App) -> None:
    app.add_tools(Source("voice", Shout("shout")))
    with Script([Call("shout", text="hi"), Call("shout", text=3)], "Done").plays(app) as script:
        app.run("Shout")
    assert script.prompts[0].tools[0]["function"]["parameters"] == Shout.parameters
    assert told(script) == ["shout: HI", "Error: the arguments of shout are wrong: text must be a string."]


def test_tools_with_the_same_name_get_that_of_their_source_before_it(app: App) -> None:
    @app.tool
    def shout(text: str) -> str:
        return f"mine: {text}"

    app.add_tools(Source("one", Shout("shout"), Shout("alone")))
    app.add_tools(Source("two", Shout("shout")))
    with Script([Call("shout", text="a"), Call("two_shout", text="b")], "Done").plays(app) as script:
        app.run("Shout")
    assert offered(script, 0) == ["shout", "one_shout", "alone", "two_shout"]
    assert told(script) == ["mine: a", "shout: B"]


def test_a_list_that_changes_counts_from_the_next_answer(app: App) -> None:
    source = Source("voice", Shout("shout"))
    app.add_tools(source)

    @app.tool
    def learn() -> str:
        source.operations = [Shout("sing")]
        return "Now it can sing."

    with Script(Call("learn"), [Call("sing", text="la"), Call("shout", text="hi")], "Done").plays(app) as script:
        app.run("Learn")
    assert [offered(script, index) for index in range(2)] == [["learn", "shout"], ["learn", "sing"]]
    assert told(script)[1:] == ["sing: LA", "Error: there is no tool 'shout'. The tools are learn, sing."]


def test_a_resumed_run_repeats_no_call_even_if_its_tool_is_gone(app: App) -> None:
    shout = Shout("shout")
    source = Source("voice", shout)
    app.add_tools(source)

    @app.tool(confirm=True)
    def cancel() -> str:
        return "cancelled"

    with Script([Call("shout", text="hi"), Call("cancel")], "Done").plays(app) as script:
        waiting = app.run("Do both")
        source.operations = []
        assert app.resume(waiting.id, True).text == "Done"
    assert told(script) == ["shout: HI", "cancelled"]
    assert len(shout.keys) == 1


def test_an_operation_may_be_an_effect(app: App) -> None:
    shout = Shout("voice.shout")

    async def plain(**arguments: Any) -> Any:
        return await shout.call(arguments)

    app.add_tools(Source("voice", Step(plain, effect=True, seconds=5, operation=shout)))
    server = MemoryServer(Script([Call("voice.shout", text="hi"), Call("voice.shout", text="hi")], "Done"))
    with app.replaced(server):
        run = app.run("Shout twice")
    assert [step.result["content"] for step in run.steps if step.kind == "tool"] == ["voice.shout: HI"] * 2
    assert len(shout.keys) == 1
    assert shout.keys[0].startswith(run.id)


def test_closing_an_app_closes_its_sources(app: App) -> None:
    source = Source("voice")
    app.add_tools(source)
    app.close()
    assert source.num_closed == 1
