"""Pipelines over fake or real rooms, wired to a server's counters as server.py does it."""

from dataclasses import replace
from typing import Any

from llmos.deployments.backend import Backends
from llmos.deployments.rollouts.evidence import Evidence
from llmos.gateway.calls.admission import Admission
from llmos.gateway.calls.build import build_backends, build_pipeline
from llmos.gateway.calls.call_counts import CallCounts
from llmos.gateway.calls.metrics_sink import MetricsSink
from llmos.gateway.calls.resolve import Resolver
from llmos.gateway.calls.stages import Stages
from llmos.gateway.log import Log, LogSink, RequestLog
from llmos.gateway.metrics import Metrics
from llmos.gateway.services import Services


def pipeline_parts(
    routes: Any, registry: Any, pool: Any, clients: Any, *, backends: Backends | None = None, **given: Any
) -> dict[str, Any]:
    """Return the fields of Services that belong together: the pipeline, and what it counts in.

    `backends`: instead of those over the pool and the clients.
    `given`: any of admission, call_counts, evidence, metrics, log; and the stages, further sinks and caches of the
    pipeline.
    """
    stages, sinks = given.pop("stages", None), given.pop("sinks", ())
    others = {name: given.pop(name, None) for name in ("cache", "partitions", "guardrails", "applications", "limits")}
    parts = {
        "admission": Admission(),
        "call_counts": CallCounts(),
        "evidence": Evidence(),
        "metrics": Metrics(),
        "log": Log("off"),
    } | given
    parts["request_log"] = RequestLog(parts["log"])
    resolver = Resolver(routes, backends or build_backends(pool, registry, clients), registry.database)
    pipeline = build_pipeline(
        resolver,
        pool,
        admission=parts["admission"],
        counts=parts["call_counts"],
        evidence=parts["evidence"],
        sinks=[MetricsSink(parts["metrics"]), LogSink(parts["log"], requests=parts["request_log"]), *sinks],
        stages=stages,
        **others,
    )
    return {"pipeline": pipeline, "resolver": resolver, **parts}


def with_parts(services: Services, **changes: Any) -> Services:
    """Return the services with some parts changed, and a pipeline over the new ones. Nothing is counted yet."""
    stages = changes.pop("stages", None) or Stages(makes_receipts=True)
    names = ("admission", "call_counts", "evidence", "metrics", "log", "cache", "partitions", "sinks", "limits")
    counted = {name: changes.pop(name) for name in names if name in changes}
    changed = replace(services, **changes)
    rooms = changed.routes, changed.registry, changed.pool, changed.provider_clients
    applications = changed.applications
    parts = pipeline_parts(*rooms, stages=stages, guardrails=changed.guardrails, applications=applications, **counted)
    services = replace(changed, **parts)
    watch(services)
    return services


def watch(services: Services) -> None:
    services.metrics.watch(
        services.pool.status,
        services.call_counts.by_version,
        services.admission.num_queued,
        services.data.batches.by_status,
    )
