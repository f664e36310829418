"""The frame of a stream's events in OpenAI's chat and completions."""

from collections.abc import Sequence
from typing import Any

import msgspec

from llmos.gateway.calls.answer import Answer
from llmos.gateway.calls.tool_calls import CallWarning
from llmos.gateway.http import sse
from llmos.gateway.http.answers import usage


class EventFrame:
    """The constant parts of a stream's events, encoded once. A choice goes between `opening` and `closing`."""

    def __init__(self, answer: Answer, kind: str, *, wants_usage_event: bool) -> None:
        head = {
            "id": answer.id,
            "object": kind,
            "created": answer.created,
            "model": answer.served.ref,
            "system_fingerprint": answer.fingerprint,
        }
        self.opening = b"data: " + sse.encode(head)[:-1] + b',"choices":['
        self.closing = b'],"usage":null}\n\n' if wants_usage_event else b"]}\n\n"

    def closing_with(self, warnings: Sequence[CallWarning], run: Any = msgspec.UNSET) -> bytes:
        """Return `closing` with warnings about the choice that ends with this event, and an application's run."""
        closing = self.closing
        if warnings:
            closing = closing[:-3] + b',"warnings":' + sse.encode(warnings) + b"}\n\n"
        return closing if run is msgspec.UNSET else closing[:-3] + b',"run":' + sse.encode(run) + b"}\n\n"

    def usage_event(self, answer: Answer) -> bytes:
        """Return the last event, which has the usage and no choice."""
        return self.opening + b'],"usage":' + sse.encode(usage(answer)) + b"}\n\n"
