"""The descriptions of what deployments/ keeps: Routes, Deployments, Rollouts, providers."""

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec

from llmos.core.errors import LLMOSError
from llmos.core.schemas.deployments import (
    DeploymentDescription,
    DeploymentEventDescription,
    DeploymentSpec,
    ReplicaDescription,
    ReplicaLoad,
    ReplicaReady,
)
from llmos.core.schemas.models import VersionDetails
from llmos.core.schemas.providers import ProviderDescription
from llmos.core.schemas.rollouts import RolloutDescription, RolloutEventDescription
from llmos.core.schemas.routes import (
    RouteDescription,
    RouteEvidence,
    RouteMove,
    RouteTarget,
)

if TYPE_CHECKING:
    from llmos.deployments.desired.deployment import Deployment, DeploymentEvent
    from llmos.deployments.providers.provider_model import Provider
    from llmos.deployments.replicas.status import VersionStatus
    from llmos.deployments.rollouts.evidence import Evidence
    from llmos.deployments.rollouts.rollout import Rollout, RolloutEvent
    from llmos.deployments.routing.route import Move, Route
    from llmos.deployments.routing.routes import Routes
    from llmos.deployments.served_model import ServedModel


def describe_route(routes: "Routes", route: "Route") -> RouteDescription:
    resolved = routes.resolve(route.name).targets
    missing = [target for target, found in resolved.items() if isinstance(found, LLMOSError)]
    main = resolved[route.target]
    shadow = None if route.shadow is None else RouteTarget(target=route.shadow.target, percent=route.shadow.percent)
    return RouteDescription(
        name=route.name,
        target=route.target,
        version=None if isinstance(main, LLMOSError) else main.served.ref,
        missing=missing,
        targets=[RouteTarget(target=target, percent=percent) for target, percent in route.percent_of.items()],
        fallbacks=list(route.fallbacks),
        shadow=shadow,
        sticky=route.sticky,
        timeout_seconds=route.timeout_seconds,
        cache=route.cache,
        updated_at=route.updated_at,
    )


def describe_move(move: "Move") -> RouteMove:
    def plain(settings: Mapping[str, Any] | None) -> dict[str, Any] | None:
        return None if settings is None else dict(settings)

    return RouteMove(
        moved_at=move.moved_at,
        moved_by=move.moved_by,
        reason=move.reason,
        before=plain(move.before),
        after=plain(move.after),
    )


def describe_evidence(evidence: "Evidence", route: "Route", since: datetime | None) -> RouteEvidence:
    """Describe what became of a Route's calls. `since`: only calls after this instant."""
    targets = dict.fromkeys([*route.percent_of, *route.fallbacks])
    return RouteEvidence(
        targets=[evidence.window(route.name, target, since) for target in targets],
        shadow=None if route.shadow is None else evidence.agreement(route.name, route.shadow.target, since),
    )


def describe_spec(deployment: "Deployment") -> DeploymentSpec:
    return DeploymentSpec(
        version=deployment.ref,
        min_replicas=deployment.min_replicas,
        max_replicas=deployment.max_replicas,
        runner=deployment.runner,
        options=dict(deployment.options),
        placement=deployment.placement,
        idle_seconds=deployment.idle_seconds,
        keep_warm=deployment.keep_warm,
        forced=deployment.forced,
        asleep=deployment.asleep,
        created_at=deployment.created_at,
        updated_at=deployment.updated_at,
    )


def describe_deployment(
    version: str, deployment: "Deployment | None", status: "VersionStatus | None", problem: str | None = None
) -> DeploymentDescription:
    """Describe a Version that is deployed, runs, or both.

    deployment: None if it was loaded on demand. status: None if no server is known to run it.
    problem: why the server can't do what is wanted.
    """
    state = _state(deployment, status)
    num_ready, num_wanted = (status.num_ready, status.num_wanted) if status else (0, 0)
    if deployment is not None and not deployment.asleep:
        num_wanted = max(num_wanted, deployment.min_replicas)
    described = DeploymentDescription(
        version=version,
        state=state,
        reason=problem or _reason(version, state, status, num_ready, num_wanted),
        replicas_ready=num_ready,
        replicas_wanted=num_wanted,
        wanted=None if deployment is None else describe_spec(deployment),
    )
    return described if status is None else msgspec.structs.replace(described, **_running(status))


