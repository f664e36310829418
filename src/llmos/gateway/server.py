"""The serving process: opens what the routes need, loads the models, answers, and ends in good order.

SIGTERM or SIGINT   nothing new is let in, what runs may finish, the process exits with status 0
a second one        everything ends at once
"""

import asyncio
import contextlib
import errno
import logging
import shlex
import signal
import socket
import time
from collections.abc import Iterator, Sequence
from typing import Literal

import uvicorn
import uvloop
from fastapi import FastAPI

from llmos.core.config import Settings
from llmos.core.errors import BadRequest, Conflict, LLMOSError, Unavailable
from llmos.core.jobs.jobs import Jobs
from llmos.data.batches import Batches
from llmos.data.files import Files
from llmos.data.responses import KeptResponses
from llmos.deployments.desired.reconciler import Reconciler
from llmos.deployments.opening import open_deployments
from llmos.deployments.providers.clients import ProviderClients
from llmos.deployments.providers.providers import Providers
from llmos.deployments.replicas.pool import Pool
from llmos.deployments.replicas.watchdog import ReplicaTimeouts
from llmos.deployments.rollouts.evidence import Evidence
from llmos.deployments.rollouts.rollouts import Rollouts
from llmos.deployments.routing.resolution import DEFAULT_ROUTE
from llmos.deployments.routing.routes import Routes
from llmos.engine.config import EngineConfig
from llmos.engine.sizing.fit import check_fits
from llmos.gateway.app import create_app
from llmos.gateway.calls.admission import Admission
from llmos.gateway.calls.build import build_backends, build_pipeline
from llmos.gateway.calls.call_counts import CallCounts
from llmos.gateway.calls.metrics_sink import MetricsSink
from llmos.gateway.calls.resolve import Resolver
from llmos.gateway.jobs.batch_runner import BatchRunner
from llmos.gateway.jobs.following import AttachedJobs
from llmos.gateway.jobs.job_runner import JobRunner
from llmos.gateway.jobs.rollout_runner import RolloutRunner
from llmos.gateway.metrics import Metrics
from llmos.gateway.services import Services
from llmos.models import open_registry
from llmos.models.signing.enforcement import open_signature_enforcer
from llmos.models.versions.versions import Loadable
from llmos.security.auth import open_owner_key
from llmos.security.callers import owner
from llmos.security.secrets import Secrets

_log = logging.getLogger(__name__)


def run(settings: Settings, models: Sequence[str] = (), host: str = "127.0.0.1", port: int = 8000) -> None:
    """Serve `models` (the default model where none is named) until a signal ends it. Port 0 takes any free one.

    Raises LLMOSError, before anything listens, for a model that isn't there or that this machine has no memory for, or
    an address that is taken; and later for a model that can't be loaded. Raises SystemExit(1) when a second signal cut
    running answers short.
    """
    services = open_services(settings)
    versions = [version for name in models or [DEFAULT_ROUTE] for version in services.routes.local_versions(name)]
    # Adapters come with their requests; what is loaded is the model that they change.
    wanted = {loadable.version.ref: loadable for loadable in map(services.registry.loadable, versions)}
    for loadable in wanted.values():
        _check_fits(loadable, settings)
    services.readiness.wanted.extend(wanted)
    listener = listen(host, port)
    if uvloop.run(_serve(services, list(wanted.values()), listener)) == "cut short":
        raise SystemExit(1)


def _check_fits(loadable: Loadable, settings: Settings) -> None:
    try:
        check_fits(loadable.files, EngineConfig.from_options(settings.engine_options))
    except Unavailable as error:
        ref = loadable.version.ref
        raise Unavailable(f"{ref} isn't served: {error.message} See: llmos fit {ref}") from None
    except LLMOSError:
        return  # what is wrong with the model itself, its replica says


def open_services(settings: Settings) -> Services:
    registry = open_registry(settings)
    routes, guard = Routes(registry), open_signature_enforcer(settings, registry)
    config = EngineConfig.from_options(settings.engine_options)
    providers = Providers(registry.database, Secrets(settings.master_key_path))
    files = Files(registry.database, settings.files_path)
    timeouts = ReplicaTimeouts(silence_seconds=settings.stuck_seconds, load_seconds=settings.load_seconds)
    pool = Pool(config=config, timeouts=timeouts, wait_seconds=settings.wait_seconds, check=guard.check)
    deployments = open_deployments(registry, settings)
    admission = Admission(max_running=config.max_sequences, max_queued=settings.max_queued)
    clients = ProviderClients(providers)
    backends = build_backends(pool, registry, clients, guard.check)
    metrics, counts, evidence = Metrics(), CallCounts(), Evidence()
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
            sinks=[MetricsSink(metrics)],
        ),
        files=files,
        batches=Batches(registry.database, files),
        responses=KeptResponses(registry.database),
        jobs=(jobs := Jobs(registry.database)),
        attached_jobs=AttachedJobs(jobs),
        pool=pool,
        reconciler=Reconciler(deployments, registry, pool, config=config, on_capacity=admission.set_replicas),
        owner_key=open_owner_key(settings),
        admission=admission,
        call_counts=counts,
        evidence=evidence,
        metrics=metrics,
    )
    metrics.watch(pool.status, counts.by_version, admission.num_queued, services.batches.by_status)
    return services


