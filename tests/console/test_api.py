"""Requests that pages make: names as persons write them, queries, and errors."""

from typing import Any
from urllib.parse import unquote

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from llmos.console.api import Api
from llmos.core.errors import LLMOSError

pytestmark = pytest.mark.anyio

VISIT: Scope = {"type": "http", "scheme": "http", "headers": [], "client": None, "server": ("llmos", 80)}


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Reply with what arrives; an error to what asks for one."""
    request = Request(scope, receive)
    body = (await request.body()).decode()
    status = 400 if "broken" in scope["path"] else 200
    found = {
        "path": scope["path"],
        "raw": scope["raw_path"].decode(),
        "query": dict(request.query_params),
        "body": body,
    }
    await JSONResponse(found | {"error": {"message": "Broken.", "type": "x"}}, status)(scope, receive, send)


@pytest.mark.parametrize("name", ["what?", "a?b=c", "50%", "%3F", "é 🦙", "#1", "a&b"])
async def test_a_typed_name_reaches_the_server_whole(name: str) -> None:
    found: Any = await Api(echo, VISIT).get(f"/llmos/v1/datasets/{name}/rows", limit=2, after=None, q="")
    assert found["path"] == unquote(found["raw"]) == f"/llmos/v1/datasets/{name}/rows"
    assert found["query"] == {"limit": "2"}


async def test_a_name_of_a_parameter_that_python_reserves_ends_with_a_line() -> None:
    found: Any = await Api(echo, VISIT).get("/x", from_="2026-01-01")
    assert found["query"] == {"from": "2026-01-01"}


async def test_bytes_are_sent_as_they_are_and_errors_are_raised() -> None:
    api = Api(echo, VISIT)
    found = await api.send_bytes("POST", "/x", b"abc", {"content-type": "application/x-tar"}, environment="prod")
    assert (found["body"], found["query"]) == ("abc", {"environment": "prod"})
    with pytest.raises(LLMOSError, match="Broken"):
        await api.send_bytes("POST", "/broken", b"")
    assert (await api.send("GET", "/broken")).status == 400
