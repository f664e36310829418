"""The server process: loads the models, serves requests, and shuts down.

SIGTERM or SIGINT   no new requests, running requests finish, exit status 0
a second signal     everything stops at once, exit status 1
SIGHUP              with TLS: the certificate is read again, for new connections
"""

import asyncio
import contextlib
import ctypes
import gc
import logging
import shlex
import signal
import socket
import sys
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from functools import partial
from typing import Any, Literal

import uvicorn
import uvloop
from fastapi import FastAPI
from starlette.types import ASGIApp

from llmos.core.config import DEFAULT_ENDPOINT, Settings
from llmos.core.errors import InsufficientMemory, LLMOSError
from llmos.data.sweep import Sweep
from llmos.deployments.rollouts.kept_evidence import KeptEvidence
from llmos.deployments.routing.resolution import DEFAULT_ROUTE
from llmos.engine.config import EngineConfig
from llmos.engine.sizing.fit import check_fit_together, check_fits
from llmos.gateway.app import Mount, create_app
from llmos.gateway.hosted_apps.release_runner import ReleaseRunner
from llmos.gateway.hosted_apps.retention import AppRetention
from llmos.gateway.http.connection_limits import DEFAULT_LIMITS, ConnectionLimits
from llmos.gateway.http.health_only import HealthOnly
from llmos.gateway.http.protocol import HttpProtocol
from llmos.gateway.http.security_headers import EVERYWHERE, STRICT_TRANSPORT_SECURITY
from llmos.gateway.jobs.background_callers import BackgroundCallers
from llmos.gateway.jobs.background_calls import BackgroundCalls
from llmos.gateway.jobs.batch_runner import BatchRunner
from llmos.gateway.jobs.exporter_runner import ExporterRunner
from llmos.gateway.jobs.job_asking import JobAsking
from llmos.gateway.jobs.job_embedding import JobEmbedding
from llmos.gateway.jobs.job_runner import JobRunner
from llmos.gateway.jobs.periodic import Periodic
from llmos.gateway.jobs.rollout_runner import RolloutRunner
from llmos.gateway.jobs.webhook_runner import WebhookRunner
from llmos.gateway.kept_encryption import KeptEncryption
from llmos.gateway.listening import allow_open_files, check_exposure, listen, loopback_address
from llmos.gateway.log import messages_logged
from llmos.gateway.opening import open_services
from llmos.gateway.role import ServerRole
from llmos.gateway.services import Services
from llmos.gateway.tls import Tls, open_tls
from llmos.models.versions.versions import Loadable
from llmos.security.callers import owner
from llmos.security.tls_certificates import Certificate

_log = logging.getLogger(__name__)


def run(
    settings: Settings,
    models: Sequence[str] = (),
    host: str = "127.0.0.1",
    port: int = 8000,
    *,
    mounts: Sequence[Mount] = (),
    role: ServerRole | None = None,
) -> None:
    """Serve `models` until a signal. Port 0 chooses a free port. `role`: the parts of a server; by default all.

    Raises LLMOSError before it listens: for a model that is missing or too large for this machine, for an address that
    is in use or that others reach without TLS, and for a certificate that can't be used. Raises LLMOSError later if a
    model can't be loaded, and SystemExit(1) if a second signal cut running answers short.
    """
    role = role or ServerRole()
    _share_arenas()
    has_tls = settings.tls_self_signed or settings.tls_cert is not None
    warning = check_exposure(host, has_tls=has_tls, is_allowed=settings.allow_insecure_network)
    services = open_services(settings, role)
    tls = open_tls(settings, host)
    versions = [version for name in models for version in services.routes.local_versions(name)]
    # Requests carry their adapters, so the base version of an adapter is loaded.
    wanted = {loadable.version.ref: loadable for loadable in map(services.registry.loadable, versions)}
    _check_fits([*wanted.values()], settings)
    services.readiness.wanted.extend(wanted)
    listener = listen(host, port)
    allow_open_files(settings.max_connections)
    if warning is not None:
        services.log.print(f"\n{warning}\n")
    with messages_logged(services.log):
        ended = uvloop.run(_serve(services, list(wanted.values()), listener, tls, mounts, role))
    if ended == "cut short":
        raise SystemExit(1)


def _check_fits(wanted: Sequence[Loadable], settings: Settings) -> None:
    """Raise InsufficientMemory for a model that is too large for this machine, and for models that are together."""
    config = EngineConfig.from_options(settings.engine_options)
    readable = {}
    for loadable in wanted:
        ref = loadable.version.ref
        try:
            check_fits(loadable.files, config)
            readable[ref] = loadable.files
        except InsufficientMemory as error:
            raise InsufficientMemory(f"{ref} isn't served: {error.message} See: llmos fit {ref}") from None
        except LLMOSError:
            pass  # Loading the model reports what is wrong with it.
    check_fit_together(readable, config)