def listen(host: str, port: int) -> socket.socket:
    """Return a socket bound to the address. Raises BadRequest or Conflict that say what to do instead."""
    if not 0 <= port <= 65535:
        raise BadRequest(f"{port} is no port: --port takes 1 to 65535, or 0 for any free one.", param="port")
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise BadRequest(f"{host}:{port} is no address to serve on ({error}). Try --host 127.0.0.1.") from None
    listener = socket.socket(family, kind)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
        listener.listen()  # Two sockets may be bound to a port as long as neither listens.
    except OSError as error:
        listener.close()
        is_elsewhere = error.errno == errno.EADDRNOTAVAIL
        advice = "Choose an address of this machine: --host 127.0.0.1" if is_elsewhere else "Choose another: --port"
        raise Conflict(f"Can't serve on {host}:{port}: {error.strerror}. {advice}") from None
    listener.set_inheritable(False)
    return listener


class Server(uvicorn.Server):
    """uvicorn, with our own signals: its own would end the process by the signal instead of with status 0."""

    def __init__(self, app: FastAPI, services: Services) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                loop="none",
                http="httptools",
                ws="none",
                lifespan="off",
                log_level="warning",
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=75,
            )
        )
        self._services = services
        self._batches = BatchRunner(app, services.batches, services.files, services.admission)
        self._rollouts = RolloutRunner(services.rollouts, services.evidence, services.pipeline)
        self._jobs = JobRunner(services.jobs, services.registry, services.settings)
        self._beside: list[asyncio.Task[None]] = []
        """What goes on while it serves: batches, deployments, rollouts."""

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        self._beside = [
            asyncio.create_task(self._batches.run(), name="Batches are no longer carried out"),
            asyncio.create_task(self._services.reconciler.run(), name="Deployments are no longer looked after"),
            asyncio.create_task(self._rollouts.run(), name="Rollouts no longer go on"),
            asyncio.create_task(self._jobs.run(), name="Jobs are no longer done"),
        ]
        for task in self._beside:
            task.add_done_callback(_look_at_error)
        try:
            await super().serve(sockets)
        finally:
            self._stop_beside()
            await asyncio.wait(self._beside)
            await self._services.pipeline.shadows.close()
            await self._services.provider_clients.close()

    def drain(self) -> None:
        """Let nothing in any more, and end after the last answer. Batches are given up at once: they go on later."""
        self.should_exit = True
        self._services.readiness.is_draining = True
        self._stop_beside()

    def _stop_beside(self) -> None:
        self._services.jobs.close()
        for task in self._beside:
            task.cancel()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _serve(
    services: Services, wanted: Sequence[Loadable], listener: socket.socket
) -> Literal["in good order", "cut short"]:
    server = Server(create_app(services), services)
    # Before the first request: it then finds its model as it is to be.
    await services.reconciler.reconcile()
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    loading = asyncio.create_task(_load(services, wanted, server))

    def on_signal() -> None:
        if server.should_exit:
            serving.cancel()
        else:
            server.drain()
            _say("Ending, as soon as the running answers are whole. Once more ends it at once.")

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, on_signal)
    _say_where(services.settings, listener)
    await asyncio.wait([serving])
    loading.cancel()
    await services.pool.close(drain=not serving.cancelled())
    if serving.cancelled():
        return "cut short"
    await serving
    with contextlib.suppress(asyncio.CancelledError):
        await loading  # Raises what made loading fail.
    return "in good order"


async def _load(services: Services, wanted: Sequence[Loadable], server: Server) -> None:
    """Load the models one after another. A model that can't be loaded ends the server: it was started for it."""
    for loadable in wanted:
        version = loadable.version
        _say(f"Loading {version.ref} …")
        began = time.perf_counter()
        try:
            await services.pipeline.load(version.ref, owner(), wait=True)
        except LLMOSError as error:
            server.drain()
            raise type(error)(f"{version.ref} can't be loaded: {error.message}", param=error.param) from error
        _say(f"Loaded {version.ref} in {time.perf_counter() - began:.1f} s.")
    _say("Ready. Ctrl-C ends it.")


def _look_at_error(task: "asyncio.Task[None]") -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.error(task.get_name(), exc_info=error)


def _say_where(settings: Settings, listener: socket.socket) -> None:
    host, port = listener.getsockname()[:2]
    # Everything is reachable, so name an address that a program on this machine can use.
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    key_path = shlex.quote(str(settings.owner_key_path))
    url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    _say(f"LLMOS serves on {url}; the key is in {key_path}. Try:\n")
    _say(f"""curl {url}/v1/chat/completions -H "Authorization: Bearer $(cat {key_path})" \\
  -d '{{"model": "{DEFAULT_ROUTE}", "messages": [{{"role": "user", "content": "Hello!"}}]}}'\n""")


def _say(line: str) -> None:
    with contextlib.suppress(BrokenPipeError):  # Nobody reads on: no reason to stop serving.
        print(line, flush=True)
