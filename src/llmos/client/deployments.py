"""Routes, providers, rollouts and deployments, with blocking calls."""

import builtins
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Unpack

from llmos.client import deployment_calls as calls
from llmos.client.answers import DeploymentInfo, RouteInfo
from llmos.client.control import Noun
from llmos.client.deployment_calls import DeploymentSettings, RolloutSettings, RouteSettings
from llmos.core.schemas.deployments import DeploymentEventDescription
from llmos.core.schemas.nodes import NodeDescription, NodeTokenDescription
from llmos.core.schemas.provider_costs import ProviderCallPage, ProviderCostReport, ProviderPriceDescription
from llmos.core.schemas.providers import ProviderDescription
from llmos.core.schemas.rollouts import RolloutDescription, RolloutEventDescription
from llmos.core.schemas.routes import RouteEvidence, RouteMove


class Routes(Noun):
    """The names that callers ask for."""

    def list(self) -> builtins.list[RouteInfo]:
        return self._client._request(calls.list_routes())

    def get(self, name: str) -> RouteInfo:
        """Raises NotFound, with the nearest names, for an unknown Route."""
        return self._client._request(calls.get_route(name))

    def set(self, name: str, target: str | Mapping[str, float], **settings: Unpack[RouteSettings]) -> RouteInfo:
        """Create or replace a Route with one target, or with several and the percent of the calls that each gets.

        A target is a model on the server, or remote:PROVIDER/MODEL; `settings` are those of `RouteSettings`.
        Raises ModelNotFound for an unknown target.
        """
        return self._client._request(calls.set_route(name, target, settings))

    def set_weights(self, name: str, percent_of: Mapping[str, float], *, reason: str) -> RouteInfo:
        """Replace the targets of a Route and their shares, all at once; its other settings stay."""
        return self._client._request(calls.set_weights(name, percent_of, reason))

    def history(self, name: str) -> Sequence[RouteMove]:
        """Return the Route's changes, newest first: when, who, why, before and after."""
        return self._client._request(calls.route_history(name))

    def evidence(self, name: str) -> RouteEvidence:
        """Return the outcomes of the Route's calls by target, as far as the server remembers."""
        return self._client._request(calls.route_evidence(name))

    def remove(self, name: str) -> None:
        """Raises NotFound, with the nearest names, for an unknown Route."""
        self._client._request(calls.remove_route(name))


class Providers(Noun):
    """Services that run models elsewhere."""

    def list(self) -> Sequence[ProviderDescription]:
        return self._client._request(calls.list_providers())

    def add(
        self,
        name: str,
        *,
        base_url: str,
        kind: str = "openai",
        key: str | None = None,
        text_input: str | None = None,
        text_output: str | None = None,
    ) -> ProviderDescription:
        """Add or change a provider; remote:NAME/MODEL is then a target of Routes.

        `kind`: openai, anthropic or open-inference. `text_input`, `text_output`: for the last one, the tensors with the
        texts, where a model's description doesn't show them. The key is stored encrypted and never returned.
        """
        return self._client._request(calls.add_provider(name, kind, base_url, key, text_input, text_output))

    def set_prices(self, name: str, document: Mapping[str, Any]) -> ProviderPriceDescription:
        """Add a version of what a provider asks: an object with currency, prices and, if later, from."""
        return self._client._request(calls.set_provider_prices(name, document))

    def prices(self, name: str) -> Sequence[ProviderPriceDescription]:
        """Return the versions of what a provider asks, newest first."""
        return self._client._request(calls.provider_prices(name))

    def costs(
        self, provider: str | None = None, *, start: datetime | None = None, end: datetime | None = None
    ) -> ProviderCostReport:
        """Return what calls cost at providers, by model.

        start, end: the time, widened to whole hours; by default the last thirty days.
        """
        return self._client._request(calls.provider_costs(provider, start, end))

    def calls(self, provider: str | None = None, *, difference: str | None = None, limit: int = 50) -> ProviderCallPage:
        """Return single calls at providers, newest first. difference: what their provider can't have counted right,
        unreported, input, output or cost, or any of these."""
        return self._client._request(calls.provider_calls(provider, difference, limit))

    def models(self, name: str) -> Sequence[str]:
        """Return the models of the provider. Raises an error if it can't be reached or rejects the key."""
        return self._client._request(calls.provider_models(name))

    def remove(self, name: str) -> None:
        """Raises Conflict while a Route leads to it."""
        self._client._request(calls.remove_provider(name))


