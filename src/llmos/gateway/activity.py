"""describe_activity: what this server does now, and what it has counted since its start."""

import asyncio
from collections import Counter
from datetime import datetime, timedelta

from prometheus_client import Counter as Metric

from llmos.billing.usage import Usage
from llmos.core.clock import Clock, utc_now
from llmos.core.money import format_nanos, parse_cost
from llmos.core.schemas.activity import ActivityDescription, ModelActivity, Spend
from llmos.deployments.replicas.status import VersionStatus
from llmos.gateway.services import Services


async def describe_activity(services: Services, clock: Clock = utc_now) -> ActivityDescription:
    """Belongs to the event loop's thread, as the pool does."""
    queued, metrics = services.admission.num_queued(), services.metrics
    calls = services.call_counts.by_version().values()
    cache = _sums(metrics.response_cache, "outcome")
    return ActivityDescription(
        at=clock(),
        models=[_described(status, queued.get(status.version, 0)) for status in services.pool.status()],
        num_calls_running=sum(each.running for each in calls),
        num_answered=sum(each.answered for each in calls),
        num_failed=sum(each.failed for each in calls),
        num_cancelled=sum(each.cancelled for each in calls),
        num_rejected=sum(each.rejected for each in calls),
        prompt_tokens=_sums(metrics.prompt_tokens).total(),
        cached_prompt_tokens=_sums(metrics.cached_prompt_tokens).total(),
        output_tokens=_sums(metrics.completion_tokens).total(),
        cache_hits=cache["hit"],
        cache_misses=cache["miss"],
        errors=dict(sorted(_sums(metrics.errors, "code").items())),
        spend=await asyncio.to_thread(_spend, services.billing.usage, clock),
    )


def _described(status: VersionStatus, num_queued: int) -> ModelActivity:
    load, used = status.load, None
    if load is not None and status.ready is not None:
        num_blocks = status.ready.num_blocks * status.num_ready
        used = 1 - min(1.0, load.num_free_blocks / num_blocks) if num_blocks else None
    return ModelActivity(
        version=status.version,
        state=status.state,
        replicas_ready=status.num_ready,
        replicas_wanted=status.num_wanted,
        num_running=0 if load is None else load.num_running,
        num_waiting=0 if load is None else load.num_waiting,
        num_queued=num_queued,
        kv_used=used,
        restarts=status.restarts,
    )


def _sums(metric: Metric, label: str = "") -> Counter[str]:
    """Return what a metric has counted, by one of its labels."""
    sums: Counter[str] = Counter()
    for family in metric.collect():
        for sample in family.samples:
            if sample.name.endswith("_total"):
                sums[sample.labels.get(label, "")] += int(sample.value)
    return sums


def _spend(usage: Usage, clock: Clock) -> Spend:
    """Return the sums of this hour and of the last 24, which the ledger has by whole hours."""
    now = clock()
    hour = now.replace(minute=0, second=0, microsecond=0)
    return Spend(
        hour=_costs(usage, hour, hour + timedelta(hours=1)),
        day=_costs(usage, hour - timedelta(hours=24), hour + timedelta(hours=1)),
    )


def _costs(usage: Usage, start: datetime, end: datetime) -> dict[str, str]:
    sums: Counter[str] = Counter()
    for row in usage.report("project", start, end).data:
        for currency, cost in row.costs.items():
            sums[currency] += parse_cost(cost)
    return {currency: format_nanos(cost) for currency, cost in sorted(sums.items())}
