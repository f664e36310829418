"""open_services: creates everything that a server works with, from the settings."""

from datetime import timedelta
from functools import partial

from llmos.billing.alerts.messages import AlertMessages
from llmos.billing.budgets import Budgets, Subjects
from llmos.billing.credit.credit import Credit
from llmos.billing.credit.returns import CreditReturns
from llmos.billing.exporters.batches import ExportBatches
from llmos.billing.exporters.exporters import Exporters
from llmos.billing.exporters.lag import ExporterLags
from llmos.billing.invoices.invoices import Invoices
from llmos.billing.invoices.settings import InvoiceSettingsBook
from llmos.billing.ledger import Ledger
from llmos.billing.ledger_writer import LedgerWriter
from llmos.billing.opening import open_limits
from llmos.billing.plans.plans import Plans
from llmos.billing.price_books import PriceBooks
from llmos.billing.reservation_writer import ReservationWriter
from llmos.billing.usage import Usage
from llmos.core.config import Settings
from llmos.core.database import Database
from llmos.core.encryption.opening import open_encryption
from llmos.core.jobs.jobs import Jobs
from llmos.core.log_files import LogFiles
from llmos.core.webhooks.outbox import Outbox
from llmos.core.webhooks.webhooks import Webhooks
from llmos.data.answers import Answers
from llmos.data.app_versions.app_versions import AppVersions
from llmos.data.apps.deployments import AppDeployments
from llmos.data.apps.handoffs import Handoffs
from llmos.data.apps.runs import AppRuns
from llmos.data.apps.sessions import AppSessions
from llmos.data.batches import Batches
from llmos.data.conversations.conversations import Conversations
from llmos.data.datasets.datasets import Datasets
from llmos.data.evals import EvalRuns
from llmos.data.feedback.feedback import Feedback
from llmos.data.files import Files
from llmos.data.knowledge.knowledge import Knowledge
from llmos.data.project_data import ProjectData
from llmos.data.prompts.prompts import Prompts
from llmos.data.responses import KeptResponses
from llmos.data.uploads import Uploads
from llmos.data.vector_stores.vector_stores import VectorStores
from llmos.deployments.desired.reconciler import Reconciler
from llmos.deployments.opening import open_deployments
from llmos.deployments.providers.clients import ProviderClients
from llmos.deployments.providers.providers import Providers
from llmos.deployments.releases.releases import AppReleases
from llmos.deployments.replicas.pool import Pool
from llmos.deployments.replicas.watchdog import ReplicaTimeouts
from llmos.deployments.rollouts.evidence import Evidence
from llmos.deployments.rollouts.rollouts import Rollouts
from llmos.deployments.routing.routes import Routes
from llmos.engine.config import EngineConfig
from llmos.gateway.calls.admission import Admission
from llmos.gateway.calls.answer_sink import AnswerSink
from llmos.gateway.calls.applications import PREFIX
from llmos.gateway.calls.audit_sink import AuditSink
from llmos.gateway.calls.build import build_backends, build_pipeline
from llmos.gateway.calls.call_counts import CallCounts
from llmos.gateway.calls.erasure_watch import ErasureWatch
from llmos.gateway.calls.ledger_stages import LedgerStages
from llmos.gateway.calls.limits_hold import LimitsHold
from llmos.gateway.calls.metrics_sink import MetricsSink
from llmos.gateway.calls.resolve import Resolver
from llmos.gateway.calls.response_cache import ResponseCache
from llmos.gateway.calls.stages import Stages
from llmos.gateway.hosted_apps.backend import HostedApplications
from llmos.gateway.hosted_apps.supervisor import AppSupervisor
from llmos.gateway.jobs.following import AttachedJobs
from llmos.gateway.ledger_check import LedgerCheck
from llmos.gateway.log import Log, LogSink, RequestLog, log_deployment_event, log_sign_in
from llmos.gateway.metrics import Metrics
from llmos.gateway.receipt_recovery import ReceiptRecovery
from llmos.gateway.services import Services
from llmos.gateway.tracing import open_tracing
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
    webhooks = Webhooks(registry.database, encryption)
    outbox = Outbox(registry.database, encryption, webhooks)
    files = Files(registry.database, settings.files_path, encryption)
    timeouts = ReplicaTimeouts(silence_seconds=settings.stuck_seconds, load_seconds=settings.load_seconds)
    pool = Pool(config=config, timeouts=timeouts, wait_seconds=settings.wait_seconds, check=guard.check)
    deployments = open_deployments(registry, settings)
    admission = Admission(max_running=config.max_sequences, max_queued=settings.max_queued)
    clients = ProviderClients(providers)
    backends = build_backends(pool, registry, clients, guard.check)
    metrics, counts, evidence, log = Metrics(), CallCounts(), Evidence(), _open_log(settings)
    request_log = RequestLog(log)
    limits = LimitsHold(_open_limit_counts(settings, registry.database))
    app_deployments = AppDeployments(registry.database)
    app_releases = AppReleases(registry.database, app_deployments)

    def names_with_policies() -> list[str]:
        return [*(route.name for route in routes.list()), *(f"{PREFIX}{each.app}" for each in app_deployments.list())]

    guardrails = GuardrailPolicies(registry.database, routes=names_with_policies)
    users = Users(registry.database)
    idle, longest = (timedelta(0, each) for each in (settings.session_idle_seconds, settings.session_seconds))
    sessions = Sessions(registry.database, idle=idle, longest=longest)

    def on_sign_in(event: SignInEvent) -> None:
        log_sign_in(log, event)
        audit.recorder.add(event_of_sign_in(event))

    signing_key = SigningKey(settings.signing_key_path)
    receipts = Receipts(registry.database, signing_key, days=settings.receipt_days)
    answers = Answers(registry.database, days=settings.answer_days)
    answer_sink = AnswerSink(registry.database, receipts, answers)
    tracing = open_tracing(settings)
    held = open_limits(registry.database)
    limit_book = held.book
    ledger_writer = LedgerWriter(ledger := Ledger(registry.database, held), settings.ledger_spill_path)
    reservations = ReservationWriter(registry.database, held, ledger, ledger_writer, settings.ledger_spill_path)
    metering = LedgerStages(ledger_writer, reservations)
    audit = open_audit(registry.database, signing_key, settings.checkpoints_path)
    partitions, cache = Partitions(), ResponseCache(settings.cache_bytes)
    erasures = ErasureWatch(registry.database, cache, partitions)
    keys = Keys(registry.database, Pepper(settings.pepper_path))
    app_versions = AppVersions(registry.database, registry.store, settings.apps_path)
    supervisor = AppSupervisor(app_deployments, app_versions, keys, settings)
    resolver = Resolver(routes, backends, registry.database)
    applications = HostedApplications(supervisor, wait_seconds=settings.wait_seconds)
    services = Services(
        settings=settings,
        registry=registry,
        routes=routes,
        deployments=deployments,
        rollouts=Rollouts(registry.database, routes, deployments),
        providers=providers,
        provider_clients=clients,
        pipeline=build_pipeline(
            resolver,
            pool,
            admission=admission,
            counts=counts,
            evidence=evidence,
            sinks=[MetricsSink(metrics), LogSink(log, requests=request_log), AuditSink(audit.recorder)]
            + ([answer_sink] if settings.receipt_days or settings.answer_days else [])
            + ([tracing] if tracing else []),
            stages=Stages(
                holds=(limits, metering.hold),
                checks=(erasures, metering.check),
                filters=(metering.filter,),
                makes_receipts=settings.receipt_days > 0,
            ),
            guardrails=guardrails,
            partitions=partitions,
            cache=cache,
            applications=applications,
            limits=(limit_book, reservations),
        ),
        files=files,
        batches=Batches(registry.database, files),
        responses=KeptResponses(registry.database, encryption),
        conversations=Conversations(registry.database, encryption),
        feedback=Feedback(registry.database, encryption),
        app_sessions=AppSessions(registry.database, encryption),
        app_runs=AppRuns(registry.database, encryption),
        handoffs=Handoffs(registry.database, encryption, outbox),
        webhooks=webhooks,
        outbox=outbox,
        app_deployments=app_deployments,
        app_releases=app_releases,
        resolver=resolver,
        supervisor=supervisor,
        applications=applications,
        encryption=encryption,
        datasets=(datasets := Datasets(registry.database, registry.store)),
        knowledge=(knowledge := Knowledge(registry.database, registry.store)),
        prompts=(prompts := Prompts(registry.database, registry.store)),
        evals=(evals := EvalRuns(registry.database, encryption)),
        app_versions=app_versions,
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
        answers=answers,
        answer_sink=answer_sink,
        tracing=tracing,
        keys=keys,
        ledger=ledger,
        ledger_writer=ledger_writer,
        ledger_check=LedgerCheck(registry.database, receipts, settings.ledger_spill_path),
        receipt_recovery=ReceiptRecovery(registry.database, receipts),
        reservations=reservations,
        budgets=(
            budgets := Budgets(
                registry.database,
                limit_book,
                Subjects(
                    check_project=lambda name: services.projects.get(name),
                    project_of_key=lambda id: keys.get(id).project,
                ),
            )
        ),
        usage=Usage(registry.database),
        price_books=PriceBooks(registry.database),
        plans=Plans(registry.database, limit_book, check_project=lambda name: services.projects.get(name)),
        credit=(
            credit := Credit(registry.database, limit_book, check_project=lambda name: services.projects.get(name))
        ),
        credit_returns=CreditReturns(registry.database, credit),
        alert_messages=AlertMessages(registry.database, encryption, outbox),
        exporters=(exporters := Exporters(registry.database, encryption)),
        export_batches=ExportBatches(registry.database, exporters),
        invoices=Invoices(registry.database),
        invoice_settings=InvoiceSettingsBook(registry.database, check_project=lambda name: services.projects.get(name)),
        guardrails=guardrails,
        projects=Projects(
            registry.database,
            ProjectData(
                registry.database,
                files,
                [
                    app_deployments,
                    app_releases,
                    datasets,
                    vector_stores,
                    knowledge,
                    prompts,
                    app_versions,
                    budgets,
                    evals,
                ],
            ),
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
    metrics.watch_exporters(ExporterLags(registry.database).read)
    return services


def _open_log(settings: Settings) -> Log:
    files = LogFiles(settings.logs_path, max_bytes=settings.log_mb << 20) if settings.log_mb else None
    return Log(settings.log, files=files)


def _open_limit_counts(settings: Settings, database: Database) -> LimitCounter:
    """Return where the use of limits is counted. Raises BadRequest for a Redis that can't be one."""
    if settings.limits_url is None:
        return LimitCounts(database)
    from llmos.security.redis_limit_counts import RedisLimitCounts

    return RedisLimitCounts(settings.limits_url)
