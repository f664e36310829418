"""Creates backends and pipelines from their collaborators."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from llmos.billing.limit_book import LimitBook
from llmos.billing.reservation_writer import ReservationWriter
from llmos.deployments.backend import Backends
from llmos.deployments.local_backend import LocalBackends
from llmos.deployments.replicas.pool import Pool
from llmos.deployments.rollouts.evidence import Evidence
from llmos.gateway.calls.admission import Admission
from llmos.gateway.calls.applications import Applications
from llmos.gateway.calls.attempt import Attempts
from llmos.gateway.calls.budget_stages import BudgetStages
from llmos.gateway.calls.call_counts import CallCounts
from llmos.gateway.calls.evidence_sink import EvidenceSink
from llmos.gateway.calls.guardrails import GuardrailStages
from llmos.gateway.calls.pipeline import Pipeline
from llmos.gateway.calls.record import Recorder, Sink
from llmos.gateway.calls.resolve import Resolver
from llmos.gateway.calls.response_cache import ResponseCache
from llmos.gateway.calls.shadows import Shadows
from llmos.gateway.calls.stages import Stages
from llmos.gateway.calls.surprise import SurpriseMeter
from llmos.models.registry import Registry
from llmos.security.guardrails.policies import GuardrailPolicies
from llmos.security.partitions import Partitions

if TYPE_CHECKING:
    from llmos.deployments.providers.clients import ProviderClients


def build_backends(
    pool: Pool,
    registry: Registry,
    clients: "ProviderClients",
    check_adapter: Callable[[str], None] = lambda ref: None,
) -> Backends:
    """Return the backends of this server: its own replicas, and providers. See LocalBackends for `check_adapter`."""
    # HTTP clients take long to import, and `llmos run` without a server needs none.
    from llmos.deployments.providers.backend import ProviderBackend

    local = LocalBackends(pool, registry, check_adapter)
    return Backends({"local": local.open, "provider": lambda model: ProviderBackend(model, clients)})


def build_pipeline(
    resolver: Resolver,
    pool: Pool,
    *,
    admission: Admission | None = None,
    counts: CallCounts | None = None,
    evidence: Evidence | None = None,
    sinks: Sequence[Sink] = (),
    stages: Stages | None = None,
    partitions: Partitions | None = None,
    cache: ResponseCache | None = None,
    guardrails: GuardrailPolicies | None = None,
    applications: Applications | None = None,
    limits: tuple[LimitBook, ReservationWriter] | None = None,
) -> Pipeline:
    """Return a pipeline. `sinks` receive records besides the call counts and the rollout evidence.

    `limits`: the budgets that its calls are held against, behind the holds of `stages` and before its filters.
    `guardrails`: the policies that screen its calls, behind the checks of `stages` and before its filters.
    """
    counts, evidence, stages = counts or CallCounts(), evidence or Evidence(), stages or Stages()
    recorder = Recorder([counts, EvidenceSink(evidence), *sinks])
    attempts = Attempts(admission or Admission(), recorder, partitions or Partitions(), cache)
    shadows = Shadows(attempts, recorder, evidence)
    if limits is not None:
        budgets = BudgetStages(*limits, attempts)
        holds, filters = (*stages.holds, budgets.hold), (budgets.filter, *stages.filters)
        stages = replace(stages, holds=holds, filters=filters)
    if guardrails is not None:
        screen = GuardrailStages(guardrails, SurpriseMeter(resolver, attempts, recorder))
        checks, filters = (*stages.checks, screen.check), (screen.filter, *stages.filters)
        stages = replace(stages, checks=checks, filters=filters)
    return Pipeline(
        resolver,
        attempts,
        recorder,
        counts=counts,
        shadows=shadows,
        replicas=pool,
        stages=stages,
        applications=applications,
    )