def http_config(app: ASGIApp, tls: Tls | None = None, limits: ConnectionLimits = DEFAULT_LIMITS) -> uvicorn.Config:
    """Return how `app` is served over HTTP."""
    headers = [*EVERYWHERE]
    # Browsers heed it from a certificate that they trust only, and for a self-signed one it would bind localhost.
    if tls is not None and not tls.is_self_signed:
        headers.append(STRICT_TRANSPORT_SECURITY)
    return uvicorn.Config(
        app,
        loop="none",
        http=partial(HttpProtocol, limits=limits),  # type: ignore[arg-type]
        ws="none",
        lifespan="off",
        log_config=None,  # uvicorn's own would write to stderr in the event loop's thread. See messages_logged().
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        headers=headers,
        timeout_keep_alive=75,
        ssl_context_factory=None if tls is None else lambda _config, _default: tls.context,
    )


_WORKER_REFUSAL = "This is a worker: it runs batches and jobs. Send requests to a server: llmos serve"

_DATE_SECONDS = 1.0
"""The `Date` of answers is renewed this often."""

_CLOSING_SECONDS = 0.005
"""While it shuts down, the server looks this often whether answers and connections have ended."""


_EVIDENCE_SECONDS = 1.0
"""The evidence of so many seconds is lost if a server is killed."""

_ALERT_SECONDS = 2.0
_CHECKPOINT_SECONDS = 30.0
"""The server looks this often whether a checkpoint of the audit log is due."""

_M_ARENA_MAX, _NUM_ARENAS = -8, 2
"""mallopt's name for the number of arenas, in malloc.h."""

_GARBAGE_THRESHOLDS = 20_000, 20, 100
"""The allocations between two collections of the youngest generation, and the number of collections of a generation
between two collections of the next older one."""

_UPKEEP_SECONDS = 600.0
"""The interval of upkeep: encrypting data of an earlier version, ending rotations, and deleting old data."""


