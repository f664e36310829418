"""Calls whose arguments don't follow their schema are named in the answer, in every format, plain and streamed."""

import json
from typing import Any

import httpx
import msgspec
import pytest

from llmos.engine.messages import Delta, ToolCallDelta
from llmos.gateway.services import Services
from support.fake_backend import FakeModel

pytestmark = [pytest.mark.anyio, pytest.mark.shared_gateway]

SCHEMA = {
    "type": "object",
    "properties": {"path": {"type": "string", "pattern": r"^(?!.*\.\.)"}},
    "required": ["path"],
}
SAID = "The arguments of save don't follow its schema: #/path: the value does not match "
MESSAGES = [{"role": "user", "content": "Save it."}]
FUNCTION = {"name": "save", "parameters": SCHEMA}

REQUESTS: dict[str, tuple[dict[str, Any], str]] = {
    "/v1/chat/completions": (
        {"messages": MESSAGES, "tools": [{"type": "function", "function": FUNCTION}]}, "tools[0].function.parameters",
    ),
    "/v1/messages": (
        {"messages": MESSAGES, "max_tokens": 99, "tools": [{"name": "save", "input_schema": SCHEMA}]},
        "tools[0].input_schema",
    ),
    "/v1/responses": ({"input": "Save it.", "tools": [{"type": "function", **FUNCTION}]}, "tools[0].parameters"),
    "/api/chat": (
        {"messages": MESSAGES, "tools": [{"type": "function", "function": FUNCTION}]}, "tools[0].function.parameters",
    ),
}  # fmt: skip


def saving(*paths: Any, reason: Any = "tool_calls") -> list[Delta]:
    """Return an answer that calls save with each path; its arguments come in two pieces."""
    deltas = []
    for i, path in enumerate(paths):
        text = json.dumps({"path": path}) if isinstance(path, str) else path.decode()
        deltas.append(Delta(id="any", tool_calls=[ToolCallDelta(i, f"call_{i}", "save", text[:4])]))
        deltas.append(Delta(id="any", tool_calls=[ToolCallDelta(i, arguments=text[4:])]))
    return [*deltas, Delta(id="any", finish_reason=reason, num_output_tokens=9)]


async def ask(http: httpx.AsyncClient, path: str, *, stream: bool, **more: Any) -> list[Any]:
    """Return the JSON of the answer, or of each event of the stream."""
    body = {"model": "dialogue", "stream": stream, **REQUESTS[path][0], **more}
    reply = await http.post(path, json=body)
    assert reply.status_code == 200, reply.text
    if not stream:
        return [reply.json()]
    lines = [line.removeprefix("data: ") for line in reply.text.splitlines() if line.startswith(("data: ", "{"))]
    return [json.loads(line) for line in lines if line != "[DONE]"]


def warnings_in(answers: list[Any]) -> list[Any]:
    """Return the warnings of an answer, or of its events; those of a response are in the response."""
    found = [each.get("response", each) for each in answers]
    return [warning for each in found for warning in each.get("warnings", [])]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("path", REQUESTS)
async def test_a_call_that_breaks_its_schema_is_named(
    path: str, stream: bool, http: httpx.AsyncClient, model: FakeModel
) -> None:
    model.enqueue(*saving("notes", "../secret"))
    (warning,) = warnings_in(await ask(http, path, stream=stream))
    assert warning["code"] == "invalid_tool_arguments"
    assert warning["message"].startswith(SAID)
    assert (warning["param"], warning["tool_call_id"]) == (REQUESTS[path][1], "call_1")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("path", REQUESTS)
async def test_an_answer_without_fault_has_no_warnings(
    path: str, stream: bool, http: httpx.AsyncClient, model: FakeModel
) -> None:
    model.enqueue(*saving("notes"))
    assert all("warnings" not in each.get("response", each) for each in await ask(http, path, stream=stream))


async def test_the_calls_of_every_choice_are_checked(http: httpx.AsyncClient, model: FakeModel) -> None:
    first, second = saving("../a"), saving("../b")
    second = [msgspec.structs.replace(delta, index=1) for delta in second]
    model.enqueue(*[each for pair in zip(first, second, strict=True) for each in pair])
    answers = await ask(http, "/v1/chat/completions", stream=True, n=2)
    ends = [each for each in answers if each["choices"][0]["finish_reason"]]
    assert [len(each["warnings"]) for each in ends] == [1, 1]


async def test_arguments_that_were_cut_are_no_fault(http: httpx.AsyncClient, model: FakeModel) -> None:
    model.enqueue(*saving("../a", b'{"path": "../', reason="length"))
    warnings = warnings_in(await ask(http, "/v1/chat/completions", stream=False))
    assert [each["tool_call_id"] for each in warnings] == ["call_0"]


async def test_arguments_that_are_no_json_are_named(http: httpx.AsyncClient, model: FakeModel) -> None:
    """A provider's model may write anything."""
    model.enqueue(*saving(b'{"path": oops}'))
    (warning,) = warnings_in(await ask(http, "/v1/chat/completions", stream=False))
    assert warning["message"] == "The arguments of save don't follow its schema: they are not valid JSON."


@pytest.mark.own_gateway
async def test_warnings_are_counted(http: httpx.AsyncClient, model: FakeModel, services: Services) -> None:
    model.enqueue(*saving("../a", "../b"))
    await ask(http, "/v1/chat/completions", stream=True)
    assert (
        services.metrics.registry.get_sample_value("llmos_invalid_tool_calls_total", {"model_name": "smollm2@1"}) == 2
    )
