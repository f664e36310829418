"""What /metrics tells Prometheus. Updated once a request, never once a token."""

from collections.abc import Callable, Iterable, Sequence

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from llmos.deployments.pool import ReplicaStatus

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_FIRST_TOKEN_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_PER_TOKEN_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1)
_REQUEST_SECONDS = (0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)


class Metrics:
    """One server's counters, in a registry of their own so that two servers in a process don't mix."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "llmos_requests",
            "HTTP requests by route and status.",
            ["method", "route", "status"],
            registry=self.registry,
        )
        self.request_seconds = Histogram(
            "llmos_request_seconds",
            "From the request's head to the last byte of the answer.",
            ["route"],
            buckets=_REQUEST_SECONDS,
            registry=self.registry,
        )
        self.first_token_seconds = Histogram(
            "llmos_time_to_first_token_seconds",
            "From the request to its first token.",
            ["version"],
            buckets=_FIRST_TOKEN_SECONDS,
            registry=self.registry,
        )
        self.per_token_seconds = Histogram(
            "llmos_time_per_output_token_seconds",
            "Time between tokens after the first, averaged over a request.",
            ["version"],
            buckets=_PER_TOKEN_SECONDS,
            registry=self.registry,
        )
        self.prompt_tokens = Counter(
            "llmos_prompt_tokens", "Tokens of accepted prompts.", ["version"], registry=self.registry
        )
        self.completion_tokens = Counter(
            "llmos_completion_tokens", "Tokens generated.", ["version"], registry=self.registry
        )

    def watch(self, status: Callable[[], Sequence[ReplicaStatus]]) -> None:
        """Show the replicas' own numbers too, read at the moment of the scrape."""
        self.registry.register(_Replicas(status))

    def render(self) -> bytes:
        return generate_latest(self.registry)


class _Replicas(Collector):
    def __init__(self, status: Callable[[], Sequence[ReplicaStatus]]) -> None:
        self._status = status

    def describe(self) -> Iterable[Metric]:
        return []

    def collect(self) -> Iterable[Metric]:
        up = GaugeMetricFamily("llmos_replica_up", "1 when the model is loaded.", labels=["version"])
        running = GaugeMetricFamily("llmos_running_sequences", "Sequences in the batch.", labels=["version"])
        waiting = GaugeMetricFamily("llmos_waiting_sequences", "Sequences that wait for room.", labels=["version"])
        free = GaugeMetricFamily("llmos_free_kv_blocks", "Blocks of the KV cache that are free.", labels=["version"])
        preemptions = CounterMetricFamily(
            "llmos_preemptions", "Sequences put back because the KV cache was full.", labels=["version"]
        )
        restarts = CounterMetricFamily("llmos_replica_restarts", "Replicas started again.", labels=["version"])
        for replica in self._status():
            labels = [replica.version]
            up.add_metric(labels, float(replica.state == "ready"))
            restarts.add_metric(labels, replica.restarts)
            if replica.load is not None:
                running.add_metric(labels, replica.load.num_running)
                waiting.add_metric(labels, replica.load.num_waiting)
                free.add_metric(labels, replica.load.num_free_blocks)
                preemptions.add_metric(labels, replica.load.num_preemptions)
        return [up, running, waiting, free, preemptions, restarts]