def _state(deployment: "Deployment | None", status: "VersionStatus | None") -> str:
    state: str = status.state if status else "stopped"
    is_asleep = deployment is not None and deployment.asleep and state in ("stopped", "failed", "pending")
    return "asleep" if is_asleep else state


def _running(status: "VersionStatus") -> dict[str, Any]:
    """Return the fields that only a server that runs the Version knows."""
    return {
        "replicas": [msgspec.convert(each, ReplicaDescription, from_attributes=True) for each in status.replicas],
        "percent_loaded": status.percent_loaded,
        "seconds_left": status.seconds_left,
        "pid": status.pid,
        "restarts": status.restarts,
        "since": status.since,
        "error": status.error,
        "load": msgspec.convert(status.load, ReplicaLoad | None, from_attributes=True),
        "ready": msgspec.convert(status.ready, ReplicaReady | None, from_attributes=True),
    }


def _reason(version: str, state: str, status: "VersionStatus | None", num_ready: int, num_wanted: int) -> str | None:
    reasons = {
        "loading": f"{version} is being loaded.",
        "stuck": f"{version} doesn't respond. If this goes on, it is restarted.",
        "pending": f"{version} waits for a node with room.",
        "failed": f"{version} can't be loaded.",
        "stopped": f"{version} isn't running.",
        "asleep": f"{version} is asleep; the next request wakes it.",
    }
    reason = reasons.get(state)
    if reason is None and num_ready < num_wanted:
        reason = f"{num_ready} of {num_wanted} replicas are ready."
    return " ".join(filter(None, (reason, status.error if status else None))) or None


def describe_deployment_event(event: "DeploymentEvent") -> DeploymentEventDescription:
    return DeploymentEventDescription(
        at=event.at, kind=event.kind, actor=event.actor, reason=event.reason, data=dict(event.data)
    )


def describe_rollout(rollout: "Rollout") -> RolloutDescription:
    return RolloutDescription(
        id=rollout.id,
        route=rollout.route,
        version=rollout.target,
        state=rollout.state,
        percent=rollout.percent,
        step=rollout.step,
        steps=list(rollout.steps),
        gate=rollout.gate,
        min_calls=rollout.min_calls,
        max_hold_seconds=rollout.max_hold_seconds,
        num_cases=len(rollout.cases),
        before=dict(rollout.before),
        baseline=dict(rollout.baseline),
        scores=dict(rollout.scores),
        reason=rollout.reason,
        begun_by=rollout.begun_by,
        step_began_at=rollout.step_began_at,
        created_at=rollout.created_at,
        ended_at=rollout.ended_at,
    )


def describe_rollout_event(event: "RolloutEvent") -> RolloutEventDescription:
    return RolloutEventDescription(
        at=event.at, kind=event.kind, actor=event.actor, reason=event.reason, data=dict(event.data)
    )


def describe_provider(provider: "Provider") -> ProviderDescription:
    return ProviderDescription(
        name=provider.name,
        kind=provider.kind,
        base_url=provider.base_url,
        text_input=provider.text_input,
        text_output=provider.text_output,
        has_key=provider.has_key,
        created_at=provider.created_at,
        updated_at=provider.updated_at,
    )


def describe_remote_model(name: str, model: "ServedModel") -> VersionDetails:
    """Describe a model that a provider runs: little is known about it. `name`: the name that was asked for."""
    return VersionDetails(
        name=name,
        version=model.ref,
        family="remote",
        task="generate",
        format="remote",
        source=model.source,
        created_at=model.created_at,
    )
