"""TracingSink: each call as spans of OpenTelemetry, made when it has ended.

chat smollm2                       the call, a part of the trace that its request names in `traceparent`
├─ guardrails                      the prompt is screened, where a policy applies
└─ attempt smollm2@1               one for each target that was tried
   ├─ load                         until the model is loaded
   ├─ queue                        until every prompt is accepted
   ├─ prefill                      until the first token
   └─ decode                       until the last one
"""

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from llmos.gateway.calls.genai_conventions import Attributes, attempt_attributes, call_attributes, span_name
from llmos.gateway.calls.record import Attempt, Record, Sink

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span, SpanKind, Tracer

_SCOPE = "llmos.gateway"


@dataclass(frozen=True, slots=True)
class _Clock:
    """Turns moments of time.perf_counter() into nanoseconds since 1970."""

    offset: float

    @classmethod
    def now(cls) -> "_Clock":
        return cls(time.time() - time.perf_counter())

    def nanoseconds(self, moment: float) -> int:
        return round((self.offset + moment) * 1e9)


class TracingSink(Sink):
    """Makes the spans of each call, and hands them to the provider, which sends them in a thread of its own."""

    def __init__(self, provider: "TracerProvider") -> None:
        self._provider = provider
        self._tracer: Tracer = provider.get_tracer(_SCOPE)

    def on_closed(self, record: Record) -> None:
        from opentelemetry.trace import SpanKind, set_span_in_context

        clock, ended = _Clock.now(), time.perf_counter()
        parent = _parent_of(record.caller.traceparent)
        name, attributes = span_name(record), call_attributes(record)
        span = self._begin(clock, name, record.began, attributes, parent, SpanKind.SERVER)
        within = set_span_in_context(span)
        if record.screening is not None and record.held_at is not None and record.checked_at is not None:
            self._add(clock, "guardrails", record.held_at, record.checked_at, {}, within)
        for attempt in record.attempts:
            self._add_attempt(clock, attempt, within)
        _end(span, clock, ended, record.error_code)

    def close(self) -> None:
        """Send what waits. Returns when it is sent, or given up."""
        self._provider.shutdown()

    def _add_attempt(self, clock: _Clock, attempt: Attempt, parent: "Context") -> None:
        from opentelemetry.trace import set_span_in_context

        name = f"attempt {attempt.version}"
        span = self._begin(clock, name, attempt.began, attempt_attributes(attempt), parent)
        within = set_span_in_context(span)
        began, ended = attempt.began, attempt.began + attempt.seconds
        moments = (
            ("load", began + attempt.loading_seconds if attempt.loading_seconds else None),
            ("queue", attempt.accepted_at),
            ("prefill", attempt.first_token_at),
            ("decode", attempt.last_token_at),
        )
        for phase, until in moments:
            if until is not None and until > began:
                self._add(clock, phase, began, until, {}, within)
                began = until
        _end(span, clock, ended, attempt.error_code)

    def _add(
        self, clock: _Clock, name: str, began: float, ended: float, attributes: Attributes, parent: "Context"
    ) -> None:
        _end(self._begin(clock, name, began, attributes, parent), clock, ended, None)

    def _begin(
        self,
        clock: _Clock,
        name: str,
        began: float,
        attributes: Attributes,
        parent: "Context | None",
        kind: "SpanKind | None" = None,
    ) -> "Span":
        from opentelemetry.trace import SpanKind

        return self._tracer.start_span(
            name,
            context=parent,
            kind=kind or SpanKind.INTERNAL,
            attributes=dict(attributes),
            start_time=clock.nanoseconds(began),
        )


def _end(span: "Span", clock: _Clock, ended: float, error_code: str | None) -> None:
    from opentelemetry.trace import Status, StatusCode

    if error_code is not None:
        span.set_status(Status(StatusCode.ERROR, error_code))
    span.end(clock.nanoseconds(ended))


def _parent_of(traceparent: str) -> "Context | None":
    """Return the span that a request names (https://www.w3.org/TR/trace-context/), or None for an invalid header."""
    from opentelemetry.context import Context
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    if not traceparent:
        return Context()
    return TraceContextTextMapPropagator().extract({"traceparent": traceparent}, Context())
