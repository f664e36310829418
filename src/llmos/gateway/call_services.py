"""open_calls: the pipeline of a server, with what counts, limits and records the calls in it."""

from dataclasses import dataclass

from llmos.billing.services import BillingServices
from llmos.core.config import Settings
from llmos.core.database import Database
from llmos.deployments.replicas.pool import Pool
from llmos.deployments.rollouts.evidence import Evidence
from llmos.engine.config import EngineConfig
from llmos.gateway.calls.admission import Admission
from llmos.gateway.calls.answer_sink import AnswerSink
from llmos.gateway.calls.applications import Applications
from llmos.gateway.calls.audit_sink import AuditSink
from llmos.gateway.calls.build import build_pipeline
from llmos.gateway.calls.call_counts import CallCounts
from llmos.gateway.calls.erasure_watch import ErasureWatch
from llmos.gateway.calls.ledger_stages import LedgerStages, ShadowPurchases
from llmos.gateway.calls.limits_hold import LimitsHold
from llmos.gateway.calls.metrics_sink import MetricsSink
from llmos.gateway.calls.pipeline import Pipeline
from llmos.gateway.calls.record import Sink
from llmos.gateway.calls.resolve import Resolver
from llmos.gateway.calls.response_cache import ResponseCache
from llmos.gateway.calls.stages import Stages
from llmos.gateway.calls.tracing_sink import TracingSink
from llmos.gateway.log import Log, LogSink, RequestLog
from llmos.gateway.metrics import Metrics
from llmos.gateway.tracing import open_tracing
from llmos.security.audit.recorder import AuditRecorder
from llmos.security.guardrails.policies import GuardrailPolicies
from llmos.security.limit_counts import LimitCounter, LimitCounts
from llmos.security.partitions import Partitions


@dataclass(frozen=True, kw_only=True, slots=True)
class CallServices:
    """The services that count, limit and record calls. open_pipeline() puts them around the pipeline."""

    admission: Admission
    call_counts: CallCounts
    evidence: Evidence
    metrics: Metrics
    limits: LimitsHold
    log: Log
    request_log: RequestLog
    answer_sink: AnswerSink
    tracing: TracingSink | None

    def sinks(self, settings: Settings, audit: AuditRecorder) -> list[Sink]:
        """Return what receives the record of each call."""
        sinks: list[Sink] = [
            MetricsSink(self.metrics),
            LogSink(self.log, requests=self.request_log),
            AuditSink(audit),
        ]
        if settings.receipt_days or settings.answer_days:
            sinks.append(self.answer_sink)
        if self.tracing is not None:
            sinks.append(self.tracing)
        return sinks


def open_calls(
    settings: Settings, config: EngineConfig, database: Database, log: Log, answer_sink: AnswerSink
) -> CallServices:
    """`config`: of replicas, whose batches say how many calls run at once."""
    return CallServices(
        admission=Admission(max_running=config.max_sequences, max_queued=settings.max_queued),
        call_counts=CallCounts(),
        evidence=Evidence(),
        metrics=Metrics(),
        limits=LimitsHold(_open_limit_counts(settings, database)),
        log=log,
        request_log=RequestLog(log),
        answer_sink=answer_sink,
        tracing=open_tracing(settings),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class PipelineRooms:
    """The rooms that a pipeline asks: what a name means, what runs it, what may be said, and who is told."""

    resolver: Resolver
    pool: Pool
    guardrails: GuardrailPolicies
    applications: Applications
    audit: AuditRecorder


def open_pipeline(
    settings: Settings, database: Database, calls: CallServices, billing: BillingServices, rooms: PipelineRooms
) -> Pipeline:
    """Return the pipeline of a server, with all of its stages."""
    metering = LedgerStages(billing.ledger_writer, billing.reservations)
    partitions, cache = Partitions(), ResponseCache(settings.cache_bytes)
    return build_pipeline(
        rooms.resolver,
        rooms.pool,
        admission=calls.admission,
        counts=calls.call_counts,
        evidence=calls.evidence,
        sinks=[*calls.sinks(settings, rooms.audit), ShadowPurchases(billing.ledger_writer)],
        stages=Stages(
            holds=(calls.limits, metering.hold),
            checks=(ErasureWatch(database, cache, partitions), metering.check),
            filters=(metering.filter,),
            makes_receipts=settings.receipt_days > 0,
        ),
        guardrails=rooms.guardrails,
        partitions=partitions,
        cache=cache,
        applications=rooms.applications,
        limits=(billing.limit_book, billing.reservations),
    )


def _open_limit_counts(settings: Settings, database: Database) -> LimitCounter:
    """Return where the use of limits is counted. Raises BadRequest for a Redis that can't be one."""
    if settings.limits_url is None:
        return LimitCounts(database)
    from llmos.security.redis_limit_counts import RedisLimitCounts

    return RedisLimitCounts(settings.limits_url)
