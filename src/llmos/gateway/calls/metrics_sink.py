"""MetricsSink: the tokens and the speed of calls, and what guardrails found, as Prometheus metrics."""

from llmos.gateway.calls.record import Attempt, Record, Sink
from llmos.gateway.metrics import Metrics


class MetricsSink(Sink):
    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def on_attempt_closed(self, record: Record, attempt: Attempt) -> None:
        """Count what was computed, also for callers that have gone."""
        if record.operation == "count":
            return
        metrics, version = self._metrics, self._metrics.model_name(attempt.version)
        if attempt.error_code is not None:
            metrics.child(metrics.errors, version, attempt.error_code).inc()
        if not attempt.is_accepted:
            return
        if attempt.outcome == "answered":
            metrics.child(metrics.latency_seconds, version).observe(attempt.seconds)
        if record.application is not None:
            return  # The tokens are those of the calls that it made.
        if attempt.is_from_cache is not None:
            metrics.child(metrics.response_cache, version, "hit" if attempt.is_from_cache else "miss").inc()
        if attempt.is_from_cache:
            return
        metrics.child(metrics.prompt_tokens, version).inc(attempt.num_prompt_tokens)
        if record.operation == "embed":
            metrics.child(metrics.vectors, version).inc(attempt.num_vectors)
            return
        metrics.child(metrics.cached_prompt_tokens, version).inc(attempt.num_cached_tokens)
        if record.operation == "rate":
            return
        metrics.child(metrics.completion_tokens, version).inc(attempt.num_completion_tokens)
        if attempt.num_warnings:
            metrics.child(metrics.invalid_tool_calls, version).inc(attempt.num_warnings)
        if (pace := attempt.pace()) is not None:
            metrics.child(metrics.first_token_seconds, version).observe(pace.first_token_seconds)
            if pace.tokens_per_second is not None:
                metrics.child(metrics.per_token_seconds, version).observe(1 / pace.tokens_per_second)

    def on_closed(self, record: Record) -> None:
        """Count what guardrails found."""
        for found in record.screening.findings if record.screening is not None else ():
            labels = found.policy, found.guardrail, found.rule, found.side, found.verdict
            self._metrics.child(self._metrics.guardrail_findings, *labels).inc()
