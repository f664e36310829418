"""What the routes work with, put together once by server.py (or by a test)."""

from dataclasses import dataclass, field

from llmos.core.config import Settings
from llmos.data.batches import Batches
from llmos.data.files import Files
from llmos.data.responses import KeptResponses
from llmos.deployments.desired.deployments import Deployments
from llmos.deployments.desired.reconciler import Reconciler
from llmos.deployments.providers.providers import Providers
from llmos.deployments.providers.remotes import Remotes
from llmos.deployments.replicas.pool import Pool
from llmos.deployments.rollouts.evidence import Evidence
from llmos.deployments.rollouts.rollouts import Rollouts
from llmos.deployments.routing.routes import Routes
from llmos.gateway.calls.admission import Admission
from llmos.gateway.calls.resolve import Lookup
from llmos.gateway.calls.shadows import Shadows
from llmos.gateway.metrics import Metrics
from llmos.gateway.pulls import Pulls
from llmos.gateway.readiness import Readiness
from llmos.models.registry import Registry
from llmos.security.auth import OwnerKey


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
    remotes: Remotes
    owner_key: OwnerKey
    lookup: Lookup
    files: Files
    batches: Batches
    responses: KeptResponses
    evidence: Evidence = field(default_factory=Evidence)
    admission: Admission = field(default_factory=Admission)
    readiness: Readiness = field(default_factory=Readiness)
    metrics: Metrics = field(default_factory=Metrics)
    pulls: Pulls = field(default_factory=Pulls)
    shadows: Shadows = field(default_factory=Shadows)