class Server(uvicorn.Server):
    """uvicorn without its signal handlers, which end the process by the signal instead of with status 0.

    It stops as soon as it can, where uvicorn looks ten times a second whether it should, and an idle server sleeps.
    """

    def __init__(
        self, app: FastAPI, services: Services, tls: Tls | None = None, role: ServerRole | None = None
    ) -> None:
        self._role = role or ServerRole()
        self._limits = ConnectionLimits(max_connections=services.settings.max_connections)
        public = app if self._role.answers_callers else HealthOnly(app, _WORKER_REFUSAL)
        super().__init__(http_config(public, tls, self._limits))
        self._internal_config = http_config(app, limits=self._limits)
        """For the processes of applications, on this machine."""
        self._services = services
        self._batches = BatchRunner(
            app, services.data.batches, services.data.files, services.admission, services.keys, services.users
        )
        self._rollouts = RolloutRunner(services.rollouts, services.evidence, services.pipeline)
        self._releases = ReleaseRunner(services.app_releases, services.supervisor, services.evidence)
        self._webhooks = WebhookRunner(services.outbox)
        self._exporters = ExporterRunner(services.billing.export_batches)
        self._evidence = Periodic(
            KeptEvidence(services.registry.database, services.evidence).sync,
            seconds=_EVIDENCE_SECONDS,
            failure="The evidence of calls can't be kept; trying again",
        )
        callers = BackgroundCallers(services.keys, services.users)
        embedding = JobEmbedding(services.pipeline, callers)
        asking = JobAsking(BackgroundCalls(app, services.admission, callers))
        self._jobs = JobRunner(
            services.jobs,
            services.registry,
            services.settings,
            embed=embedding.embed,
            ask=asking.ask,
            evals=services.data.evals,
            has_followers=self._role.answers_callers,
        )
        kept = KeptEncryption(
            services.data.files, services.data.datasets, services.providers, services.projects, services.registry
        )
        self._upkeep = Periodic(
            kept.encrypt_plain,
            kept.finish_rotations,
            Sweep(services.data.files).run,
            AppRetention(services.data.app_deployments, services.supervisor.manifest).run,
            services.data.app_versions.sweep,
            services.billing.credit_returns.add,
            services.receipt_recovery.run,
            seconds=_UPKEEP_SECONDS,
            failure="The upkeep of what is kept failed",
        )
        self._alerts = Periodic(
            services.billing.alert_messages.add,
            seconds=_ALERT_SECONDS,
            failure="Alerts can't be told to webhooks; trying again",
        )
        self._checkpoints = Periodic(
            services.audit.checkpoints.make_if_due,
            seconds=_CHECKPOINT_SECONDS,
            failure="A checkpoint of the audit log can't be made; trying again",
        )
        self._background_tasks: list[asyncio.Task[None]] = []
        self._internal: asyncio.Server | None = None
        """Serves the processes of applications where nothing else does on this machine without TLS."""
        self._draining: asyncio.Task[None] | None = None
        self._are_tasks_cancelled = False
        self._stopping = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        _spare_tracking_of_generators()
        self._services.billing.ledger_writer.start()
        self._services.billing.reservations.start()
        self._background_tasks = [
            asyncio.create_task(run(), name=name) for name, run in self._background_work().items()
        ]
        head = self._services.cluster_head.run() if self._role.answers_callers else asyncio.sleep(0)
        self._cluster = asyncio.create_task(head, name="nodes")
        self._cluster.add_done_callback(_log_error)
        supervising = asyncio.create_task(self._supervise(sockets or []), name="apps")
        supervising.add_done_callback(_log_error)
        for task in self._background_tasks:
            task.add_done_callback(_log_error)
        try:
            await super().serve(sockets)
        finally:
            self._stop_background_tasks()
            supervising.cancel()
            self._cluster.cancel()  # Its connections stay: replicas on nodes are drained by the pool.
            await asyncio.wait([*self._background_tasks, supervising, self._cluster])
            await self._services.supervisor.close()
            await self._services.pipeline.shadows.close()
            await self._services.limits.finish()
            await self._evidence.run_once()  # With the evidence of the last call.
            await self._services.provider_clients.close()
            await asyncio.to_thread(self._services.answer_sink.close)
            if self._services.tracing is not None:
                await asyncio.to_thread(self._services.tracing.close)
            await asyncio.to_thread(self._services.billing.ledger_writer.close)
            await asyncio.to_thread(self._services.billing.reservations.close)
            await asyncio.to_thread(self._services.audit.recorder.close)
            self._services.log.close()

    def _background_work(self) -> dict[str, Callable[[], Coroutine[Any, Any, None]]]:
        """Return what runs beside the answers, by name."""
        work = {
            "deployments": self._services.reconciler.run,
            "evidence": self._evidence.run,
            "webhooks": self._webhooks.run,
            "exporters": self._exporters.run,
            "alerts": self._alerts.run,
            "upkeep": self._upkeep.run,
            "checkpoints": self._checkpoints.run,
        }
        if self._role.runs_jobs:
            work |= {"batches": self._batches.run, "jobs": self._jobs.run}
        if self._role.answers_callers:
            work |= {"releases": self._releases.run, "rollouts": self._rollouts.run}
        return work

    async def _supervise(self, sockets: Sequence[socket.socket]) -> None:
        """Run the deployed applications, which reach this server on this machine without TLS."""
        is_reachable = self.config.ssl is None and self._role.answers_callers
        endpoint = loopback_address(sockets) if is_reachable else None
        if endpoint is None:
            self._internal_config.load()
            internal = listen("127.0.0.1", 0)
            endpoint = loopback_address([internal])
            self._internal = await asyncio.get_running_loop().create_server(
                partial(self._protocol, self._internal_config), sock=internal
            )
        assert endpoint is not None, "the socket above has one"
        await self._services.supervisor.run(endpoint)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept connections. uvicorn's own gives a TLS handshake a minute, in which it counts for no limit."""
        seconds = None if self.config.ssl is None else self._limits.handshake_seconds
        loop = asyncio.get_running_loop()
        self.servers = [
            await loop.create_server(
                partial(self._protocol, self.config),
                sock=each,
                ssl=self.config.ssl,
                ssl_handshake_timeout=seconds,
                backlog=self.config.backlog,
            )
            for each in sockets or ()
        ]
        self.started = True

    def _protocol(self, config: uvicorn.Config) -> HttpProtocol:
        return HttpProtocol(limits=self._limits, config=config, server_state=self.server_state, app_state={})

    def drain(self) -> None:
        """Refuse new requests and stop after the last answer. Batches and jobs stop now and continue later."""
        self._services.readiness.is_draining = True
        self._stop_background_tasks()
        if not self._services.supervisor.has_processes:
            self.stop()
            return
        # Applications ask this server until their last run has ended.
        self._draining = asyncio.create_task(self._services.supervisor.drain(), name="drain the apps")
        self._draining.add_done_callback(lambda _: self.stop())

    def stop(self) -> None:
        """Stop after the last answer. Any thread may call this, also before the server has started."""
        self.should_exit = True
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._stopping.set)

    async def main_loop(self) -> None:
        while not await self.on_tick(0):  # Which renews the date.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_DATE_SECONDS):
                    await self._stopping.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        if self._internal is not None:
            self._internal.close()
        for listener in sockets or []:
            listener.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        while self.server_state.connections or self.server_state.tasks:
            await asyncio.sleep(_CLOSING_SECONDS)

    @property
    def is_draining(self) -> bool:
        return self.should_exit or self._services.readiness.is_draining

    def _stop_background_tasks(self) -> None:
        self._services.jobs.close()
        if self._are_tasks_cancelled:
            return  # Another time would interrupt what they do to end.
        self._are_tasks_cancelled = True
        for task in self._background_tasks:
            task.cancel()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _serve(
    services: Services,
    loadables: Sequence[Loadable],
    listener: socket.socket,
    tls: Tls | None,
    mounts: Sequence[Mount],
    role: ServerRole,
) -> Literal["finished", "cut short"]:
    server = Server(create_app(services, mounts), services, tls, role)
    # Deployments are in place before the first request.
    await services.reconciler.reconcile()
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    loading = asyncio.create_task(_load(services, loadables, server))

    def on_signal() -> None:
        if server.is_draining:
            serving.cancel()
        else:
            server.drain()
            services.log.print("Shutting down after running requests finish. Press Ctrl-C again to stop now.")

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, on_signal)
    if tls is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, _reload, tls, services)
    _print_address(services, listener, tls, role)
    await asyncio.wait([serving])
    loading.cancel()
    await services.pool.close(drain=not serving.cancelled())
    if services.ray_leases is not None:
        await services.ray_leases.close()
    await services.cluster_head.close()
    if serving.cancelled():
        return "cut short"
    await serving
    with contextlib.suppress(asyncio.CancelledError):
        await loading  # Raises the error of a model that could not be loaded.
    return "finished"


