"""open_services: creates everything that a server works with, from the settings."""

from datetime import timedelta
from functools import partial

from llmos.core.config import Settings
from llmos.core.database import Database
from llmos.core.encryption.opening import open_encryption
from llmos.core.jobs.jobs import Jobs
from llmos.data.apps.runs import AppRuns
from llmos.data.apps.sessions import AppSessions
from llmos.data.batches import Batches
from llmos.data.datasets.datasets import Datasets
from llmos.data.files import Files
from llmos.data.knowledge.knowledge import Knowledge
from llmos.data.project_data import ProjectData
from llmos.data.responses import KeptResponses
from llmos.data.uploads import Uploads
from llmos.data.vector_stores.vector_stores import VectorStores
from llmos.deployments.desired.reconciler import Reconciler
from llmos.deployments.opening import open_deployments
from llmos.deployments.providers.clients import ProviderClients
from llmos.deployments.providers.providers import Providers
from llmos.deployments.replicas.pool import Pool
from llmos.deployments.replicas.watchdog import ReplicaTimeouts
from llmos.deployments.rollouts.evidence import Evidence
from llmos.deployments.rollouts.rollouts import Rollouts
from llmos.deployments.routing.routes import Routes
from llmos.engine.config import EngineConfig
from llmos.gateway.calls.admission import Admission
from llmos.gateway.calls.audit_sink import AuditSink
from llmos.gateway.calls.build import build_backends, build_pipeline
from llmos.gateway.calls.call_counts import CallCounts
from llmos.gateway.calls.erasure_watch import ErasureWatch
from llmos.gateway.calls.limits_hold import LimitsHold
from llmos.gateway.calls.metrics_sink import MetricsSink
from llmos.gateway.calls.receipts import ReceiptSink
from llmos.gateway.calls.resolve import Resolver
from llmos.gateway.calls.response_cache import ResponseCache
from llmos.gateway.calls.stages import Stages
from llmos.gateway.jobs.following import AttachedJobs
from llmos.gateway.log import Log, LogSink, RequestLog, log_deployment_event, log_sign_in
from llmos.gateway.metrics import Metrics
from llmos.gateway.services import Services
from llmos.models import open_registry
from llmos.models.signing.enforcement import open_signature_enforcer
from llmos.security.audit.audit import open_audit
from llmos.security.audit.sign_ins import event_of_sign_in
from llmos.security.auth import open_owner_key
from llmos.security.guardrails.policies import GuardrailPolicies
from llmos.security.keys import Keys
from llmos.security.limit_counts import LimitCounter, LimitCounts
from llmos.security.oidc.flow import OidcFlow
from llmos.security.partitions import Partitions
from llmos.security.projects import Projects
from llmos.security.receipts.receipts import Receipts
from llmos.security.signing_key import SigningKey
from llmos.security.tokens import Pepper
from llmos.security.users.sessions import Sessions
from llmos.security.users.sign_in import SignIn, SignInEvent
from llmos.security.users.throttle import Throttle
from llmos.security.users.users import Users


