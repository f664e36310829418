"""Ports of routes, providers, rollouts, deployments, nodes and the log of their server."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from llmos.core.schemas.deployments import DeploymentDescription, DeploymentEventDescription
from llmos.core.schemas.logs import LogPage
from llmos.core.schemas.nodes import NodeDescription, NodeTokenDescription
from llmos.core.schemas.provider_costs import (
    ProviderCallPage,
    ProviderCostReport,
    ProviderPriceDescription,
)
from llmos.core.schemas.providers import ProviderDescription
from llmos.core.schemas.rollouts import RolloutDescription, RolloutEventDescription
from llmos.core.schemas.routes import RouteDescription, RouteEvidence, RouteMove

if TYPE_CHECKING:
    from typing import Unpack

    from llmos.client.deployment_calls import DeploymentSettings, RolloutSettings, RouteSettings


class RoutesPort(Protocol):
    def list(self) -> Sequence[RouteDescription]: ...
    def get(self, name: str) -> RouteDescription: ...
    def set(
        self, name: str, target: str | Mapping[str, float], **settings: "Unpack[RouteSettings]"
    ) -> RouteDescription: ...
    def set_weights(self, name: str, percent_of: Mapping[str, float], *, reason: str) -> RouteDescription: ...
    def history(self, name: str) -> Sequence[RouteMove]: ...
    def evidence(self, name: str) -> RouteEvidence | None:
        """Return None if no server that runs the Route answers."""

    def remove(self, name: str) -> None: ...


class ProvidersPort(Protocol):
    def list(self) -> Sequence[ProviderDescription]: ...
    def add(
        self,
        name: str,
        *,
        base_url: str,
        kind: str = "openai",
        key: str | None = None,
        text_input: str | None = None,
        text_output: str | None = None,
    ) -> ProviderDescription: ...
    def models(self, name: str) -> Sequence[str]: ...
    def set_prices(self, name: str, document: Mapping[str, Any]) -> ProviderPriceDescription: ...
    def prices(self, name: str) -> Sequence[ProviderPriceDescription]: ...
    def costs(
        self, provider: str | None = None, *, start: datetime | None = None, end: datetime | None = None
    ) -> ProviderCostReport: ...
    def calls(
        self, provider: str | None = None, *, difference: str | None = None, limit: int = 50
    ) -> ProviderCallPage: ...
    def remove(self, name: str) -> None: ...


class RolloutsPort(Protocol):
    def promote(self, version: str, route: str, **settings: "Unpack[RolloutSettings]") -> RolloutDescription: ...
    def list(self, route: str | None = None) -> Sequence[RolloutDescription]: ...
    def get(self, id: int) -> RolloutDescription: ...
    def history(self, id: int) -> Sequence[RolloutEventDescription]: ...
    def roll_back(self, route: str) -> RolloutDescription: ...


class DeploymentsPort(Protocol):
    def list(self) -> Sequence[DeploymentDescription]:
        """Return what is deployed."""

    def running(self) -> Sequence[DeploymentDescription]:
        """Return what a server runs or is to run. Raises ConnectionFailed if no server answers."""

    def deploy(self, name: str, **settings: "Unpack[DeploymentSettings]") -> DeploymentDescription: ...
    def scale(
        self,
        name: str,
        *,
        replicas: int | None = None,
        min_replicas: int | None = None,
        max_replicas: int | None = None,
    ) -> DeploymentDescription: ...
    def sleep(self, name: str) -> DeploymentDescription: ...
    def wake(self, name: str) -> DeploymentDescription: ...
    def stop(self, name: str) -> DeploymentDescription:
        """Unload what a server runs. Raises ConnectionFailed if no server answers."""

    def remove(self, name: str) -> str:
        """Undeploy a Version and return its reference."""

    def history(self, name: str) -> Sequence[DeploymentEventDescription]: ...


class NodesPort(Protocol):
    def list(self) -> Sequence[NodeDescription]: ...
    def create_token(self, *, minutes: int = 15) -> NodeTokenDescription: ...
    def remove(self, name: str) -> None: ...


class LogsPort(Protocol):
    def list(
        self,
        *,
        request: str | None = None,
        version: str | None = None,
        level: str | None = None,
        since: datetime | None = None,
        after: str | None = None,
        limit: int = 100,
    ) -> LogPage: ...
