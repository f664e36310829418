"""Streams of JSON, one object per line."""

from typing import Any

from starlette.types import Receive, Scope, Send

from llmos.core.errors import LLMOSError
from llmos.gateway.calls.call import Call
from llmos.gateway.calls.pipeline import Pipeline
from llmos.gateway.http import sse
from llmos.gateway.http.sse import AnswerRenderer, AnswerResponse
from llmos.gateway.wires.ollama.errors import error_body

MEDIA_TYPE = "application/x-ndjson"


class LineRenderer(AnswerRenderer):
    """A renderer of streams with one JSON object per line. The last line has `done` or an error."""

    stream_type = MEDIA_TYPE

    def end(self) -> bytes:
        return b""

    def failure(self, error: LLMOSError) -> bytes:
        return encode_line(error_body(error))


class OllamaResponse(AnswerResponse):
    """Sends an answer, and unloads its model afterwards if requested, unless other calls wait for it."""

    def __init__(
        self, pipeline: Pipeline, call: Call, renderer: AnswerRenderer, *, stream: bool, must_unload: bool
    ) -> None:
        super().__init__(pipeline, call, renderer, stream=stream)
        self._loader, self._must_unload = pipeline, must_unload

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await super().__call__(scope, receive, send)
        if self._must_unload:
            await self._loader.unload(self._call.model, self._call.caller)


def encode_line(value: Any) -> bytes:
    """Return `value` as one line of JSON."""
    return sse.encode(value) + b"\n"
