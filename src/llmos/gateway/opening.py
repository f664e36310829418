"""open_services: creates everything that a server works with, from the settings."""

from datetime import timedelta
from functools import partial

from llmos.billing.budgets import Subjects
from llmos.billing.exporters.lag import ExporterLags
from llmos.billing.services import open_billing
from llmos.core.config import Settings
from llmos.core.encryption.opening import open_encryption
from llmos.core.jobs.jobs import Jobs
from llmos.core.log_files import LogFiles
from llmos.core.names import APP_PREFIX
from llmos.core.webhooks.outbox import Outbox
from llmos.core.webhooks.webhooks import Webhooks
from llmos.data.apps.deployments import AppDeployments
from llmos.data.project_data import ProjectData
from llmos.data.services import open_data
from llmos.deployments.cluster.head import ClusterHead
from llmos.deployments.cluster.nodes import Nodes
from llmos.deployments.cluster.placer import ClusterPlacer
from llmos.deployments.desired.reconciler import Reconciler
from llmos.deployments.opening import follow_nodes, open_deployments, open_ray
from llmos.deployments.placing.local import LocalPlacer
from llmos.deployments.placing.nowhere import NoLocalPlacer
from llmos.deployments.providers.clients import ProviderClients
from llmos.deployments.providers.providers import Providers
from llmos.deployments.ray.placer import RayPlacer
from llmos.deployments.releases.releases import AppReleases
from llmos.deployments.replicas.pool import Pool
from llmos.deployments.replicas.watchdog import ReplicaTimeouts
from llmos.deployments.rollouts.rollouts import Rollouts
from llmos.deployments.routing.routes import Routes
from llmos.engine.config import EngineConfig
from llmos.gateway.call_services import PipelineRooms, open_calls, open_pipeline
from llmos.gateway.calls.answer_sink import AnswerSink
from llmos.gateway.calls.build import build_backends
from llmos.gateway.calls.resolve import Resolver
from llmos.gateway.hosted_apps.backend import HostedApplications
from llmos.gateway.hosted_apps.supervisor import AppSupervisor
from llmos.gateway.jobs.following import AttachedJobs
from llmos.gateway.ledger_check import LedgerCheck
from llmos.gateway.log import Log, log_deployment_event, log_sign_in
from llmos.gateway.receipt_recovery import ReceiptRecovery
from llmos.gateway.role import ServerRole
from llmos.gateway.services import Services
from llmos.models import open_registry
from llmos.models.signing.enforcement import open_signature_enforcer
from llmos.security.audit.audit import Audit, open_audit
from llmos.security.audit.sign_ins import event_of_sign_in
from llmos.security.auth import open_owner_key
from llmos.security.guardrails.policies import GuardrailPolicies
from llmos.security.keys import Keys
from llmos.security.oidc.flow import OidcFlow
from llmos.security.projects import Projects
from llmos.security.receipts.receipts import Receipts
from llmos.security.signing_key import SigningKey
from llmos.security.tokens import Pepper
from llmos.security.users.sessions import Sessions
from llmos.security.users.sign_in import SignIn, SignInEvent
from llmos.security.users.throttle import Throttle
from llmos.security.users.users import Users


def _connected_nodes(nodes: Nodes, head: ClusterHead) -> dict[str, bool]:
    return {member.name: member.name in head.nodes for member in (nodes.list() if head.exists else ())}


