"""The metrics that /metrics gives to Prometheus. Updated once a request, never once a token.

What vLLM counts, too, has vLLM's name behind the prefix llmos_, and its label model_name: the reference of a version.
"""

from collections import Counter as Counts
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar, cast

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.registry import Collector

from llmos.billing.entries import DIFFERENCES
from llmos.billing.exporters.lag import ExporterLag
from llmos.core.money import NANOS, parse_cost
from llmos.core.schemas.provider_costs import ProviderCost
from llmos.deployments.replicas.status import VersionStatus
from llmos.engine.messages import EngineStats
from llmos.gateway.calls.call_counts import Calls

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_FIRST_TOKEN_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_PER_TOKEN_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1)
_REQUEST_SECONDS = (0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)

MAX_MODEL_NAMES = 1_000
OTHER = "other"
"""Stands for the models beyond the limit: a provider's are named by callers, and each name is a time series."""


M = TypeVar("M", bound=MetricWrapperBase)


class Metrics:
    """One server's counters, in a registry of their own so that two servers in a process don't mix."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "llmos_http_requests",
            "HTTP requests by route and status.",
            ["method", "route", "status"],
            registry=self.registry,
        )
        self.request_seconds = Histogram(
            "llmos_http_request_duration_seconds",
            "From the request's head to the last byte of the answer.",
            ["route"],
            buckets=_REQUEST_SECONDS,
            registry=self.registry,
        )
        self.first_token_seconds = Histogram(
            "llmos_time_to_first_token_seconds",
            "From the request to its first token.",
            ["model_name"],
            buckets=_FIRST_TOKEN_SECONDS,
            registry=self.registry,
        )
        self.latency_seconds = Histogram(
            "llmos_e2e_request_latency_seconds",
            "From the call to the end of its answer.",
            ["model_name"],
            buckets=_REQUEST_SECONDS,
            registry=self.registry,
        )
        self.errors = Counter(
            "llmos_request_errors",
            "Calls that failed or were refused, by the code of the error.",
            ["model_name", "code"],
            registry=self.registry,
        )
        self.per_token_seconds = Histogram(
            "llmos_request_time_per_output_token_seconds",
            "Time between tokens after the first, averaged over a request.",
            ["model_name"],
            buckets=_PER_TOKEN_SECONDS,
            registry=self.registry,
        )
        self.prompt_tokens = Counter(
            "llmos_prompt_tokens", "Tokens of accepted prompts.", ["model_name"], registry=self.registry
        )
        self.cached_prompt_tokens = Counter(
            "llmos_prompt_tokens_cached",
            "Tokens of accepted prompts that were found in the prefix cache.",
            ["model_name"],
            registry=self.registry,
        )
        self.completion_tokens = Counter(
            "llmos_generation_tokens", "Tokens generated.", ["model_name"], registry=self.registry
        )
        self.response_cache = Counter(
            "llmos_response_cache_requests",
            "Calls that asked the response cache, by outcome. A hit adds to no other count of tokens.",
            ["model_name", "outcome"],
            registry=self.registry,
        )
        self.invalid_tool_calls = Counter(
            "llmos_invalid_tool_calls",
            "Tool calls whose arguments didn't follow the schema.",
            ["model_name"],
            registry=self.registry,
        )
        self.guardrail_findings = Counter(
            "llmos_guardrail_findings",
            "Calls in which a guardrail found something, by what was done.",
            ["policy", "guardrail", "rule", "side", "verdict"],
            registry=self.registry,
        )
        self.vectors = Counter(
            "llmos_vectors", "Texts that were turned into vectors.", ["model_name"], registry=self.registry
        )

        self._model_names: set[str] = set()
        self._children: dict[tuple[Any, tuple[str, ...]], Any] = {}

    def child(self, metric: M, *labels: str) -> M:
        """Return the metric with these labels. As metric.labels(), which takes as long as ten of these."""
        key = metric, labels
        if (found := self._children.get(key)) is None:
            found = self._children[key] = metric.labels(*labels)
        return cast(M, found)

    def model_name(self, ref: str) -> str:
        """Return the label for a model: its reference, or `other` when there are too many."""
        if ref not in self._model_names:
            if len(self._model_names) >= MAX_MODEL_NAMES:
                return OTHER
            self._model_names.add(ref)
        return ref

    def watch(
        self,
        status: Callable[[], Sequence[VersionStatus]],
        calls: Callable[[], Mapping[str, Calls]] = dict,
        num_queued: Callable[[], Mapping[str, int]] = dict,
        batches: Callable[[], Mapping[str, int]] = dict,
    ) -> None:
        """Add metrics that are read when they are scraped: replicas, calls and queues by version, batches by status."""
        self.registry.register(_Replicas(status))
        self.registry.register(_Calls(calls, num_queued))
        self.registry.register(_Batches(batches))

    def watch_exporters(self, lags: Callable[[], Mapping[str, ExporterLag]]) -> None:
        """Add metrics of exporters, which are read when they are scraped."""
        self.registry.register(_Exporters(lags))

    def watch_providers(self, costs: Callable[[], Sequence[ProviderCost]]) -> None:
        """Add metrics of what calls cost at providers, which are read when they are scraped."""
        self.registry.register(_Providers(costs))

    def watch_nodes(
        self, connected: Callable[[], Mapping[str, bool]], status: Callable[[], Sequence[VersionStatus]]
    ) -> None:
        """Add metrics of the cluster, which are read when they are scraped. `connected`: of each node."""
        self.registry.register(_Nodes(connected, status))

    def render(self) -> bytes:
        return generate_latest(self.registry)


class _Exporters(Collector):
    def __init__(self, lags: Callable[[], Mapping[str, ExporterLag]]) -> None:
        self._lags = lags

    def describe(self) -> Iterable[Metric]:
        return []

    def collect(self) -> Iterable[Metric]:
        lag = GaugeMetricFamily(
            "llmos_exporter_lag_seconds", "The age of the oldest entry that isn't delivered.", labels=["exporter"]
        )
        pending = GaugeMetricFamily(
            "llmos_exporter_pending_entries", "Entries of the ledger that aren't delivered.", labels=["exporter"]
        )
        refused = GaugeMetricFamily(
            "llmos_exporter_refused_entries", "Entries that the receiver refused.", labels=["exporter"]
        )
        delivered = CounterMetricFamily(
            "llmos_exporter_delivered_entries", "Entries that the receiver has taken.", labels=["exporter"]
        )
        for name, found in self._lags().items():
            lag.add_metric([name], found.seconds)
            pending.add_metric([name], found.num_pending)
            refused.add_metric([name], found.num_refused)
            delivered.add_metric([name], found.num_delivered)
        return [lag, pending, refused, delivered]


class _Providers(Collector):
    def __init__(self, costs: Callable[[], Sequence[ProviderCost]]) -> None:
        self._costs = costs

    def describe(self) -> Iterable[Metric]:
        return []

    def collect(self) -> Iterable[Metric]:
        """Return sums by provider: callers name its models, so there may be any number of them."""
        calls, costs, differences = Counts[str](), Counts[tuple[str, str]](), Counts[tuple[str, str]]()
        for each in self._costs():
            calls[each.provider] += each.num_calls
            for currency, cost in each.costs.items():
                costs[each.provider, currency] += parse_cost(cost)
            for kind, number in each.differences.items():
                differences[each.provider, kind] += number
        of_calls = CounterMetricFamily(
            "llmos_provider_calls", "Attempts that a provider has accepted.", labels=["provider"]
        )
        of_costs = CounterMetricFamily("llmos_provider_cost", "What they cost there.", labels=["provider", "currency"])
        of_differences = CounterMetricFamily(
            "llmos_provider_differences",
            "Calls that a provider can't have counted right, by what it says.",
            labels=["provider", "kind"],
        )
        for provider, number in calls.items():
            of_calls.add_metric([provider], number)
            for kind in DIFFERENCES:
                of_differences.add_metric([provider, kind], differences[provider, kind])
        for (provider, currency), nanos in costs.items():
            of_costs.add_metric([provider, currency], nanos / NANOS)
        return [of_calls, of_costs, of_differences]


class _Nodes(Collector):
    def __init__(
        self, connected: Callable[[], Mapping[str, bool]], status: Callable[[], Sequence[VersionStatus]]
    ) -> None:
        self._connected, self._status = connected, status

    def describe(self) -> Iterable[Metric]:
        return []

    def collect(self) -> Iterable[Metric]:
        up = GaugeMetricFamily("llmos_node_up", "1 when the node is connected.", labels=["node"])
        for node, is_connected in self._connected().items():
            up.add_metric([node], float(is_connected))
        ready = GaugeMetricFamily(
            "llmos_node_replicas_ready", "Replicas on the node that answer.", labels=["node", "model_name"]
        )
        counts = Counts(
            (replica.node, status.version)
            for status in self._status()
            for replica in status.replicas
            if replica.node is not None and replica.state == "ready"
        )
        for (node, version), count in counts.items():
            ready.add_metric([node, version], count)
        return [up, ready]


class _Replicas(Collector):
    def __init__(self, status: Callable[[], Sequence[VersionStatus]]) -> None:
        self._status = status

    def describe(self) -> Iterable[Metric]:
        return []

    def collect(self) -> Iterable[Metric]:
        up = GaugeMetricFamily("llmos_replica_up", "1 when the model is loaded.", labels=["model_name"])
        ready = GaugeMetricFamily("llmos_replicas_ready", "Replicas that answer.", labels=["model_name"])
        wanted = GaugeMetricFamily("llmos_replicas_wanted", "Replicas that should run.", labels=["model_name"])
        restarts = CounterMetricFamily("llmos_replica_restarts", "Restarts of replicas.", labels=["model_name"])
        used = GaugeMetricFamily(
            "llmos_kv_cache_usage_perc",
            "The share of the KV cache that sequences use; 1 is all.",
            labels=["model_name"],
        )
        of_load = {
            name: kind(f"llmos_{name}", documentation, labels=["model_name"])
            for name, (kind, documentation, _) in _OF_LOAD.items()
        }
        for status in self._status():
            labels = [status.version]
            up.add_metric(labels, float(status.state == "ready"))
            ready.add_metric(labels, status.num_ready)
            wanted.add_metric(labels, status.num_wanted)
            restarts.add_metric(labels, status.restarts)
            if status.load is not None:
                for name, (_, _, read) in _OF_LOAD.items():
                    of_load[name].add_metric(labels, read(status.load))
                if status.ready is not None and (num_blocks := status.ready.num_blocks * status.num_ready) > 0:
                    used.add_metric(labels, 1 - min(1, status.load.num_free_blocks / num_blocks))
        return [up, ready, wanted, restarts, used, *of_load.values()]


_OF_LOAD: Mapping[
    str, tuple[type[GaugeMetricFamily] | type[CounterMetricFamily], str, Callable[[EngineStats], int]]
] = {
    "num_requests_running": (GaugeMetricFamily, "Sequences in the batch.", lambda load: load.num_running),
    "num_requests_waiting": (GaugeMetricFamily, "Sequences that wait for room.", lambda load: load.num_waiting),
    "free_kv_blocks": (
        GaugeMetricFamily,
        "Blocks of the KV cache that can be allocated, including those that hold cached prefixes.",
        lambda load: load.num_free_blocks,
    ),
    "cached_kv_blocks": (
        GaugeMetricFamily,
        "Free blocks that hold cached prefixes until they are allocated.",
        lambda load: load.num_cached_blocks,
    ),
    "state_snapshots": (
        GaugeMetricFamily,
        "States of a recurrent model that are kept for later prompts.",
        lambda load: load.num_state_snapshots,
    ),
    "engine_steps": (CounterMetricFamily, "Forward passes, each of a whole batch.", lambda load: load.num_steps),
    "num_preemptions": (
        CounterMetricFamily,
        "Sequences put back because the KV cache was full.",
        lambda load: load.num_preemptions,
    ),
    "spec_decode_num_draft_tokens": (
        CounterMetricFamily,
        "Tokens proposed by speculation.",
        lambda load: load.num_draft_tokens,
    ),
    "spec_decode_num_accepted_tokens": (
        CounterMetricFamily,
        "Proposed tokens that the model accepted.",
        lambda load: load.num_accepted_tokens,
    ),
}
"""Metrics read from a replica's EngineStats. The counters restart at 0 with every process, as Prometheus expects."""


