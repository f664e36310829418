"""The fields that the answers of Ollama's chat and generate share: times, counts and log probabilities."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec

from llmos.engine.messages import FinishReason, TokenLogprob
from llmos.gateway.calls.answer import Answer
from llmos.gateway.http.answers import finite

DoneReason = Literal["stop", "length", "load", "unload"]
"""A call of a tool is an end like any other."""


class OllamaAnswer(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The answer, or a piece of it. What may be left out is in the last line of a stream."""

    model: str
    """The Version that really answered, such as smollm2@1."""
    created_at: str
    done: bool
    done_reason: DoneReason | None = None
    logprobs: "list[OllamaTokenLogprob]" = []
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


class OllamaLogprob(msgspec.Struct):
    token: str
    logprob: float
    bytes: list[int]


class OllamaTokenLogprob(OllamaLogprob):
    top_logprobs: list[OllamaLogprob]


def now() -> str:
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


def answer_fields(answer: Answer, tokens: Sequence[TokenLogprob]) -> dict[str, Any]:
    """Return the fields that every OllamaAnswer has, and the logprobs where there are any."""
    return {"model": answer.served.ref, "created_at": now(), "done": False, "logprobs": [*map(_render_logprob, tokens)]}


def final_fields(answer: Answer, finish_reason: FinishReason) -> dict[str, Any]:
    """Return the fields that the last OllamaAnswer has beside these."""
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


def _render_logprob(token: TokenLogprob) -> OllamaTokenLogprob:
    top = [OllamaLogprob(text, finite(logprob), list(raw)) for _, text, raw, logprob in token.top]
    return OllamaTokenLogprob(token.text, finite(token.logprob), list(token.bytes), top)


def _nanoseconds(seconds: float) -> int:
    return round(seconds * 1e9)
