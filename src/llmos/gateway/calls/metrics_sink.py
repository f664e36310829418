"""MetricsSink: the tokens and the speed of calls, and what guardrails found, as Prometheus metrics."""

from llmos.gateway.calls.record import Attempt, Record, Sink
from llmos.gateway.metrics import Metrics


class MetricsSink(Sink):
    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def on_attempt_closed(self, record: Record, attempt: Attempt) -> None:
        """Count what was computed, also for callers that have gone."""
        if not attempt.is_accepted or record.operation == "count":
            return
        metrics, version = self._metrics, attempt.version
        if attempt.is_from_cache is not None:
            metrics.response_cache.labels(version, "hit" if attempt.is_from_cache else "miss").inc()
        if attempt.is_from_cache:
            return
        metrics.prompt_tokens.labels(version).inc(attempt.num_prompt_tokens)
        if record.operation == "embed":
            metrics.vectors.labels(version).inc(attempt.num_vectors)
            return
        metrics.cached_prompt_tokens.labels(version).inc(attempt.num_cached_tokens)
        if record.operation == "rate":
            return
        metrics.completion_tokens.labels(version).inc(attempt.num_completion_tokens)
        if attempt.num_warnings:
            metrics.invalid_tool_calls.labels(version).inc(attempt.num_warnings)
        if (pace := attempt.pace()) is not None:
            metrics.first_token_seconds.labels(version).observe(pace.first_token_seconds)
            if pace.tokens_per_second is not None:
                metrics.per_token_seconds.labels(version).observe(1 / pace.tokens_per_second)

    def on_closed(self, record: Record) -> None:
        """Count what guardrails found."""
        for found in record.screening.findings if record.screening is not None else ():
            labels = found.policy, found.guardrail, found.rule, found.side, found.verdict
            self._metrics.guardrail_findings.labels(*labels).inc()
