"""An application as an MCP server, asked by the real client."""

from collections.abc import Callable
from typing import Annotated, Any, Literal

import pytest
from mcp.client.client import Client
from mcp.types import CallToolResult
from pydantic import BaseModel, Field

from llmos.apps import App, Knowledge
from llmos.apps.memory import MemoryServer
from llmos.apps.testing import Call, Script
from llmos.core.errors import BadRequest
from llmos.core.schemas.knowledge import Citation, SearchDescription, SearchHit
from llmos.hosting.mcp.app_server import AppServer

pytestmark = pytest.mark.anyio

OrderId = Annotated[str, Field(pattern="^[A-Z]{2}[0-9]{6}$")]
MODES = ["auto", "legacy"]
"""The protocol as it is now, and as older clients speak it."""


@pytest.fixture(params=MODES)
def connect(request: pytest.FixtureRequest) -> Callable[..., Client]:
    def connect(app: App, **options: Any) -> Client:
        return Client(AppServer(app, **options).server(), mode=request.param)

    return connect


def make_shop(**options: Any) -> App:
    app = App("my-shop", **options)

    @app.tool
    def order_status(order_id: OrderId) -> str:
        """Where an order is."""
        return f"{order_id} is on its way."

    @app.tool(confirm=True)
    def cancel(order_id: OrderId) -> str:
        """Cancel an order."""
        return "cancelled"

    return app


def text_of(result: CallToolResult) -> str:
    (block,) = result.content
    assert block.type == "text"
    return block.text


async def test_an_app_is_one_tool(connect: Callable[..., Client]) -> None:
    app = make_shop(prompt="You help in {{city}}.")
    with Script("Hello, Ada.").plays(app) as script:
        async with connect(app, description="Knows orders.") as client:
            (tool,) = (await client.list_tools()).tools
            result = await client.call_tool("ask_my_shop", {"question": "Hello?", "city": "Rome"})
    assert (tool.name, tool.description) == ("ask_my_shop", "Knows orders.")
    assert tool.input_schema["required"] == ["question", "city"]
    assert {*tool.input_schema["properties"]} == {"question", "session", "city"}
    assert text_of(result) == "Hello, Ada."
    assert result.structured_content is not None
    assert result.structured_content["state"] == "succeeded"
    assert script.prompts[0].messages[0]["content"] == "You help in Rome."


async def test_a_session_is_remembered_and_apart_from_those_of_others(connect: Callable[..., Client]) -> None:
    app = make_shop()
    with Script("Hello, Ada.", "Ada.", "Somebody else.").plays(app) as script:
        async with connect(app) as client:
            for question in ("I am Ada.", "Who am I?"):
                await client.call_tool("ask_my_shop", {"question": question, "session": "u1"})
        await app.arun("Who am I?", session="u1")
    assert [len(prompt.messages) for prompt in script.prompts] == [1, 3, 1]


async def test_progress_is_reported(connect: Callable[..., Client]) -> None:
    app, heard = make_shop(), list[tuple[float, str | None]]()

    async def on_progress(progress: float, total: float | None, message: str | None) -> None:
        heard.append((progress, message))

    with Script(Call("order_status", order_id="AB123456"), "It is on its way.").plays(app):
        async with connect(app) as client:
            await client.call_tool("ask_my_shop", {"question": "Where?"}, progress_callback=on_progress)
    assert heard == [(1, "Calling order_status."), (2, "order_status is done."), (3, "Writing the answer.")]


async def test_citations_are_structured(connect: Callable[..., Client]) -> None:
    app = App("faq", knowledge=Knowledge("faq", abstain="I don't know."))
    quote = "Orders are sent on Mondays."
    citation = Citation(document="faq.md", quote=quote, start=10, end=10 + len(quote))
    found = SearchDescription(hits=[SearchHit(text=quote, score=1, citation=citation)], answerable=True)
    with Script().plays(app, found):
        async with connect(app) as client:
            result = await client.call_tool("ask_faq", {"question": "When are orders sent?"})
    assert text_of(result) == quote
    content = result.structured_content
    assert [(each["document"], each["quote"], each["start"]) for each in content["citations"]] == [
        ("faq.md", quote, 10)
    ]
    with Script().plays(app, SearchDescription(hits=[], answerable=False)):
        async with connect(app) as client:
            result = await client.call_tool("ask_faq", {"question": "Who am I?"})
    assert (text_of(result), result.structured_content["abstained"]) == ("I don't know.", True)


