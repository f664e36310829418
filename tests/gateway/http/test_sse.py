"""A renderer decides the content type, the end and the errors of a stream."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import msgspec
import pytest

from llmos.core.errors import LLMOSError, ReplicaFailed
from llmos.engine.messages import SamplingParams
from llmos.gateway.calls.answer import Answer
from llmos.gateway.calls.call import Call, Prompt, Sampling
from llmos.gateway.http import sse
from llmos.gateway.http.sse import AnswerRenderer, AnswerResponse
from llmos.gateway.services import Services
from llmos.security.callers import owner
from support.scripted import FakePool

pytestmark = pytest.mark.anyio

CALL = Call(model="dialogue", caller=owner(), prompts=[Prompt(text="Once")], sampling=Sampling(SamplingParams()))


class LineWire(AnswerRenderer):
    stream_type = "application/x-ndjson"

    async def events(self, answer: Answer) -> AsyncGenerator[bytes, None]:
        async for delta in answer.deltas:
            if delta.text:
                yield msgspec.json.encode(delta.text) + b"\n"

    async def complete(self, answer: Answer) -> bytes:
        raise AssertionError("this one only streams")

    def end(self) -> bytes:
        return b"the end\n"

    def failure(self, error: LLMOSError) -> bytes:
        return error.code.encode() + b"\n"


async def stream(services: Services) -> list[Any]:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def stays() -> Any:
        await asyncio.Event().wait()

    scope: Any = {"type": "http", "headers": [], "state": {"request_id": "req-1"}}
    await AnswerResponse(services.pipeline, CALL, LineWire(), stream=True)(scope, stays, send)
    return sent


async def test_a_stream_has_the_content_type_and_end_of_its_format(services: Services) -> None:
    start, *bodies = await stream(services)
    assert dict(start["headers"])[b"content-type"] == b"application/x-ndjson"
    assert [each["body"] for each in bodies] == [b'"Hel"\n', b'"lo"\n', b"the end\n"]
    assert [each.get("more_body", False) for each in bodies] == [True, True, False]


async def test_an_error_in_a_stream_uses_its_format(services: Services, pool: FakePool) -> None:
    pool.enqueue("Hel", ReplicaFailed("The process died."))
    _, *bodies = await stream(services)
    assert [each["body"] for each in bodies] == [b'"Hel"\n', b"replica_failed\n"]


def test_events_can_have_names() -> None:
    assert sse.event({"a": 1}, "message_start") == b'event: message_start\ndata: {"a":1}\n\n'
