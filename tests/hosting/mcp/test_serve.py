"""The program that serves a folder to MCP clients, over standard input and output and over HTTP."""

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest
from mcp import StdioServerParameters
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.types import CallToolResult

from llmos.hosting.mcp.serve import main

pytestmark = [pytest.mark.anyio, pytest.mark.process]

PROGRAM = """
from llmos.apps import App

async def shout(text: str, *, times: int = 1) -> str:
    print("to the log")
    return " ".join([text.upper()] * times)

app = App.from_folder(__file__, brain=shout, journal=False)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "app.yaml").write_text("name: shout\ndescription: Says it louder.\n")
    (tmp_path / "app.py").write_text(PROGRAM)
    return tmp_path


@contextmanager
def served(folder: Path, *options: str) -> Iterator[str]:
    """Serve a folder over HTTP, and yield its address."""
    command = [sys.executable, "-m", "llmos.hosting.mcp.serve", str(folder), "--port", "0", *options]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            line = process.stderr.readline()
            address = re.search(r"http://\S+/mcp", line)
            assert address, line
            yield address[0]
        finally:
            process.terminate()


def text_of(result: CallToolResult) -> str:
    (block,) = result.content
    assert block.type == "text"
    return block.text


async def test_over_standard_input_and_output(folder: Path) -> None:
    command = StdioServerParameters(command=sys.executable, args=["-m", "llmos.hosting.mcp.serve", str(folder)])
    async with Client(command) as client:
        (tool,) = (await client.list_tools()).tools
        assert (tool.name, tool.description) == ("ask_shout", "Says it louder.")
        assert text_of(await client.call_tool("ask_shout", {"question": "hi", "times": 2})) == "HI HI"


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_over_http(folder: Path, mode: str) -> None:
    with served(folder) as address:
        async with Client(address, mode=mode) as client:
            assert text_of(await client.call_tool("ask_shout", {"question": "hi"})) == "HI"


async def test_over_http_with_a_key(folder: Path, tmp_path: Path) -> None:
    (key_file := tmp_path / "key").write_text("a-key-of-many-letters\n")
    with served(folder, "--key-file", str(key_file)) as address:
        async with httpx2.AsyncClient(headers={"Authorization": "Bearer wrong"}) as http:
            assert (await http.post(address, json={})).status_code == 401
        async with (
            httpx2.AsyncClient(headers={"Authorization": "Bearer a-key-of-many-letters"}) as http,
            Client(streamable_http_client(address, http_client=http)) as client,
        ):
            assert text_of(await client.call_tool("ask_shout", {"question": "hi"})) == "HI"


def test_an_address_for_everybody_needs_a_key(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(folder), "--port", "0", "--host", "0.0.0.0"]) == 1
    assert "Give it a key: --key-file FILE" in capsys.readouterr().err
    assert main([str(folder), "--port", "0", "--key-file", str(folder / "missing")]) == 1
    assert "can't be read" in capsys.readouterr().err


def test_a_folder_without_an_application_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path)]) == 1
    assert capsys.readouterr().err.count("\n") == 1
