"""The requests of routes, rollouts, providers and deployments."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, TypedDict
from urllib.parse import quote, urlencode

from llmos.client.answers import DeploymentInfo, RouteInfo
from llmos.client.call import Call, json_object, read_as, read_each, read_nothing, read_one
from llmos.client.call_settings import given_settings, instant
from llmos.core.schemas.deployments import DeploymentEventDescription
from llmos.core.schemas.nodes import NodeDescription, NodeTokenDescription
from llmos.core.schemas.provider_costs import ProviderCallPage, ProviderCostReport, ProviderPriceDescription
from llmos.core.schemas.providers import ProviderDescription, ProviderModels
from llmos.core.schemas.rollouts import RolloutDescription, RolloutEventDescription
from llmos.core.schemas.routes import RouteEvidence, RouteMove

# Routes


class RouteSettings(TypedDict, total=False):
    """The settings of a Route besides its targets. One that is left out gets its default."""

    fallbacks: Sequence[str]
    """Tried in this order when a target fails before its first token."""
    shadow: Mapping[str, Any]
    """{"target", "percent"}: also runs a share of the calls, to compare."""
    sticky: Literal["user", "caller", "none"]
    """Calls with the same `user`, or of the same caller, always go to the same target."""
    timeout_seconds: float
    """The limit for the first token, or for a whole answer that isn't streamed."""
    cache: bool
    """Give the same answer again to the same request of a project: at temperature 0, or with a seed."""
    reason: str
    """The reason, for the history."""


def list_routes() -> Call[list[RouteInfo]]:
    return Call(method="GET", path="/llmos/v1/routes", read=read_each(RouteInfo))


def get_route(name: str) -> Call[RouteInfo]:
    return Call(method="GET", path=_route_path(name), read=read_one(RouteInfo))


def set_route(name: str, target: str | Mapping[str, float], settings: RouteSettings) -> Call[RouteInfo]:
    fields = given_settings(settings, RouteSettings, "a route")
    targets = {"target": target} if isinstance(target, str) else {"targets": _weights(target)}
    return Call(method="PUT", path=_route_path(name), body={**targets, **fields}, read=read_one(RouteInfo))


def set_weights(name: str, percent_of: Mapping[str, float], reason: str) -> Call[RouteInfo]:
    body = {"targets": _weights(percent_of), "reason": reason}
    return Call(method="PUT", path=f"{_route_path(name)}/weights", body=body, read=read_one(RouteInfo))


def route_history(name: str) -> Call[list[RouteMove]]:
    return Call(method="GET", path=f"{_route_path(name)}/history", read=read_each(RouteMove))


def route_evidence(name: str) -> Call[RouteEvidence]:
    return Call(method="GET", path=f"{_route_path(name)}/evidence", read=read_one(RouteEvidence))


def remove_route(name: str) -> Call[None]:
    return Call(method="DELETE", path=_route_path(name), read=read_nothing)


def _route_path(name: str) -> str:
    return f"/llmos/v1/routes/{quote(name, safe='')}"


def _weights(percent_of: Mapping[str, float]) -> list[dict[str, Any]]:
    return [{"target": target, "percent": percent} for target, percent in percent_of.items()]


# Rollouts


class RolloutSettings(TypedDict, total=False):
    """The settings of a Rollout. One that is left out gets the server's default."""

    steps: Sequence[float]
    """Percents of the calls, rising to 100."""
    gate: str
    """The condition of each step, such as "error_rate <= 1% and p95_first_token <= 1.5x"."""
    min_calls: int
    """The calls that each step needs before it is judged."""
    max_hold_seconds: int
    """A step that can't be judged within this time is rolled back."""
    cases: Sequence[Mapping[str, Any]]
    """Prompts with what a right answer contains, for the gate's score."""
    force: bool
    """Promote it even if its card fails a limit."""


def promote(version: str, route: str, settings: RolloutSettings) -> Call[RolloutDescription]:
    body = {"version": version, "route": route, **given_settings(settings, RolloutSettings, "a rollout")}
    return Call(method="POST", path="/llmos/v1/rollouts", body=body, read=read_one(RolloutDescription))


def list_rollouts(route: str | None) -> Call[list[RolloutDescription]]:
    query = "" if route is None else f"?route={quote(route, safe='')}"
    return Call(method="GET", path=f"/llmos/v1/rollouts{query}", read=read_each(RolloutDescription))


def get_rollout(id: int) -> Call[RolloutDescription]:
    return Call(method="GET", path=f"/llmos/v1/rollouts/{id}", read=read_one(RolloutDescription))


def rollout_history(id: int) -> Call[list[RolloutEventDescription]]:
    return Call(method="GET", path=f"/llmos/v1/rollouts/{id}/history", read=read_each(RolloutEventDescription))


def roll_back(route: str) -> Call[RolloutDescription]:
    return Call(method="DELETE", path=f"{_route_path(route)}/rollout", read=read_one(RolloutDescription))