class Rollouts(Noun):
    """Versions that take over Routes step by step."""

    def promote(self, version: str, route: str, **settings: Unpack[RolloutSettings]) -> RolloutDescription:
        """Start to replace the targets of a Route by a Version, in steps. Returns at once; the server carries it out.

        `settings` are those of `RolloutSettings`. Raises Conflict if the Route has a running Rollout, or if the
        Version's card fails the project's limits.
        """
        return self._client._request(calls.promote(version, route, settings))

    def list(self, route: str | None = None) -> Sequence[RolloutDescription]:
        """Return the Rollouts, newest first."""
        return self._client._request(calls.list_rollouts(route))

    def get(self, id: int) -> RolloutDescription:
        return self._client._request(calls.get_rollout(id))

    def history(self, id: int) -> Sequence[RolloutEventDescription]:
        """Return the events of a Rollout, oldest first, with the numbers that decided."""
        return self._client._request(calls.rollout_history(id))

    def roll_back(self, route: str) -> RolloutDescription:
        """Undo the running or last Rollout of a Route at once. Raises Conflict if there is none to undo."""
        return self._client._request(calls.roll_back(route))


class Deployments(Noun):
    """Versions that are deployed or running. `name` is a Version, a Route or a model."""

    def list(self) -> builtins.list[DeploymentInfo]:
        """Return the Versions that are deployed, and the others that the server runs."""
        return self._client._request(calls.list_deployments())

    def get(self, name: str) -> DeploymentInfo:
        return self._client._request(calls.get_deployment(name))

    def deploy(self, name: str, **settings: Unpack[DeploymentSettings]) -> DeploymentInfo:
        """Keep a Version running on the server. Replaces the settings of an earlier deployment.

        `settings` are those of `DeploymentSettings`. Raises BadRequest for settings that contradict each other, and
        Conflict if the Version's card fails the project's limits.
        """
        return self._client._request(calls.deploy(name, settings))

    def scale(
        self,
        name: str,
        *,
        replicas: int | None = None,
        min_replicas: int | None = None,
        max_replicas: int | None = None,
    ) -> DeploymentInfo:
        """Change the number of replicas. Raises NotFound if the Version isn't deployed."""
        limits = {"replicas": replicas, "min_replicas": min_replicas, "max_replicas": max_replicas}
        return self._client._request(calls.change_deployment(name, "scale", limits))

    def stop(self, name: str) -> DeploymentInfo:
        """Unload a Version after its running requests finish; the next request loads it again.

        Returns at once if it is deployed, otherwise when its process has ended. Raises NotFound if it doesn't run, and
        Conflict if it is deployed with keep_warm.
        """
        return self._client._request(calls.change_deployment(name, "sleep"))

    def wake(self, name: str) -> DeploymentInfo:
        """Load a Version that is asleep. Raises NotFound if it isn't deployed."""
        return self._client._request(calls.change_deployment(name, "wake"))

    def remove(self, name: str) -> None:
        """Undeploy a Version, and stop it after its running requests finish."""
        self._client._request(calls.remove_deployment(name))

    def history(self, name: str) -> builtins.list[DeploymentEventDescription]:
        """Return the events of a deployment, oldest first."""
        return self._client._request(calls.deployment_history(name))


class Nodes(Noun):
    """The machines that run replicas for the server."""

    def list(self) -> builtins.list[NodeDescription]:
        return self._client._request(calls.list_nodes())

    def create_token(self, *, minutes: int = 15) -> NodeTokenDescription:
        """Return a token that one node may join with, once, and the command that does."""
        return self._client._request(calls.create_node_token(minutes))

    def remove(self, name: str) -> None:
        """Remove a node after its replicas have finished their running requests."""
        self._client._request(calls.remove_node(name))
