"""A gateway whose models are scripted, and a real one."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from llmos.core.config import load_settings
from llmos.core.database import Database
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
from llmos.deployments.backend import Backends
from llmos.deployments.desired.deployments import Deployments
from llmos.deployments.desired.reconciler import Reconciler
from llmos.deployments.providers.clients import ProviderClients
from llmos.deployments.providers.providers import Providers
from llmos.deployments.rollouts.rollouts import Rollouts
from llmos.gateway.app import create_app
from llmos.gateway.calls.audit_sink import AuditSink
from llmos.gateway.calls.limits_hold import LimitsHold
from llmos.gateway.calls.receipts import ReceiptSink
from llmos.gateway.calls.stages import Stages
from llmos.gateway.jobs.following import AttachedJobs
from llmos.gateway.jobs.job_runner import JobRunner
from llmos.gateway.listening import listen
from llmos.gateway.server import Server
from llmos.gateway.services import Services
from llmos.models import open_registry
from llmos.models.transfer.transfers import Transfers
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
from support.datasets import store_beside
from support.default_model import pull_stored
from support.encryption import open_test_encryption
from support.passwords import quick_passwords
from support.pipelines import pipeline_parts, watch
from support.real_server import Running, serving
from support.scripted import KEY, FakePool, FakeRegistry, FakeRoutes, FakeTransfers


def stopped_clock() -> int:
    """Nanoseconds, for what counts failures in a time: a busy machine must not let more pass."""
    return 1_790_000_000 * 10**9


@pytest.fixture(autouse=True)
def _one_certificate(one_certificate: None) -> None:
    """Most clients here talk to a server of the test, without TLS."""


@pytest.fixture
def pool() -> FakePool:
    return FakePool()


@pytest.fixture(scope="module")
def database_kind() -> str:
    """One is enough for most of what is asked here; the files about what is kept for callers try them all."""
    return "sqlite"


@pytest.fixture
def backends() -> Backends | None:
    """The backends of the pipeline; None: those over the fake pool."""
    return None


@pytest.fixture
def services(
    pool: FakePool, backends: Backends | None, tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Services]:
    registry = FakeRegistry()
    monkeypatch.setattr("llmos.gateway.jobs.kinds.pull.Transfers", FakeTransfers)
    routes = FakeRoutes(registry)
    url = database.url.render_as_string(hide_password=False)
    settings = load_settings({"LLMOS_HOME": str(tmp_path), "LLMOS_DATABASE_URL": url})
    encryption = open_test_encryption(database, tmp_path)
    providers = Providers(database, encryption)
    clients = ProviderClients(providers)
    limits = LimitsHold(LimitCounts(database))
    guardrails = GuardrailPolicies(database, routes=lambda: [route.name for route in routes.list()])
    users, sessions = Users(database, quick_passwords()), Sessions(database)
    signing_key = SigningKey(tmp_path / "keys" / "signing")
    audit = open_audit(database, signing_key, tmp_path / "audit" / "checkpoints.jsonl")
    receipts = Receipts(database, signing_key, days=30)
    receipt_sink = ReceiptSink(receipts)
    services = Services(
        settings=settings,
        encryption=encryption,
        registry=registry,  # type: ignore[arg-type]
        routes=routes,  # type: ignore[arg-type]
        deployments=(deployments := Deployments(database, registry)),  # type: ignore[arg-type]
        rollouts=Rollouts(database, routes, deployments),  # type: ignore[arg-type]
        reconciler=Reconciler(deployments, registry, pool),  # type: ignore[arg-type]
        providers=providers,
        provider_clients=clients,
        **pipeline_parts(
            routes,
            registry,
            pool,
            clients,
            backends=backends,
            stages=Stages(holds=(limits,), makes_receipts=True),
            guardrails=guardrails,
            sinks=[AuditSink(audit.recorder), receipt_sink],
        ),
        guardrails=guardrails,
        files=(files := Files(database, tmp_path / "files", encryption)),
        batches=Batches(database, files),
        responses=KeptResponses(database, encryption),
        app_sessions=AppSessions(database, encryption),
        app_runs=AppRuns(database, encryption),
        datasets=(datasets := Datasets(database, store := store_beside(files))),
        knowledge=(knowledge := Knowledge(database, store)),
        vector_stores=(vector_stores := VectorStores(database, knowledge)),
        uploads=Uploads(tmp_path / "uploads", store),
        jobs=(jobs := Jobs(database)),
        attached_jobs=AttachedJobs(jobs),
        pool=pool,  # type: ignore[arg-type]
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
        receipt_sink=receipt_sink,
        keys=Keys(database, Pepper(tmp_path / "keys" / "pepper")),
        projects=Projects(database, ProjectData(database, files, [datasets, vector_stores, knowledge])),
    )
    watch(services)
    yield services
    receipt_sink.close()
    audit.recorder.close()


@pytest.fixture
def app(services: Services) -> FastAPI:
    return create_app(services)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def http(app: FastAPI, services: Services) -> AsyncIterator[httpx.AsyncClient]:
    """A client with the key, joined to the app without a socket; jobs run."""
    jobs = asyncio.create_task(JobRunner(services.jobs, services.registry, services.settings).run())
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    headers = {"Authorization": f"Bearer {KEY}"}
    async with httpx.AsyncClient(transport=transport, base_url="http://llmos", headers=headers) as client:
        yield client
    jobs.cancel()
    await asyncio.wait([jobs])
    await services.pipeline.shadows.close()
    await services.limits.finish()
    await services.provider_clients.close()


@pytest.fixture
def served(app: FastAPI, services: Services) -> Iterator[str]:
    """The app behind the real HTTP server on a free port; gives its address."""
    listener = listen("127.0.0.1", 0)
    server = Server(app, services)
    host, port = listener.getsockname()
    thread = threading.Thread(target=asyncio.run, args=[server.serve(sockets=[listener])])
    thread.start()
    yield f"http://{host}:{port}"
    server.stop()
    thread.join()


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory, smollm2_path: Path) -> Path:
    """A home with the model under two names."""
    home = tmp_path_factory.mktemp("served")
    registry = open_registry(load_settings({"LLMOS_HOME": str(home)}))
    pull_stored(registry, smollm2_path)
    Transfers(registry).import_path(smollm2_path, "twin")
    return home


@pytest.fixture(scope="session")
def running(home: Path) -> Iterator[Running]:
    with serving(home) as running:
        yield running
        assert running.end() == 0
