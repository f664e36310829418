"""Services: everything that endpoints work with, created once by server.py or by a test."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from starlette.requests import Request

from llmos.billing.services import BillingServices
from llmos.core.config import Settings
from llmos.core.encryption.encryption import Encryption
from llmos.core.jobs.jobs import Jobs
from llmos.core.webhooks.outbox import Outbox
from llmos.core.webhooks.webhooks import Webhooks
from llmos.data.services import DataServices
from llmos.deployments.cluster.head import ClusterHead
from llmos.deployments.cluster.nodes import Nodes
from llmos.deployments.desired.deployments import Deployments
from llmos.deployments.desired.reconciler import Reconciler
from llmos.deployments.providers.clients import ProviderClients
from llmos.deployments.providers.providers import Providers
from llmos.deployments.ray.leases import Leases
from llmos.deployments.releases.releases import AppReleases
from llmos.deployments.replicas.pool import Pool
from llmos.deployments.rollouts.evidence import Evidence
from llmos.deployments.rollouts.rollouts import Rollouts
from llmos.deployments.routing.routes import Routes
from llmos.gateway.calls.admission import Admission
from llmos.gateway.calls.answer_sink import AnswerSink
from llmos.gateway.calls.call_counts import CallCounts
from llmos.gateway.calls.limits_hold import LimitsHold
from llmos.gateway.calls.pipeline import Pipeline
from llmos.gateway.calls.resolve import Resolver
from llmos.gateway.calls.tracing_sink import TracingSink
from llmos.gateway.hosted_apps.backend import HostedApplications
from llmos.gateway.hosted_apps.supervisor import AppSupervisor
from llmos.gateway.jobs.following import AttachedJobs
from llmos.gateway.knowledge_search import KnowledgeSearch
from llmos.gateway.ledger_check import LedgerCheck
from llmos.gateway.log import Log, RequestLog
from llmos.gateway.metrics import Metrics
from llmos.gateway.question_reader import QuestionReader
from llmos.gateway.readiness import ModelReadiness, Readiness
from llmos.gateway.receipt_recovery import ReceiptRecovery
from llmos.models.registry import Registry
from llmos.security.audit.audit import Audit
from llmos.security.auth import OwnerKey
from llmos.security.guardrails.policies import GuardrailPolicies
from llmos.security.keys import Keys
from llmos.security.oidc.flow import OidcFlow
from llmos.security.projects import Projects
from llmos.security.receipts.receipts import Receipts
from llmos.security.signing_key import SigningKey
from llmos.security.users.sessions import Sessions
from llmos.security.users.sign_in import SignIn
from llmos.security.users.users import Users


@dataclass(frozen=True, kw_only=True, slots=True)
class Services:
    settings: Settings
    registry: Registry
    routes: Routes
    deployments: Deployments
    rollouts: Rollouts
    providers: Providers
    pool: Pool
    reconciler: Reconciler
    nodes: Nodes
    cluster_head: ClusterHead
    ray_leases: Leases | None
    """None if this server has no Ray."""
    provider_clients: ProviderClients
    owner_key: OwnerKey
    keys: Keys
    limits: LimitsHold
    signing_key: SigningKey
    audit: Audit
    receipts: Receipts
    data: DataServices
    billing: BillingServices
    answer_sink: AnswerSink
    tracing: TracingSink | None = None
    """None unless a collector gets traces."""
    ledger_check: LedgerCheck
    receipt_recovery: ReceiptRecovery
    projects: Projects
    users: Users
    sessions: Sessions
    sign_in: SignIn
    guardrails: GuardrailPolicies
    pipeline: Pipeline
    webhooks: Webhooks
    outbox: Outbox
    app_releases: AppReleases
    resolver: Resolver
    supervisor: AppSupervisor
    applications: HostedApplications
    encryption: Encryption
    jobs: Jobs
    attached_jobs: AttachedJobs
    oidc: OidcFlow | None = None
    """Sign-in through an OpenID provider; None without one."""
    evidence: Evidence = field(default_factory=Evidence)
    admission: Admission = field(default_factory=Admission)
    call_counts: CallCounts = field(default_factory=CallCounts)
    log: Log = field(default_factory=partial(Log, "off"))
    request_log: RequestLog = field(default_factory=lambda: RequestLog(Log("off")))
    readiness: Readiness = field(default_factory=Readiness)
    metrics: Metrics = field(default_factory=Metrics)
    question_reader: QuestionReader = field(default_factory=QuestionReader)

    @property
    def knowledge_search(self) -> KnowledgeSearch:
        return KnowledgeSearch(self.pipeline, self.registry, self.question_reader)

    async def model_readiness(self) -> Sequence[ModelReadiness]:
        """Return the readiness of each version that the server was started for. A removed one doesn't count."""
        models = self.readiness.models(self.pool.status())
        if not any(model.reason for model in models):
            return models

        def removed() -> set[str]:
            return {model.version for model in models if not self.registry.has(model.version)}

        # Another process may have removed it, so the database is asked, but only where a model can't answer.
        gone = await asyncio.to_thread(removed)
        return [model for model in models if model.version not in gone]


def services_of(request: Request) -> Services:
    """Return the services of the app that `request` was sent to."""
    services: Services = request.app.state.services
    return services
