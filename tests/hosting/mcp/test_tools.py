"""Tools of MCP servers in an application: whatever a server does hurts one call, and what it says is data."""

import json
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

import support
from llmos.apps import App
from llmos.apps.memory import MemoryServer
from llmos.apps.testing import Call, Script
from llmos.core.errors import BadRequest
from llmos.core.schemas.mcp_servers import McpServer
from llmos.hosting.folder import AppFolder
from llmos.hosting.mcp import connect_mcp
from llmos.hosting.mcp.tools import McpFailed

pytestmark = pytest.mark.process

SHOP = [sys.executable, str(Path(support.__file__).parent / "mcp_shop.py")]

Connect = Callable[..., App]


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Make apps that have MCP servers, and end those."""
    with ExitStack() as opened:

        def connect(**servers: McpServer) -> App:
            app = opened.enter_context(App("buyer"))
            for source in connect_mcp(servers):
                app.add_tools(source)
            return app

        yield connect


@pytest.fixture
def shop_over_http() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    with ExitStack() as started:

        def start(port: int = 0) -> subprocess.Popen[str]:
            process = subprocess.Popen([*SHOP, "--port", str(port)], stdout=subprocess.PIPE, text=True)
            started.enter_context(process)
            started.callback(process.kill)
            return process

        yield start


def address_of(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return f"http://127.0.0.1:{int(process.stdout.readline())}/mcp"


def program(text: str) -> list[str]:
    """Return the command that runs a program in Python."""
    return [sys.executable, "-c", textwrap.dedent(text)]


def called(app: App, *calls: Call | Sequence[Call], **options: Any) -> list[str]:
    """Let the model make these calls, and return what it was told."""
    with Script(*calls, "Done.").plays(app) as script:
        assert app.run("Buy it", **options).text == "Done."
    return [str(message["content"]) for message in script.prompts[-1].messages if message["role"] == "tool"]


def offered(app: App) -> dict[str, Any]:
    """Return the tools that the model is offered, by name."""
    with Script("Hello").plays(app) as script:
        app.run("Hello")
    return {tool["function"]["name"]: tool["function"] for tool in script.prompts[0].tools}


def test_the_model_is_offered_the_tools_of_a_server_with_their_schemas(connect: Connect) -> None:
    tools = offered(connect(shop=McpServer(command=SHOP, tools=["find", "product"])))
    assert [*tools] == ["find", "product"]
    assert tools["find"]["description"] == "Find products."
    assert tools["find"]["parameters"]["properties"]["limit"]["type"] == "integer"
    assert tools["find"]["parameters"]["required"] == ["query"]


def test_results_are_text_or_json(connect: Connect) -> None:
    app = connect(shop=McpServer(command=SHOP))
    told = called(app, [Call("find", query="hat"), Call("product", name="hat"), Call("photo")])
    assert told == ["3 of hat", '{"name": "hat", "cents": 500}', "[image: image/png, 12 bytes]"]


def test_what_a_server_says_stays_the_result_of_a_tool(connect: Connect) -> None:
    app = connect(shop=McpServer(command=SHOP))
    with Script(Call("read_page"), "Done.").plays(app) as script:
        app.run("Read it")
    messages = script.prompts[-1].messages
    assert [each["role"] for each in messages if "Ignore the rules." in str(each)] == ["tool"]


def test_each_way_to_fail_is_one_line_and_the_next_call_works(connect: Connect) -> None:
    app = connect(shop=McpServer(command=SHOP, seconds=5))
    told = called(
        app, [Call("refuse"), Call("megabyte"), Call("find", wrong=1)], Call("end"), Call("flood"), Call("who")
    )
    assert told[0] == "Error: refuse failed: ServerError: Error executing tool refuse: no such product"
    assert told[1] == "Error: megabyte returned 1,048,576 characters; 20,000 are allowed. Ask for less."
    assert told[2].startswith("Error: find failed: ServerError: ")
    assert told[3] == "Error: end failed: ServerEnded: the MCP server ended during the call."
    assert told[4] == "Error: flood failed: ServerEnded: the MCP server ended during the call."
    assert told[5].isdigit()


def test_a_call_that_hangs_is_given_up_and_hurts_no_other(connect: Connect) -> None:
    app = connect(shop=McpServer(command=SHOP, seconds=3))
    hung, first, found = called(app, [Call("hang"), Call("who"), Call("find", query="hat")])
    assert hung == "Error: hang failed: it didn't end within 3 s."
    assert (first.isdigit(), found) == (True, "3 of hat")
    frozen, second = called(app, Call("freeze"), Call("who"))
    assert frozen == "Error: freeze failed: it didn't end within 3 s."
    assert second.isdigit(), "a server that hangs is replaced"
    assert second != first


def test_garbage_is_named_when_the_answer_does_not_come(connect: Connect) -> None:
    server = program(
        """
        import json, sys
        for line in sys.stdin:
            asked = json.loads(line)
            if asked["method"] == "initialize":
                result = {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}},
                          "serverInfo": {"name": "old", "version": "1"}}
            elif asked["method"] == "tools/list":
                tool = {"name": "look", "inputSchema": {"type": "object"}}
                wrong = {"name": "wrong", "inputSchema": {"properties": {"a": {"type": "objekt"}}, "type": "object"}}
                result = {"tools": [tool, wrong, {**tool, "name": "other.look/x"}]}
            elif asked["method"] == "tools/call" and asked["params"]["name"] == "look":
                print("<html>", flush=True)
                continue
            elif asked["method"] == "tools/call":
                result = {"content": "garbage"}
            elif "id" in asked:
                print(json.dumps({"jsonrpc": "2.0", "id": asked["id"], "error": {"code": -32601, "message": "?"}}),
                      flush=True)
                continue
            else:
                continue
            print(json.dumps({"jsonrpc": "2.0", "id": asked["id"], "result": result}), flush=True)
        """
    )
    app = connect(old=McpServer(command=server, seconds=1))
    assert [*offered(app)] == ["look", "other_look_x"], "a tool whose schema is wrong is left out"
    assert called(app, Call("look"), Call("other_look_x")) == [
        "Error: look failed: it didn't end within 1 s. It sent a line that is no message of MCP: '<html>\\n'.",
        "Error: other_look_x failed: ServerError: the MCP server answered something that is no result of a tool.",
    ]


def test_names_that_several_have_get_that_of_their_server(connect: Connect) -> None:
    only = ["who", "find"]
    app = connect(shop=McpServer(command=SHOP, tools=only), other=McpServer(command=SHOP, tools=only))

    @app.tool
    def find() -> str:
        return "mine"

    assert [*offered(app)] == ["find", "shop_find", "shop_who", "other_find", "other_who"]
    first, second, mine = called(app, [Call("shop_who"), Call("other_who"), Call("find")])
    assert first != second
    assert mine == "mine"


def test_a_list_that_changed_counts_from_the_next_answer(connect: Connect) -> None:
    app = connect(shop=McpServer(command=SHOP))
    with Script(Call("learn"), Call("find", query="a"), Call("sing"), "Done.").plays(app) as script:
        app.run("Learn")
    names = [{tool["function"]["name"] for tool in prompt.tools} for prompt in script.prompts]
    assert names[0] - names[-1] == {"photo"}
    assert names[-1] - names[0] == {"sing"}
    assert script.prompts[-1].messages[-1]["content"] == "la"


def test_a_dry_run_calls_nothing(connect: Connect, tmp_path: Path) -> None:
    app = connect(shop=McpServer(command=[*SHOP, "--log", str(tmp_path / "orders")]))
    assert called(app, Call("order", item="hat"), dry_run=True) == ["This is a dry run: the tool was not called."]
    assert not (tmp_path / "orders").exists()


def test_a_resumed_run_repeats_no_call_that_ended(connect: Connect, tmp_path: Path) -> None:
    orders = tmp_path / "orders"
    server = McpServer(command=[*SHOP, "--log", str(orders)], confirm=["find"])
    app, later = connect(shop=server), connect(shop=server)
    script = Script([Call("order", item="hat"), Call("find", query="hat")], "Done.")
    with app.replaced(memory := MemoryServer(script)), later.replaced(memory):
        waiting = app.run("Order it")
        assert waiting.waits_with == {"tool": "find", "arguments": {"query": "hat"}}
        assert later.resume(waiting.id, True).text == "Done."
    assert orders.read_text() == "hat \n"


def test_an_effect_is_done_once_with_a_key_and_one_without_an_end_is_in_doubt(connect: Connect, tmp_path: Path) -> None:
    orders = tmp_path / "orders"
    app = connect(shop=McpServer(command=[*SHOP, "--log", str(orders)], effects=["order", "end"]))
    with Script([Call("order", item="hat"), Call("order", item="hat")], Call("end")).plays(app):
        run = app.run("Order it twice")
    assert orders.read_text().startswith(f"hat {run.id}:")
    assert len(orders.read_text().splitlines()) == 1
    assert (run.state, run.waits_with) == ("waiting", {"step": "shop.end", "arguments": {}})


def test_a_command_gets_only_the_environment_that_it_is_given(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_TOKEN", "1")
    monkeypatch.setenv("OUR_SECRET", "1")
    app = connect(shop=McpServer(command=SHOP, environment=["SHOP_TOKEN"]))
    assert called(app, Call("secrets")) == ["SHOP_TOKEN"]
    app = connect(shop=McpServer(command=SHOP, environment=["NO_SUCH"]))
    with Script("Hello").plays(app), pytest.raises(BadRequest, match=r"needs the environment variable NO_SUCH"):
        app.run("Hello")


@pytest.mark.parametrize(
    ("server", "complaint"),
    [
        (McpServer(command=["/no/such/program"]), "The MCP server shop can't be used: .*No such file"),
        (McpServer(command=program("print('hello')")), "shop can't be used: Connection closed .*'hello"),
        (McpServer(url="http://127.0.0.1:9/mcp"), "The MCP server shop can't be used: .*connect"),
        (McpServer(command=SHOP, confirm=["ordr"]), "it has no tool 'ordr'. Did you mean order"),
    ],
)
def test_a_server_that_can_not_be_used_is_one_line(connect: Connect, server: McpServer, complaint: str) -> None:
    app = connect(shop=server)
    with Script("Hello").plays(app), pytest.raises(McpFailed, match=complaint) as failed:
        app.run("Hello")
    assert "\n" not in failed.value.message


@pytest.mark.parametrize(
    ("server", "complaint"),
    [
        (McpServer(), "needs either a `command` or a `url`"),
        (McpServer(command=["x"], url="http://x"), "needs either a `command` or a `url`"),
        (McpServer(command=[]), "is empty"),
        (McpServer(url="http://x", environment=["A"]), "`environment` is for a `command`"),
        (McpServer(command=["x"], token="A"), "`token` is for a `url`"),
    ],
)
def test_settings_that_are_wrong_are_refused(server: McpServer, complaint: str) -> None:
    with pytest.raises(BadRequest, match=complaint):
        connect_mcp({"shop": server})


def test_a_server_at_an_address(
    connect: Connect, shop_over_http: Callable[..., "subprocess.Popen[str]"], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_TOKEN", "secret-1")
    process = shop_over_http()
    address = address_of(process)
    app = connect(shop=McpServer(url=address, seconds=5, token="SHOP_TOKEN"))
    told = called(app, [Call("find", query="hat"), Call("authorization"), Call("megabyte"), Call("hang")], Call("who"))
    assert told[:2] == ["3 of hat", "Bearer secret-1"]
    assert told[2:4] == [
        "Error: megabyte returned 1,048,576 characters; 20,000 are allowed. Ask for less.",
        "Error: hang failed: it didn't end within 5 s.",
    ]
    assert told[4] == str(process.pid)
    process.kill()
    process.wait()
    (gone,) = called(app, Call("who"))
    assert gone.startswith("Error: who failed: ")
    again = shop_over_http(int(address.split(":")[2].removesuffix("/mcp")))
    address_of(again)
    assert called(app, Call("who")) == [str(again.pid)]


def test_the_servers_of_a_manifest_start_in_its_folder(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(Path(SHOP[1]).read_text())
    command = json.dumps([sys.executable, "shop.py"])
    (tmp_path / "app.yaml").write_text(f"name: buyer\nmcp:\n  shop: {{command: {command}, tools: [find]}}\n")
    with AppFolder.open(tmp_path).load() as app:
        assert called(app, Call("find", query="hat")) == ["3 of hat"]
