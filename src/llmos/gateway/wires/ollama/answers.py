"""The fields that the answers of Ollama's chat and generate share: times, counts and log probabilities."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec

from llmos.engine.messages import FinishReason, TokenLogprob
from llmos.gateway.calls.answer import Answer, finite
from llmos.gateway.calls.tool_calls import CallWarning

DoneReason = Literal["stop", "length", "load", "unload", "content_filter"]
"""An answer that ends with a tool call has the reason stop. content_filter: a guardrail withheld the rest."""


class OllamaAnswer(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The answer, or one line of a stream. Only the last line has the optional fields."""

    model: str
    """The version that answered, such as smollm2@1."""
    created_at: str
    done: bool
    done_reason: DoneReason | None = None
    logprobs: "list[OllamaTokenLogprob]" = []
    total_duration: int | None = None
    """In nanoseconds, like all durations here."""
    load_duration: int | None = None
    """The time until the model was loaded."""
    prompt_eval_count: int | None = None
    prompt_eval_duration: int | None = None
    """The time from then to the first token, including the wait for other requests."""
    eval_count: int | None = None
    """The tokens of the answer, including the token that ended it."""
    eval_duration: int | None = None
    """The time from the first token to the last."""
    warnings: list[CallWarning] = []
    """In the last line: calls whose arguments don't follow their schema, and a budget that ended the answer."""


class OllamaLogprob(msgspec.Struct):
    token: str
    logprob: float
    bytes: list[int]


class OllamaTokenLogprob(OllamaLogprob):
    top_logprobs: list[OllamaLogprob]


def now() -> str:
    """Return the current time in Ollama's format."""
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


def answer_fields(answer: Answer, tokens: Sequence[TokenLogprob]) -> dict[str, Any]:
    """Return the fields of every line, and the log probabilities of its tokens."""
    return {"model": answer.served.ref, "created_at": now(), "done": False, "logprobs": [*map(_render_logprob, tokens)]}


def final_fields(answer: Answer, finish_reason: FinishReason) -> dict[str, Any]:
    """Return the fields that only the last line has."""
    timings = answer.timings()
    return {
        "done": True,
        "done_reason": finish_reason if finish_reason in ("length", "content_filter") else "stop",
        "total_duration": _nanoseconds(timings.total),
        "load_duration": _nanoseconds(timings.loading),
        "prompt_eval_count": answer.num_prompt_tokens,
        "prompt_eval_duration": _nanoseconds(timings.prompt),
        "eval_count": answer.num_completion_tokens,
        "eval_duration": _nanoseconds(timings.answer),
        "warnings": answer.warnings,
    }


def _render_logprob(token: TokenLogprob) -> OllamaTokenLogprob:
    top = [OllamaLogprob(text, finite(logprob), list(raw)) for _, text, raw, logprob in token.top]
    return OllamaTokenLogprob(token.text, finite(token.logprob), list(token.bytes), top)


def _nanoseconds(seconds: float) -> int:
    return round(seconds * 1e9)
