"""A gateway over scripted rooms: its services, joined to a client or behind the real HTTP server."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from llmos.billing.budgets import Subjects
from llmos.billing.services import open_billing
from llmos.core.config import load_settings
from llmos.core.database import Database
from llmos.core.jobs.jobs import Jobs
from llmos.core.store.blob_keys import BlobKeys
from llmos.core.store.store import Store
from llmos.core.webhooks.outbox import Outbox
from llmos.core.webhooks.webhooks import Webhooks
from llmos.data.project_data import ProjectData
from llmos.data.services import open_data
from llmos.deployments.backend import Backends
from llmos.deployments.cluster.head import ClusterHead
from llmos.deployments.cluster.nodes import Nodes
from llmos.deployments.desired.deployments import Deployments
from llmos.deployments.desired.reconciler import Reconciler
from llmos.deployments.providers.clients import ProviderClients
from llmos.deployments.providers.providers import Providers
from llmos.deployments.releases.releases import AppReleases
from llmos.deployments.rollouts.rollouts import Rollouts
from llmos.gateway.app import create_app
from llmos.gateway.calls.answer_sink import AnswerSink
from llmos.gateway.calls.audit_sink import AuditSink
from llmos.gateway.calls.build import build_backends
from llmos.gateway.calls.ledger_stages import LedgerStages, ShadowPurchases
from llmos.gateway.calls.limits_hold import LimitsHold
from llmos.gateway.calls.stages import Stages
from llmos.gateway.hosted_apps.backend import HostedApplications
from llmos.gateway.hosted_apps.supervisor import AppSupervisor
from llmos.gateway.jobs.background_callers import BackgroundCallers
from llmos.gateway.jobs.background_calls import BackgroundCalls
from llmos.gateway.jobs.following import AttachedJobs
from llmos.gateway.jobs.job_asking import JobAsking
from llmos.gateway.jobs.job_runner import JobRunner
from llmos.gateway.ledger_check import LedgerCheck
from llmos.gateway.listening import listen
from llmos.gateway.receipt_recovery import ReceiptRecovery
from llmos.gateway.server import Server
from llmos.gateway.services import Services
from llmos.security.audit.audit import open_audit
from llmos.security.audit.sign_ins import event_of_sign_in
from llmos.security.auth import OwnerKey
from llmos.security.guardrails.policies import GuardrailPolicies
from llmos.security.keys import Keys
from llmos.security.limit_counts import LimitCounts
from llmos.security.projects import Projects
from llmos.security.receipts.receipts import Receipts
from llmos.security.signing_key import SigningKey
from llmos.security.tokens import Pepper
from llmos.security.users.sessions import Sessions
from llmos.security.users.sign_in import SignIn
from llmos.security.users.throttle import Throttle
from llmos.security.users.users import Users
from support.encryption import open_test_encryption
from support.passwords import quick_passwords
from support.pipelines import pipeline_parts, watch
from support.scripted import KEY, FakePool, FakeRegistry, FakeRoutes, FakeTransfers


@dataclass(frozen=True, kw_only=True)
class Scripted:
    """The parts of a gateway that a test scripts. `backends`: those of the pipeline; None: those over the pool."""

    pool: Any
    registry: Any
    routes: Any
    backends: Any

    @classmethod
    def over(cls, pool: FakePool, backends: Backends | None) -> "Scripted":
        registry = FakeRegistry()
        return cls(pool=pool, registry=registry, routes=FakeRoutes(registry), backends=backends)


class Exchangeable:
    """Forwards every attribute to another object, which exchange() replaces."""

    def __init__(self, inner: Any) -> None:
        self.exchange(inner)

    def exchange(self, inner: Any) -> None:
        object.__setattr__(self, "_inner", inner)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._inner, name, value)


class SharedGateway:
    """One gateway for several tests, each of which brings what is scripted. The database and all counters stay.

    Example:
        with SharedGateway.open(folder, database) as gateway:
            gateway.play(Scripted.over(FakePool(), None))
    """

    def __init__(self, services: Services, scripted: Scripted) -> None:
        self.services, self.app = services, create_app(services)
        self._scripted = scripted

    @classmethod
    @contextmanager
    def open(cls, folder: Path, database: Database) -> Iterator["SharedGateway"]:
        first = vars(Scripted.over(FakePool(), None))
        scripted = Scripted(**{name: Exchangeable(inner) for name, inner in first.items()})
        with scripted_services(scripted, folder, database) as services:
            yield cls(services, scripted)

    def play(self, scripted: Scripted) -> None:
        """Take the pool, the registry, the routes and the backends of the next test."""
        for name, inner in vars(scripted).items():
            getattr(self._scripted, name).exchange(inner)
        if scripted.backends is None:
            over_pool = build_backends(scripted.pool, scripted.registry, self.services.provider_clients)
            self._scripted.backends.exchange(over_pool)


def stopped_clock() -> int:
    """Nanoseconds, for what counts failures in a time: a busy machine must not let more pass."""
    return 1_790_000_000 * 10**9


@contextmanager
def scripted_services(scripted: Scripted, folder: Path, database: Database) -> Iterator[Services]:
    """Yield the services of a gateway; they pull models as FakeTransfers does."""
    pool, registry, routes = scripted.pool, scripted.registry, scripted.routes
    url = database.url.render_as_string(hide_password=False)
    settings = load_settings({"LLMOS_HOME": str(folder), "LLMOS_DATABASE_URL": url})
    encryption = open_test_encryption(database, folder)
    webhooks = Webhooks(database, encryption)
    outbox = Outbox(database, encryption, webhooks)
    store = Store(folder / "store", BlobKeys(database, lambda: encryption))
    data = open_data(settings, database, store, encryption, outbox)
    keys = Keys(database, Pepper(folder / "keys" / "pepper"))
    subjects = Subjects(
        check_project=lambda name: projects.get(name),
        project_of_key=lambda id: keys.get(id).project,
        check_provider=lambda name: providers.get(name),
    )
    billing = open_billing(settings, database, encryption, outbox, subjects)
    app_releases = AppReleases(database, data.app_deployments)
    rooms = [*data.rooms(), app_releases, billing.budgets]
    projects = Projects(database, ProjectData(database, data.files, rooms))
    clients = ProviderClients(providers := Providers(database, encryption))
    limits = LimitsHold(LimitCounts(database))
    guardrails = GuardrailPolicies(database, routes=lambda: [route.name for route in routes.list()])
    users, sessions = Users(database, quick_passwords()), Sessions(database)
    signing_key = SigningKey(folder / "keys" / "signing")
    audit = open_audit(database, signing_key, folder / "audit" / "checkpoints.jsonl")
    receipts = Receipts(database, signing_key, days=30)
    answer_sink = AnswerSink(database, receipts, data.answers)
    supervisor = AppSupervisor(data.app_deployments, data.app_versions, keys, settings)
    applications = HostedApplications(supervisor, wait_seconds=10, is_open_to_projects=settings.project_apps)
    metering = LedgerStages(billing.ledger_writer, billing.reservations)
    services = Services(
        settings=settings,
        data=data,
        billing=billing,
        app_releases=app_releases,
        supervisor=supervisor,
        applications=applications,
        encryption=encryption,
        registry=registry,
        routes=routes,
        deployments=(deployments := Deployments(database, registry)),
        rollouts=Rollouts(database, routes, deployments),
        reconciler=Reconciler(deployments, registry, pool),
        nodes=(nodes := Nodes(database)),
        cluster_head=ClusterHead(settings.cluster_path, nodes, store),
        ray_leases=None,
        providers=providers,
        provider_clients=clients,
        **pipeline_parts(
            routes,
            registry,
            pool,
            clients,
            backends=scripted.backends,
            stages=Stages(
                holds=(limits, metering.hold),
                checks=(metering.check,),
                filters=(metering.filter,),
                makes_receipts=True,
            ),
            guardrails=guardrails,
            sinks=[AuditSink(audit.recorder), answer_sink, ShadowPurchases(billing.ledger_writer)],
            applications=applications,
            limits=(billing.limit_book, billing.reservations),
        ),
        guardrails=guardrails,
        webhooks=webhooks,
        outbox=outbox,
        jobs=(jobs := Jobs(database)),
        attached_jobs=AttachedJobs(jobs),
        pool=pool,
        owner_key=OwnerKey(KEY),
        limits=limits,
        users=users,
        sessions=sessions,
        sign_in=SignIn(
            users,
            sessions,
            Throttle(database, clock=stopped_clock),
            lambda event: audit.recorder.add(event_of_sign_in(event)),
        ),
        signing_key=signing_key,
        audit=audit,
        receipts=receipts,
        answer_sink=answer_sink,
        keys=keys,
        ledger_check=LedgerCheck(database, receipts, settings.ledger_spill_path),
        receipt_recovery=ReceiptRecovery(database, receipts),
        projects=projects,
    )
    watch(services)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("llmos.gateway.jobs.kinds.pull.Transfers", FakeTransfers)
        yield services
    answer_sink.close()
    billing.close()
    audit.recorder.close()


@asynccontextmanager
async def joined(app: FastAPI, services: Services) -> AsyncIterator[httpx.AsyncClient]:
    """A client with the key, joined to the app without a socket; jobs run."""
    callers = BackgroundCallers(services.keys, services.users)
    calls = BackgroundCalls(app, services.admission, callers, pause=lambda _: asyncio.sleep(0))
    ask = JobAsking(calls).ask
    runner = JobRunner(services.jobs, services.registry, services.settings, ask=ask, evals=services.data.evals)
    jobs = asyncio.create_task(runner.run())
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    headers = {"Authorization": f"Bearer {KEY}"}
    async with httpx.AsyncClient(transport=transport, base_url="http://llmos", headers=headers) as client:
        yield client
    jobs.cancel()
    await asyncio.wait([jobs])
    await services.pipeline.shadows.close()
    await services.limits.finish()
    await services.provider_clients.close()


@contextmanager
def serve_app(app: FastAPI, services: Services) -> Iterator[str]:
    """Serve the app on a free port, in a thread; yield its address."""
    listener = listen("127.0.0.1", 0)
    server = Server(app, services)
    host, port = listener.getsockname()
    thread = threading.Thread(target=asyncio.run, args=[server.serve(sockets=[listener])])
    thread.start()
    try:
        yield f"http://{host}:{port}"
    finally:
        server.stop()
        thread.join()