def open_services(settings: Settings) -> Services:
    """Return the services of one server. Nothing runs yet."""
    registry = open_registry(settings, discards_changes=True)
    routes, guard = Routes(registry), open_signature_enforcer(settings, registry)
    config = EngineConfig.from_options(settings.engine_options)
    owner_key = open_owner_key(settings)
    encryption = open_encryption(settings, registry.database)
    encryption.start()
    providers = Providers(registry.database, encryption)
    files = Files(registry.database, settings.files_path, encryption)
    timeouts = ReplicaTimeouts(silence_seconds=settings.stuck_seconds, load_seconds=settings.load_seconds)
    pool = Pool(config=config, timeouts=timeouts, wait_seconds=settings.wait_seconds, check=guard.check)
    deployments = open_deployments(registry, settings)
    admission = Admission(max_running=config.max_sequences, max_queued=settings.max_queued)
    clients = ProviderClients(providers)
    backends = build_backends(pool, registry, clients, guard.check)
    metrics, counts, evidence, log = Metrics(), CallCounts(), Evidence(), Log(settings.log)
    request_log = RequestLog(log)
    limits = LimitsHold(_open_limit_counts(settings, registry.database))
    guardrails = GuardrailPolicies(registry.database, routes=lambda: [route.name for route in routes.list()])
    users = Users(registry.database)
    idle, longest = (timedelta(0, each) for each in (settings.session_idle_seconds, settings.session_seconds))
    sessions = Sessions(registry.database, idle=idle, longest=longest)

    def on_sign_in(event: SignInEvent) -> None:
        log_sign_in(log, event)
        audit.recorder.add(event_of_sign_in(event))

    signing_key = SigningKey(settings.signing_key_path)
    receipts = Receipts(registry.database, signing_key, days=settings.receipt_days)
    receipt_sink = ReceiptSink(receipts)
    audit = open_audit(registry.database, signing_key, settings.checkpoints_path)
    partitions, cache = Partitions(), ResponseCache(settings.cache_bytes)
    erasures = ErasureWatch(registry.database, cache, partitions)
    services = Services(
        settings=settings,
        registry=registry,
        routes=routes,
        deployments=deployments,
        rollouts=Rollouts(registry.database, routes, deployments),
        providers=providers,
        provider_clients=clients,
        pipeline=build_pipeline(
            Resolver(routes, backends, registry.database),
            pool,
            admission=admission,
            counts=counts,
            evidence=evidence,
            sinks=[MetricsSink(metrics), LogSink(log, requests=request_log), AuditSink(audit.recorder)]
            + ([receipt_sink] if settings.receipt_days else []),
            stages=Stages(holds=(limits,), checks=(erasures,), makes_receipts=settings.receipt_days > 0),
            guardrails=guardrails,
            partitions=partitions,
            cache=cache,
        ),
        files=files,
        batches=Batches(registry.database, files),
        responses=KeptResponses(registry.database, encryption),
        app_sessions=AppSessions(registry.database, encryption),
        app_runs=AppRuns(registry.database, encryption),
        encryption=encryption,
        datasets=(datasets := Datasets(registry.database, registry.store)),
        knowledge=(knowledge := Knowledge(registry.database, registry.store)),
        vector_stores=(vector_stores := VectorStores(registry.database, knowledge)),
        uploads=Uploads(settings.uploads_path, registry.store),
        jobs=(jobs := Jobs(registry.database)),
        attached_jobs=AttachedJobs(jobs),
        pool=pool,
        reconciler=Reconciler(
            deployments,
            registry,
            pool,
            config=config,
            on_capacity=admission.set_replicas,
            on_event=partial(log_deployment_event, log),
        ),
        log=log,
        request_log=request_log,
        owner_key=owner_key,
        limits=limits,
        signing_key=signing_key,
        audit=audit,
        receipts=receipts,
        receipt_sink=receipt_sink,
        keys=Keys(registry.database, Pepper(settings.pepper_path)),
        guardrails=guardrails,
        projects=Projects(
            registry.database, ProjectData(registry.database, files, [datasets, vector_stores, knowledge])
        ),
        users=users,
        sessions=sessions,
        oidc=None if settings.oidc is None else OidcFlow(settings.oidc, registry.database),
        sign_in=SignIn(users, sessions, Throttle(registry.database), on_sign_in),
        admission=admission,
        call_counts=counts,
        evidence=evidence,
        metrics=metrics,
    )
    metrics.watch(pool.status, counts.by_version, admission.num_queued, services.batches.by_status)
    return services


def _open_limit_counts(settings: Settings, database: Database) -> LimitCounter:
    """Return where the use of limits is counted. Raises BadRequest for a Redis that can't be one."""
    if settings.limits_url is None:
        return LimitCounts(database)
    from llmos.security.redis_limit_counts import RedisLimitCounts

    return RedisLimitCounts(settings.limits_url)