def open_services(settings: Settings, role: ServerRole | None = None) -> Services:
    """Return the services of one server, by default one with all parts. Nothing runs yet."""
    role = role or ServerRole()
    registry = open_registry(settings, discards_changes=True, serves_others=True)
    database, log = registry.database, _open_log(settings)
    encryption = open_encryption(settings, database)
    encryption.start()
    webhooks = Webhooks(database, encryption)
    outbox = Outbox(database, encryption, webhooks)
    data = open_data(settings, database, registry.store, encryption, outbox)

    # Callers, and the records of their calls.
    keys, users = Keys(database, Pepper(settings.pepper_path)), Users(database)
    idle, longest = (timedelta(0, each) for each in (settings.session_idle_seconds, settings.session_seconds))
    sessions = Sessions(database, idle=idle, longest=longest)
    signing_key = SigningKey(settings.signing_key_path)
    audit = open_audit(database, signing_key, settings.checkpoints_path)
    receipts = Receipts(database, signing_key, days=settings.receipt_days)
    subjects = Subjects(
        check_project=lambda name: projects.get(name),
        project_of_key=lambda id: keys.get(id).project,
        check_provider=lambda name: providers.get(name),
    )
    billing = open_billing(settings, database, encryption, outbox, subjects)
    app_releases = AppReleases(database, data.app_deployments)
    project_data = ProjectData(database, data.files, [*data.rooms(), app_releases, billing.budgets])
    projects = Projects(database, project_data)

    # Models and replicas, and the routes to them.
    routes, guard = Routes(registry), open_signature_enforcer(settings, registry)
    config = EngineConfig.from_options(settings.engine_options)
    timeouts = ReplicaTimeouts(silence_seconds=settings.stuck_seconds, load_seconds=settings.load_seconds)
    nodes = Nodes(database)
    cluster_head = ClusterHead(settings.cluster_path, nodes, registry.store)
    leases = open_ray(settings, nodes)
    pool = Pool(
        config=config,
        timeouts=timeouts,
        wait_seconds=settings.wait_seconds,
        check=guard.check,
        placer=RayPlacer(
            ClusterPlacer(cluster_head, registry.store, LocalPlacer() if role.runs_replicas else NoLocalPlacer()),
            cluster_head,
            leases,
        ),
    )
    follow_nodes(cluster_head, pool, leases)
    deployments = open_deployments(registry, settings, runs_replicas=role.runs_replicas)
    clients = ProviderClients(providers := Providers(database, encryption))
    resolver = Resolver(routes, build_backends(pool, registry, clients, guard.check), database)
    supervisor = AppSupervisor(data.app_deployments, data.app_versions, keys, settings)
    applications = HostedApplications(
        supervisor, wait_seconds=settings.wait_seconds, is_open_to_projects=settings.project_apps
    )
    guardrails = GuardrailPolicies(database, routes=partial(_names_with_policies, routes, data.app_deployments))
    calls = open_calls(settings, config, database, log, AnswerSink(database, receipts, data.answers))
    rooms = PipelineRooms(
        resolver=resolver, pool=pool, guardrails=guardrails, applications=applications, audit=audit.recorder
    )
    services = Services(
        settings=settings,
        registry=registry,
        data=data,
        billing=billing,
        encryption=encryption,
        webhooks=webhooks,
        outbox=outbox,
        jobs=(jobs := Jobs(database)),
        attached_jobs=AttachedJobs(jobs),
        owner_key=open_owner_key(settings),
        keys=keys,
        users=users,
        sessions=sessions,
        sign_in=SignIn(users, sessions, Throttle(database), partial(_on_sign_in, log, audit)),
        oidc=None if settings.oidc is None else OidcFlow(settings.oidc, database),
        projects=projects,
        guardrails=guardrails,
        signing_key=signing_key,
        audit=audit,
        receipts=receipts,
        receipt_recovery=ReceiptRecovery(database, receipts),
        ledger_check=LedgerCheck(database, receipts, settings.ledger_spill_path),
        routes=routes,
        deployments=deployments,
        rollouts=Rollouts(database, routes, deployments),
        providers=providers,
        provider_clients=clients,
        pool=pool,
        nodes=nodes,
        cluster_head=cluster_head,
        ray_leases=leases,
        reconciler=Reconciler(
            deployments,
            registry,
            pool,
            config=config,
            on_demand=not role.answers_callers,
            on_capacity=calls.admission.set_replicas,
            on_event=partial(log_deployment_event, log),
        ),
        app_releases=app_releases,
        supervisor=supervisor,
        applications=applications,
        resolver=resolver,
        pipeline=open_pipeline(settings, database, calls, billing, rooms),
        admission=calls.admission,
        call_counts=calls.call_counts,
        evidence=calls.evidence,
        metrics=calls.metrics,
        limits=calls.limits,
        log=log,
        request_log=calls.request_log,
        answer_sink=calls.answer_sink,
        tracing=calls.tracing,
    )
    _watch(services)
    return services


def _watch(services: Services) -> None:
    """Let the metrics read what others know."""
    services.metrics.watch(
        services.pool.status,
        services.call_counts.by_version,
        services.admission.num_queued,
        services.data.batches.by_status,
    )
    services.metrics.watch_nodes(partial(_connected_nodes, services.nodes, services.cluster_head), services.pool.status)
    services.metrics.watch_exporters(ExporterLags(services.registry.database).read)
    services.metrics.watch_providers(services.billing.provider_costs.totals)


def _open_log(settings: Settings) -> Log:
    files = LogFiles(settings.logs_path, max_bytes=settings.log_mb << 20) if settings.log_mb else None
    return Log(settings.log, files=files)


def _names_with_policies(routes: Routes, apps: AppDeployments) -> list[str]:
    return [*(route.name for route in routes.list()), *(f"{APP_PREFIX}{each.app}" for each in apps.list())]


def _on_sign_in(log: Log, audit: Audit, event: SignInEvent) -> None:
    log_sign_in(log, event)
    audit.recorder.add(event_of_sign_in(event))