# Providers


def list_providers() -> Call[list[ProviderDescription]]:
    return Call(method="GET", path="/llmos/v1/providers", read=read_each(ProviderDescription))


def add_provider(
    name: str, kind: str, base_url: str, key: str | None, text_input: str | None, text_output: str | None
) -> Call[ProviderDescription]:
    more = {"key": key, "text_input": text_input, "text_output": text_output}
    body = {"kind": kind, "base_url": base_url} | {field: value for field, value in more.items() if value is not None}
    return Call(method="PUT", path=_provider_path(name), body=body, read=read_one(ProviderDescription))


def provider_models(name: str) -> Call[list[str]]:
    def read(body: Any) -> list[str]:
        return read_as(ProviderModels, json_object(body)).models

    return Call(method="GET", path=f"{_provider_path(name)}/models", read=read)


def set_provider_prices(name: str, document: Mapping[str, Any]) -> Call[ProviderPriceDescription]:
    path = f"{_provider_path(name)}/prices"
    return Call(method="POST", path=path, body=dict(document), read=read_one(ProviderPriceDescription))


def provider_prices(name: str) -> Call[list[ProviderPriceDescription]]:
    return Call(method="GET", path=f"{_provider_path(name)}/prices", read=read_each(ProviderPriceDescription))


def provider_costs(provider: str | None, start: datetime | None, end: datetime | None) -> Call[ProviderCostReport]:
    given = {} if provider is None else {"provider": provider}
    given |= {name: instant(each) for name, each in (("from", start), ("to", end)) if each is not None}
    path = f"/llmos/v1/provider-costs?{urlencode(given)}"
    return Call(method="GET", path=path, read=read_one(ProviderCostReport))


def provider_calls(provider: str | None, difference: str | None, limit: int) -> Call[ProviderCallPage]:
    given = {"provider": provider, "difference": difference, "limit": str(limit)}
    query = urlencode({name: each for name, each in given.items() if each is not None})
    return Call(method="GET", path=f"/llmos/v1/provider-costs/calls?{query}", read=read_one(ProviderCallPage))


def remove_provider(name: str) -> Call[None]:
    return Call(method="DELETE", path=_provider_path(name), read=read_nothing)


def _provider_path(name: str) -> str:
    return f"/llmos/v1/providers/{quote(name, safe='')}"


# Deployments


class DeploymentSettings(TypedDict, total=False):
    """The settings of a Deployment. A setting that is left out gets the server's default."""

    replicas: int
    """A fixed number; or use min_replicas and max_replicas."""
    min_replicas: int
    max_replicas: int
    idle_seconds: int
    """Unload it after this long without a request."""
    keep_warm: bool
    """Never unload it."""
    options: dict[str, Any]
    """Engine options that differ from the server's."""
    placement: str | None
    """The machines that its replicas run on: None for the server's machine, `nodes` for any node, the name of a node,
    LABEL=VALUE, or the nodes that its layers are split over: `split`, or a:0-9,b:10-19, with a ! behind it also where
    one node has room for the model."""
    force: bool
    """Deploy it even if its card fails a limit."""


def list_deployments() -> Call[list[DeploymentInfo]]:
    return Call(method="GET", path="/llmos/v1/deployments", read=read_each(DeploymentInfo))


def get_deployment(name: str) -> Call[DeploymentInfo]:
    return Call(method="GET", path=_deployment_path(name), read=read_one(DeploymentInfo))


def deploy(name: str, settings: DeploymentSettings) -> Call[DeploymentInfo]:
    return Call(method="PUT", path=_deployment_path(name), body=dict(settings), read=read_one(DeploymentInfo))


def change_deployment(
    name: str, verb: Literal["scale", "sleep", "wake"], body: Mapping[str, Any] | None = None
) -> Call[DeploymentInfo]:
    return Call(method="POST", path=f"{_deployment_path(name)}/{verb}", body=body or {}, read=read_one(DeploymentInfo))


def remove_deployment(name: str) -> Call[None]:
    return Call(method="DELETE", path=_deployment_path(name), read=read_nothing)


def deployment_history(name: str) -> Call[list[DeploymentEventDescription]]:
    return Call(method="GET", path=f"{_deployment_path(name)}/history", read=read_each(DeploymentEventDescription))


def _deployment_path(name: str) -> str:
    return f"/llmos/v1/deployments/{quote(name, safe='@:')}"


# Nodes


def list_nodes() -> Call[list[NodeDescription]]:
    return Call(method="GET", path="/llmos/v1/nodes", read=read_each(NodeDescription))


def create_node_token(minutes: int) -> Call[NodeTokenDescription]:
    body = {"minutes": minutes}
    return Call(method="POST", path="/llmos/v1/nodes/tokens", body=body, read=read_one(NodeTokenDescription))


def remove_node(name: str) -> Call[None]:
    return Call(method="DELETE", path=f"/llmos/v1/nodes/{quote(name, safe='')}", read=read_nothing)
