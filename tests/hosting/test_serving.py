"""An application over HTTP."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from llmos.apps import App
from llmos.apps.testing import Call, Script
from llmos.core.errors import BadRequest
from llmos.hosting.serving import Served, serve_app
from support.looking import pause

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


def make_app(brain: Callable[..., Any], **options: Any) -> App:
    return App("echo", brain=brain, journal=False, **options)


@asynccontextmanager
async def client_of(served: Served, **headers: str) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(serve_app(served))
    async with httpx.AsyncClient(transport=transport, base_url="http://app", headers=headers) as client:
        yield client


def events_of(response: httpx.Response) -> list[dict[str, Any]]:
    return [json.loads(line.removeprefix("data: ")) for line in response.text.splitlines() if line]


async def test_a_run_is_one_json_object() -> None:
    async with client_of(Served(make_app(str.upper))) as client:
        response = await client.post("/runs", json={"input": "hello"})
    assert response.status_code == 200
    result = response.json()
    assert (result["app"], result["state"], result["text"], result["output"]) == ("echo", "succeeded", "HELLO", "HELLO")
    assert result["id"].startswith("run-")


async def test_a_stream_has_the_events_of_the_run() -> None:
    app = App("support", model="any")

    @app.tool
    def order_status(order_id: str) -> str:
        """Where an order is."""
        return f"{order_id} is on its way."

    with Script(Call("order_status", order_id="AB1"), "It is on its way.").plays(app):
        async with client_of(Served(app)) as client:
            response = await client.post("/runs", json={"input": "Where is AB1?", "stream": True})
    events = events_of(response)
    assert response.headers["content-type"].startswith("text/event-stream")
    assert [(each["type"], each.get("state")) for each in events[:2]] == [("tool", "begun"), ("tool", "done")]
    assert events[1]["result"] == "AB1 is on its way."
    assert "".join(each["text"] for each in events if each["type"] == "text") == "It is on its way."
    assert events[-1]["type"] == "done"
    assert events[-1]["run"]["text"] == "It is on its way."


async def test_variables_and_the_conversation_reach_the_application() -> None:
    def brain(text: str, before: list[dict[str, Any]], *, shop: str, city: str = "Rome") -> str:
        return f"{shop} in {city}: {[each['content'] for each in before]} {text}"

    before = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
    body = {"input": "Bye", "variables": {"shop": "Acme"}, "metadata": {"city": "Bonn", "trace": "1"}, "before": before}
    async with client_of(Served(make_app(brain))) as client:
        response = await client.post("/runs", json=body)
        wrong = await client.post("/runs", json={"input": "Bye", "variables": {"shopp": "Acme"}})
    assert response.json()["text"] == "Acme in Bonn: ['Hi', 'Hello'] Bye"
    assert wrong.status_code == 400
    assert "shop" in wrong.json()["error"]["message"]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{}", "`input` is missing"),
        (b"{", "no JSON object"),
        (b'{"input": "x", "inptu": 1}', "inptu"),
        (b'{"input": "x", "session": "a", "before": [{"role": "user", "content": "y"}]}', "send one of them"),
    ],
)
async def test_a_wrong_request_is_refused_in_one_line(body: bytes, message: str) -> None:
    async with client_of(Served(make_app(str.upper))) as client:
        response = await client.post("/runs", content=body)
    assert response.status_code == 400
    assert message in response.json()["error"]["message"]
    assert "\n" not in response.json()["error"]["message"]


async def test_what_the_program_raises_is_an_error_of_the_run(caplog: pytest.LogCaptureFixture) -> None:
    def brain(text: str) -> str:
        if text == "mine":
            raise BadRequest("There is no order of this number.")
        raise ValueError("a bug")

    async with client_of(Served(make_app(brain))) as client:
        broken = await client.post("/runs", json={"input": "x"})
        refused = await client.post("/runs", json={"input": "mine"})
        streamed = await client.post("/runs", json={"input": "x", "stream": True})
    assert broken.status_code == 422
    assert broken.json()["error"] == {
        "code": "app_error",
        "message": "The app echo failed: ValueError: a bug",
        "param": None,
        "type": "app_error",
    }
    assert "Traceback" in caplog.text
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "invalid_request")
    assert streamed.status_code == 422


async def test_only_who_has_the_key_is_answered() -> None:
    served = Served(make_app(str.upper), key="a-key-of-sixteen")
    async with client_of(served) as client:
        assert (await client.post("/runs", json={"input": "x"})).status_code == 401
        assert (await client.get("/health")).status_code == 401
    async with client_of(served, authorization="Bearer a-key-of-sixteen") as client:
        assert (await client.post("/runs", json={"input": "x"})).status_code == 200


async def test_draining_waits_for_the_last_run_and_refuses_others() -> None:
    began, may_end = asyncio.Event(), asyncio.Event()

    async def brain(text: str) -> str:
        began.set()
        await may_end.wait()
        return text

    served = Served(make_app(brain))
    async with client_of(served) as client:
        running = asyncio.create_task(client.post("/runs", json={"input": "x"}))
        await began.wait()
        draining = asyncio.create_task(client.post("/drain"))
        while not served.is_draining:
            await pause()
        refused = await client.post("/runs", json={"input": "y"})
        health = (await client.get("/health")).json()
        assert not draining.done()
        may_end.set()
        assert (await running).json()["text"] == "x"
        assert (await draining).status_code == 200
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "unavailable")
    assert (health["state"], health["num_runs"]) == ("draining", 1)


async def test_a_caller_who_hangs_up_cancels_the_run() -> None:
    began, is_cancelled = asyncio.Event(), asyncio.Event()

    async def brain(text: str) -> str:
        began.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            is_cancelled.set()
            raise
        return text

    served = Served(make_app(brain))
    messages: list[Any] = [{"type": "http.request", "body": b'{"input": "x"}', "more_body": False}]

    async def receive() -> Any:
        if messages:
            return messages.pop()
        await began.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        raise AssertionError("nobody is there to read it")

    scope = {"type": "http", "method": "POST", "path": "/runs", "headers": [], "query_string": b"", "root_path": ""}
    await serve_app(served)(scope, receive, send)
    assert is_cancelled.is_set()
    assert served.num_runs == 0