async def test_an_object_is_structured(connect: Callable[..., Client]) -> None:
    class Mood(BaseModel):
        mood: str

    app = App("moods", output=Mood)
    with Script('{"mood": "happy"}').plays(app):
        async with connect(app) as client:
            result = await client.call_tool("ask_moods", {"question": "I love it!"})
    assert result.structured_content["output"] == {"mood": "happy"}


async def test_a_run_that_waits_says_for_what(connect: Callable[..., Client]) -> None:
    app = make_shop()
    server = MemoryServer(Script(Call("cancel", order_id="AB123456"), "It is cancelled."))
    with app.replaced(server):
        async with connect(app) as client:
            result = await client.call_tool("ask_my_shop", {"question": "Cancel AB123456"})
        content = result.structured_content
        assert (content["state"], content["waits_with"]["tool"]) == ("waiting", "cancel")
        assert content["run"] in text_of(result)
        assert (await app.aresume(content["run"], True)).text == "It is cancelled."


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({}, "'question' is a required property"),
        ({"question": ""}, "question: "),
        ({"question": 3}, "question: 3 is not of type 'string'"),
        ({"question": "Hello?", "colour": "red"}, "'colour' was unexpected"),
    ],
)
async def test_wrong_arguments_are_named(
    connect: Callable[..., Client], arguments: dict[str, Any], complaint: str
) -> None:
    app = make_shop()
    with Script().plays(app):
        async with connect(app) as client:
            result = await client.call_tool("ask_my_shop", arguments)
    assert result.is_error
    assert complaint in text_of(result)


async def test_a_run_that_fails_is_an_error_and_the_next_one_works(connect: Callable[..., Client]) -> None:
    app = make_shop()
    with Script(RuntimeError("secret detail"), "Hello.").plays(app):
        async with connect(app) as client:
            failed = await client.call_tool("ask_my_shop", {"question": "Hello?"})
            assert text_of(await client.call_tool("ask_my_shop", {"question": "Hello?"})) == "Hello."
    assert failed.is_error
    assert text_of(failed) == "The application failed. Its log says why."


async def test_its_tools_are_offered_on_demand_but_none_that_needs_a_person(connect: Callable[..., Client]) -> None:
    app = make_shop()

    @app.tool
    @app.step(effect=True)
    def pay(order_id: OrderId) -> str:
        return "paid"

    with Script().plays(app):
        async with connect(app, offers_tools=True) as client:
            assert [tool.name for tool in (await client.list_tools()).tools] == ["ask_my_shop", "order_status"]
            done = await client.call_tool("order_status", {"order_id": "AB123456"})
            wrong = await client.call_tool("order_status", {"order_id": "x"})
            missing = await client.call_tool("cancel", {"order_id": "AB123456"})
    assert text_of(done) == "AB123456 is on its way."
    assert text_of(wrong).startswith("Error: the arguments of order_status are wrong: order_id")
    assert (missing.is_error, text_of(missing)) == (True, "There is no tool 'cancel'.")


async def test_variables_are_typed_arguments(connect: Callable[..., Client]) -> None:
    async def translate(text: str, *, target: Literal["de", "fr"], tone: str = "plain") -> str:
        return f"{text} in {target}, {tone}"

    app = App("translate", brain=translate, prompt="For {{shop}}.", variables={"shop": "Acme"})
    with Script().plays(app):
        async with connect(app) as client:
            (tool,) = (await client.list_tools()).tools
            result = await client.call_tool("ask_translate", {"question": "Hi", "target": "fr"})
            wrong = await client.call_tool("ask_translate", {"question": "Hi", "target": "xx"})
    assert tool.input_schema["required"] == ["question", "target"]
    assert tool.input_schema["properties"]["target"]["enum"] == ["de", "fr"]
    assert tool.input_schema["properties"]["shop"]["default"] == "Acme"
    assert text_of(result) == "Hi in fr, plain"
    assert text_of(wrong) == "The call is wrong: target: 'xx' is not one of ['de', 'fr']"


async def test_a_variable_with_the_name_of_an_argument_is_refused() -> None:
    with pytest.raises(BadRequest, match="has a variable 'session'"):
        AppServer(App("shop", prompt="The session is {{session}}."))
