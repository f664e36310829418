"""MCP with the real server and model: its tools in an application, and an application as a tool of its clients."""

import sys
from pathlib import Path
from typing import Any

import pytest
from mcp import StdioServerParameters
from mcp.client.client import Client

import support
from llmos.apps import App, LimitReached, Limits
from llmos.client import AsyncClient
from llmos.client import Client as LLMOSClient
from llmos.core.schemas.mcp_servers import McpServer
from llmos.hosting.mcp import connect_mcp
from support.real_server import KEY, Running

pytestmark = pytest.mark.process

SHOP = [sys.executable, str(Path(support.__file__).parent / "mcp_shop.py")]


def test_the_model_is_held_to_the_schema_of_an_mcp_tool(running: Running) -> None:
    options = {"tool_choice": "required", "temperature": 0, "max_tokens": 200}
    connect = lambda: AsyncClient(running.url, api_key=KEY)  # noqa: E731
    with App("buyer", model="smollm2", limits=Limits(steps=1), options=options, connect=connect) as app:
        for source in connect_mcp({"shop": McpServer(command=SHOP, tools=["find"])}):
            app.add_tools(source)
        with pytest.raises(LimitReached) as reached:
            app.run("Find three hats.")
    with LLMOSClient(running.url, api_key=KEY) as client:
        called = [step for step in client.runs.get(reached.value.run_id).steps if step.kind == "tool"]
    assert called
    for step in called:
        arguments: Any = step.arguments
        assert step.state == "done"
        assert isinstance(arguments["query"], str)
        expected = f"{arguments.get('limit', 3)} of {arguments['query']}"
        assert step.result["content"] == expected


@pytest.mark.anyio
async def test_an_application_answers_an_mcp_client(running: Running, tmp_path: Path) -> None:
    (tmp_path / "app.yaml").write_text(
        "name: greeter\nmodel: smollm2\nprompt: You greet {{who}}.\noptions: {max_tokens: 12, temperature: 0}\n"
    )
    environ = {"LLMOS_ENDPOINT": running.url, "LLMOS_API_KEY": KEY}
    command = StdioServerParameters(
        command=sys.executable, args=["-m", "llmos.hosting.mcp.serve", str(tmp_path)], env=environ
    )
    async with Client(command) as client:
        given = {"question": "Hello?", "who": "Ada", "session": "s1"}
        result = await client.call_tool("ask_greeter", given)
    assert not result.is_error
    answer: Any = result.structured_content
    assert answer["text"]
    with LLMOSClient(running.url, api_key=KEY) as server:
        run = server.runs.get(answer["run"])
        (session,) = server.sessions.list(app="greeter")
    assert (run.state, run.output) == ("succeeded", answer["text"])
    assert session.name == "mcp:s1"