class _Calls(Collector):
    def __init__(self, calls: Callable[[], Mapping[str, Calls]], num_queued: Callable[[], Mapping[str, int]]) -> None:
        self._calls, self._num_queued = calls, num_queued

    def describe(self) -> Iterable[Metric]:
        return []

    def collect(self) -> Iterable[Metric]:
        accepted = CounterMetricFamily(
            "llmos_calls_accepted", "Admitted calls: answered + failed + cancelled + running.", labels=["model_name"]
        )
        ended = CounterMetricFamily(
            "llmos_calls_ended",
            "Calls that have ended: answered, failed or cancelled.",
            labels=["model_name", "outcome"],
        )
        running = GaugeMetricFamily("llmos_calls_running", "Admitted calls that have not ended.", labels=["model_name"])
        rejected = CounterMetricFamily(
            "llmos_calls_rejected", "Calls refused because too many waited.", labels=["model_name"]
        )
        queued = GaugeMetricFamily("llmos_queued_choices", "Choices that wait for their turn.", labels=["model_name"])
        num_queued = self._num_queued()
        for version, calls in self._calls().items():
            accepted.add_metric([version], calls.accepted)
            for outcome in ("answered", "failed", "cancelled"):
                ended.add_metric([version, outcome], getattr(calls, outcome))
            running.add_metric([version], calls.running)
            rejected.add_metric([version], calls.rejected)
            queued.add_metric([version], num_queued.get(version, 0))
        return [accepted, ended, running, rejected, queued]


class _Batches(Collector):
    def __init__(self, batches: Callable[[], Mapping[str, int]]) -> None:
        self._batches = batches

    def describe(self) -> Iterable[Metric]:
        return []

    def collect(self) -> Iterable[Metric]:
        batches = GaugeMetricFamily(
            "llmos_batches", "Batches by status, including those that have ended.", labels=["status"]
        )
        for status, count in self._batches().items():
            batches.add_metric([status], count)
        return [batches]
