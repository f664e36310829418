"""The HTTP server of the gateway, and what works in its background."""

import asyncio
import logging
import socket
import sys
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any

from fastapi import FastAPI

from llmos.data.sweep import Sweep
from llmos.deployments.rollouts.kept_evidence import KeptEvidence
from llmos.gateway.hosted_apps.release_runner import ReleaseRunner
from llmos.gateway.hosted_apps.retention import AppRetention
from llmos.gateway.http.connection_limits import ConnectionLimits
from llmos.gateway.http.health_only import HealthOnly
from llmos.gateway.http_server import HttpServer, http_config
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
from llmos.gateway.listening import listen, loopback_address
from llmos.gateway.role import ServerRole
from llmos.gateway.services import Services
from llmos.gateway.tls import Tls

_log = logging.getLogger(__name__)


_WORKER_REFUSAL = "This is a worker: it runs batches and jobs. Send requests to a server: llmos serve"

_EVIDENCE_SECONDS = 1.0
"""The evidence of so many seconds is lost if a server is killed."""

_ALERT_SECONDS = 2.0
_CHECKPOINT_SECONDS = 30.0
"""The server looks this often whether a checkpoint of the audit log is due."""

_UPKEEP_SECONDS = 600.0
"""The interval of upkeep: encrypting data of an earlier version, ending rotations, and deleting old data."""


class Server(HttpServer):
    """The HTTP server of the gateway, with what works beside the answers."""

    def __init__(
        self, app: FastAPI, services: Services, tls: Tls | None = None, role: ServerRole | None = None
    ) -> None:
        self._role = role or ServerRole()
        limits = ConnectionLimits(max_connections=services.settings.max_connections)
        super().__init__(app if self._role.answers_callers else HealthOnly(app, _WORKER_REFUSAL), tls, limits)
        self._internal_config = http_config(app, limits=limits)
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

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
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
                partial(self.protocol, self._internal_config), sock=internal
            )
        assert endpoint is not None, "the socket above has one"
        await self._services.supervisor.run(endpoint)

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

    @property
    def is_draining(self) -> bool:
        return self.should_exit or self._services.readiness.is_draining

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self._internal is not None:
            self._internal.close()
        await super().shutdown(sockets)

    def _stop_background_tasks(self) -> None:
        self._services.jobs.close()
        if self._are_tasks_cancelled:
            return  # Another time would interrupt what they do to end.
        self._are_tasks_cancelled = True
        for task in self._background_tasks:
            task.cancel()


def _spare_tracking_of_generators() -> None:
    """Let the running loop keep no list of the asynchronous generators that have begun: every call has a dozen.

    The list is for those that are still open when the loop ends, and whoever opens one here closes it.
    """
    sys.set_asyncgen_hooks(firstiter=None)


def _log_error(task: "asyncio.Task[None]") -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.error("The background task for %s has stopped", task.get_name(), exc_info=error)
