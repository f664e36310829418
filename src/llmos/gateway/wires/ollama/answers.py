"""What answers in Ollama's format have in common: times and counts, how an answer is sent, and what a model is."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec
from starlette.types import Receive, Scope, Send

from llmos.core.errors import LLMOSError
from llmos.engine.messages import FinishReason, TokenLogprob
from llmos.gateway.calls.answer import Answer
from llmos.gateway.calls.call import Call
from llmos.gateway.calls.pipeline import Pipeline
from llmos.gateway.http import sse
from llmos.gateway.http.sse import AnswerResponse, Wire
from llmos.gateway.wires.ollama.fields import spelled
from llmos.gateway.wires.openai.answers import finite
from llmos.security.callers import Caller

MEDIA_TYPE = "application/x-ndjson"

DoneReason = Literal["stop", "length", "load", "unload"]
"""A call of a tool is an end like any other."""


class Line(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The answer, or a piece of it. What may be left out is in the last line of a stream."""

    model: str
    """The Version that really answered, such as smollm2@1."""
    created_at: str
    done: bool
    done_reason: DoneReason | None = None
    logprobs: "list[ChosenProbability]" = []
    total_duration: int | None = None
    """In nanoseconds, as all durations here."""
    load_duration: int | None = None
    """Until the model was there."""
    prompt_eval_count: int | None = None
    prompt_eval_duration: int | None = None
    """From then to the first token: a wait for others is part of it."""
    eval_count: int | None = None
    """Tokens of the answer, the one that ended it included."""
    eval_duration: int | None = None
    """From the first token to the last."""


class TokenProbability(msgspec.Struct):
    token: str
    logprob: float
    bytes: list[int]


class ChosenProbability(TokenProbability):
    top_logprobs: list[TokenProbability]


class Lines(Wire):
    """A stream of JSON, an object a line. The last one says `done`, or what went wrong."""

    stream_type = MEDIA_TYPE

    def end(self) -> bytes:
        return b""

    def failure(self, error: LLMOSError) -> bytes:
        return line(spelled(error))


class LinesResponse(AnswerResponse):
    """Sends an answer, and stops its model afterwards where the caller wants that and nobody else waits for it."""

    def __init__(self, pipeline: Pipeline, call: Call, wire: Wire, *, stream: bool, must_unload: bool) -> None:
        super().__init__(pipeline, call, wire, stream=stream)
        self._must_unload = must_unload

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await super().__call__(scope, receive, send)
        if self._must_unload:
            await self._pipeline.unload(self._call.model, self._call.caller)


async def load_or_unload(pipeline: Pipeline, model: str, caller: Caller, must_unload: bool) -> dict[str, Any]:
    """Do what a request without a prompt asks for, and return the fields of its Line."""
    ref = await (pipeline.unload(model, caller) if must_unload else pipeline.load(model, caller))
    reason = "unload" if must_unload else "load"
    return {"model": ref, "created_at": now(), "done": True, "done_reason": reason}


def now() -> str:
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


def piece(answer: Answer, tokens: Sequence[TokenLogprob]) -> dict[str, Any]:
    """Return the fields that every Line has, and the logprobs where there are any."""
    return {"model": answer.served.ref, "created_at": now(), "done": False, "logprobs": [*map(_probability, tokens)]}


def ending(answer: Answer, finish_reason: FinishReason) -> dict[str, Any]:
    """Return the fields that the last Line has beside these."""
    timings = answer.timings()
    return {
        "done": True,
        "done_reason": "length" if finish_reason == "length" else "stop",
        "total_duration": _nanoseconds(timings.total),
        "load_duration": _nanoseconds(timings.loading),
        "prompt_eval_count": answer.num_prompt_tokens,
        "prompt_eval_duration": _nanoseconds(timings.prompt),
        "eval_count": answer.num_completion_tokens,
        "eval_duration": _nanoseconds(timings.answer),
    }


def line(value: Any) -> bytes:
    return sse.encode(value) + b"\n"


def _probability(token: TokenLogprob) -> ChosenProbability:
    top = [TokenProbability(text, finite(logprob), list(raw)) for _, text, raw, logprob in token.top]
    return ChosenProbability(token.text, finite(token.logprob), list(token.bytes), top)


def _nanoseconds(seconds: float) -> int:
    return round(seconds * 1e9)