async def _load(services: Services, loadables: Sequence[Loadable], server: Server) -> None:
    """Load the models one after another. The server stops if one of them can't be loaded."""
    for loadable in loadables:
        version = loadable.version
        services.log.print(f"Loading {version.ref} …")
        began = time.perf_counter()
        try:
            await services.pipeline.load(version.ref, owner(), wait=True)
        except LLMOSError as error:
            server.drain()
            raise type(error)(f"{version.ref} can't be loaded: {error.message}", param=error.param) from error
        services.log.print(f"Loaded {version.ref} in {time.perf_counter() - began:.1f} s.")
    _spare_garbage_collection()
    services.log.print("Ready. Press Ctrl-C to stop.")


def _spare_garbage_collection() -> None:
    """Let collections pass over what the server keeps for as long as it runs, and come less often.

    A request leaves a few hundred objects behind, nearly all without cycles.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GARBAGE_THRESHOLDS)
    with contextlib.suppress(OSError, AttributeError):  # Only glibc has it.
        ctypes.CDLL(None).malloc_trim(0)


def _spare_tracking_of_generators() -> None:
    """Let the running loop keep no list of the asynchronous generators that have begun: every call has a dozen.

    The list is for those that are still open when the loop ends, and whoever opens one here closes it.
    """
    sys.set_asyncgen_hooks(firstiter=None)


def _share_arenas() -> None:
    """Let all threads share few areas of memory. By default each of many threads has one, which is never given back."""
    with contextlib.suppress(OSError, AttributeError):  # Only glibc has it.
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, _NUM_ARENAS)


def _log_error(task: "asyncio.Task[None]") -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.error("The background task for %s has stopped", task.get_name(), exc_info=error)


def _reload(tls: Tls, services: Services) -> None:
    try:
        found = tls.reload()
    except LLMOSError as error:
        services.log.print(f"The certificate is not reloaded; the one before stays in use. {error.message}")
    else:
        services.log.print(f"Reloaded the certificate. {_described(found)}")


def _described(certificate: Certificate) -> str:
    return f"It expires on {certificate.expires_at:%Y-%m-%d}. SHA-256 {certificate.fingerprint}"


def _print_address(services: Services, listener: socket.socket, tls: Tls | None, role: ServerRole) -> None:
    host, port = listener.getsockname()[:2]
    # The server listens on every address; print one that a program on this machine can use.
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    key_path = shlex.quote(str(services.settings.owner_key_path))
    scheme, curl = "http" if tls is None else "https", "curl"
    url = f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
    if not role.answers_callers:
        services.log.print(f"The worker's health: {url}/health/ready")
        return
    services.log.print(f"LLMOS is listening on {url}; the API key is in {key_path}.")
    if tls is not None:
        services.log.print(f"The certificate is in {tls.certificate_path}. {_described(tls.certificate)}")
        if tls.is_self_signed:
            curl += f" --cacert {shlex.quote(str(tls.certificate_path))}"
    if url != DEFAULT_ENDPOINT:
        services.log.print(f"The CLI and clients on this machine need: export LLMOS_ENDPOINT={url}")
    services.log.print(f"""Try:\n\n{curl} {url}/v1/chat/completions -H "Authorization: Bearer $(cat {key_path})" \\
  -d '{{"model": "{DEFAULT_ROUTE}", "messages": [{{"role": "user", "content": "Hello!"}}]}}'\n""")
