"""Routes, providers, Rollouts, Deployments and jobs in this machine's database."""

import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

import msgspec

from llmos.core.errors import LLMOSError
from llmos.core.jobs.descriptions import describe_job
from llmos.core.schemas.deployments import DeploymentDescription, DeploymentEventDescription
from llmos.core.schemas.jobs import JobDescription
from llmos.core.schemas.provider_costs import ProviderCallPage, ProviderCostReport, ProviderPriceDescription
from llmos.core.schemas.providers import ProviderDescription
from llmos.core.schemas.rollouts import RolloutDescription, RolloutEventDescription
from llmos.core.schemas.routes import RouteDescription, RouteEvidence, RouteMove
from llmos.core.who import this_user
from llmos.deployments import descriptions as describe

if TYPE_CHECKING:
    from typing import Unpack

    from llmos.billing.purchases.books import ProviderPrices
    from llmos.billing.purchases.costs import ProviderCosts
    from llmos.cli.control.local import LocalControl
    from llmos.client.deployment_calls import DeploymentSettings, RolloutSettings, RouteSettings
    from llmos.core.jobs.jobs import Jobs
    from llmos.deployments.desired.deployment import Deployment
    from llmos.deployments.providers.providers import Providers
    from llmos.deployments.rollouts.rollouts import Rollouts
    from llmos.deployments.routing.route import Route

_FOLLOW_SECONDS = 0.25

_STATUS_SECONDS = 10
"""A server on this machine that says how its replicas are answers within this time."""


class LocalRoutes:
    def __init__(self, control: "LocalControl") -> None:
        self._control = control

    def list(self) -> Sequence[RouteDescription]:
        return [self._describe(route) for route in self._control.route_table.list()]

    def get(self, name: str) -> RouteDescription:
        return self._describe(self._control.route_table.get(name))

    def set(
        self, name: str, target: str | Mapping[str, float], **settings: "Unpack[RouteSettings]"
    ) -> RouteDescription:
        from llmos.deployments.routing.route import RouteSettings as Settings
        from llmos.deployments.routing.route import Shadow, parse_sticky

        shadow = settings.get("shadow")
        route = self._control.route_table.set(
            name,
            target,
            Settings(
                fallbacks=settings.get("fallbacks") or (),
                shadow=None if shadow is None else Shadow(shadow["target"], shadow["percent"]),
                sticky=parse_sticky(settings.get("sticky") or "user"),
                timeout_seconds=settings.get("timeout_seconds"),
                cache=settings.get("cache") or False,
            ),
            reason=settings.get("reason"),
            actor=this_user(),
        )
        return self._describe(route)

    def set_weights(self, name: str, percent_of: Mapping[str, float], *, reason: str) -> RouteDescription:
        return self._describe(self._control.route_table.set_weights(name, percent_of, reason, actor=this_user()))

    def history(self, name: str) -> Sequence[RouteMove]:
        return [describe.describe_move(move) for move in self._control.route_table.history(name)]

    def evidence(self, name: str) -> RouteEvidence | None:
        if not self._control.is_served:
            return None
        from llmos.client import Client

        try:
            with Client(timeout_seconds=_STATUS_SECONDS, max_retries=0) as client:
                return client.routes.evidence(name)
        except LLMOSError:
            return None

    def remove(self, name: str) -> None:
        self._control.route_table.remove(name, actor=this_user())

    def _describe(self, route: "Route") -> RouteDescription:
        return describe.describe_route(self._control.route_table, route)


class LocalProviders:
    def __init__(self, control: "LocalControl") -> None:
        self._control = control

    def list(self) -> Sequence[ProviderDescription]:
        return [describe.describe_provider(each) for each in self._providers.list()]

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
        provider = self._providers.add(
            name, kind=kind, base_url=base_url, key=key, text_input=text_input, text_output=text_output
        )
        return describe.describe_provider(provider)

    def set_prices(self, name: str, document: Mapping[str, Any]) -> ProviderPriceDescription:
        return self._prices.set(name, dict(document), actor=this_user())

    def prices(self, name: str) -> Sequence[ProviderPriceDescription]:
        return self._prices.list(name)

    def costs(
        self, provider: str | None = None, *, start: datetime | None = None, end: datetime | None = None
    ) -> ProviderCostReport:
        return self._costs.report(provider, start, end)

    def calls(self, provider: str | None = None, *, difference: str | None = None, limit: int = 50) -> ProviderCallPage:
        from llmos.billing.purchases.queries import CallFilter

        return self._costs.calls(CallFilter(provider=provider, difference=difference, limit=limit))

    @property
    def _prices(self) -> "ProviderPrices":
        from llmos.billing.purchases.books import ProviderPrices

        return ProviderPrices(self._control.registry.database, check_provider=self._providers.get)

    @property
    def _costs(self) -> "ProviderCosts":
        from llmos.billing.purchases.costs import ProviderCosts

        return ProviderCosts(self._control.registry.database)

    def models(self, name: str) -> Sequence[str]:
        import asyncio

        from llmos.deployments.providers.clients import ProviderClients

        providers = self._providers
        provider = providers.get(name)

        async def ask() -> list[str]:
            clients = ProviderClients(providers)
            try:
                return await clients.models(provider)
            finally:
                await clients.close()

        return asyncio.run(ask())

    def remove(self, name: str) -> None:
        self._providers.remove(name)

    @property
    def _providers(self) -> "Providers":
        from llmos.deployments.providers.providers import Providers

        return Providers(self._control.registry.database, self._control.keys_of_data)


class LocalRollouts:
    def __init__(self, control: "LocalControl") -> None:
        self._control = control

    def promote(self, version: str, route: str, **settings: "Unpack[RolloutSettings]") -> RolloutDescription:
        from llmos.deployments.rollouts.cases import read_cases
        from llmos.deployments.rollouts.rollout import RolloutPlan

        given = {name: value for name, value in settings.items() if value is not None}
        force, cases = bool(given.pop("force", False)), read_cases(settings.get("cases") or ())
        plan = RolloutPlan(**{**given, "cases": cases})  # type: ignore[arg-type]
        rollout = self._rollouts.begin(version, route, plan, actor=this_user(), force=force)
        return describe.describe_rollout(rollout)

    def list(self, route: str | None = None) -> Sequence[RolloutDescription]:
        return [describe.describe_rollout(rollout) for rollout in self._rollouts.list(route)]

    def get(self, id: int) -> RolloutDescription:
        return describe.describe_rollout(self._rollouts.get(id))

    def history(self, id: int) -> Sequence[RolloutEventDescription]:
        return [describe.describe_rollout_event(event) for event in self._rollouts.history(id)]

    def roll_back(self, route: str) -> RolloutDescription:
        return describe.describe_rollout(self._rollouts.roll_back_route(route, actor=this_user()))

    @property
    def _rollouts(self) -> "Rollouts":
        from llmos.deployments.rollouts.rollouts import Rollouts

        return Rollouts(self._control.registry.database, self._control.route_table, self._control.desired)


class LocalDeployments:
    """Deployments are kept in the database; a server on this machine follows it within a second."""

    def __init__(self, control: "LocalControl") -> None:
        self._control = control

    def list(self) -> Sequence[DeploymentDescription]:
        return [describe.describe_deployment(each.ref, each, None) for each in self._control.desired.list()]

    def running(self) -> Sequence[DeploymentDescription]:
        from llmos.client import Client

        with Client() as client:
            return client.deployments.list()

    def deploy(self, name: str, **settings: "Unpack[DeploymentSettings]") -> DeploymentDescription:
        from llmos.deployments.desired.deployment import DeploymentSettings as Settings
        from llmos.deployments.desired.deployment import replica_limits

        min_replicas, max_replicas = replica_limits(
            settings.get("replicas"), settings.get("min_replicas"), settings.get("max_replicas")
        )
        deployment = self._control.desired.deploy(
            name,
            Settings(
                min_replicas=min_replicas,
                max_replicas=max_replicas,
                idle_seconds=settings.get("idle_seconds"),
                keep_warm=settings.get("keep_warm", False),
                options=settings.get("options") or {},
                placement=settings.get("placement"),
            ),
            actor=this_user(),
            force=settings.get("force", False),
        )
        return self._describe(deployment)

    def scale(
        self,
        name: str,
        *,
        replicas: int | None = None,
        min_replicas: int | None = None,
        max_replicas: int | None = None,
    ) -> DeploymentDescription:
        deployment = self._control.desired.scale(
            name, replicas=replicas, min_replicas=min_replicas, max_replicas=max_replicas, actor=this_user()
        )
        return self._describe(deployment)

    def sleep(self, name: str) -> DeploymentDescription:
        return self._describe(self._control.desired.sleep(name, actor=this_user()))

    def wake(self, name: str) -> DeploymentDescription:
        return self._describe(self._control.desired.wake(name, actor=this_user()))

    def stop(self, name: str) -> DeploymentDescription:
        from llmos.client import Client

        with Client() as client:
            return client.deployments.stop(name)

    def remove(self, name: str) -> str:
        return self._control.desired.remove(name, actor=this_user()).ref

    def history(self, name: str) -> Sequence[DeploymentEventDescription]:
        return [describe.describe_deployment_event(event) for event in self._control.desired.history(name)]

    def _describe(self, deployment: "Deployment") -> DeploymentDescription:
        """Describe what is wanted, and the replicas of this machine's server if one answers."""
        described = describe.describe_deployment(deployment.ref, deployment, None)
        if not self._control.is_served:
            return described
        from llmos.client import Client

        try:
            with Client(timeout_seconds=_STATUS_SECONDS, max_retries=0) as client:
                return msgspec.structs.replace(client.deployments.get(deployment.ref), wanted=described.wanted)
        except LLMOSError:  # The server has another owner, or another database.
            return described


class LocalJobs:
    """Jobs are kept in the database; a server on this machine runs them."""

    def __init__(self, control: "LocalControl") -> None:
        self._control = control

    def list(self, *, kind: str | None = None, state: str | None = None) -> Sequence[JobDescription]:
        return [describe_job(job) for job in self._jobs.list(kind=kind, state=state)]

    def get(self, id: str) -> JobDescription:
        return describe_job(self._jobs.get(id))

    def follow(self, id: str) -> Iterator[JobDescription]:
        seen = None
        while seen is None or seen.ended_at is None:
            job = self.get(id)
            if job != seen:
                seen = job
                yield job
            if job.ended_at is None:
                time.sleep(_FOLLOW_SECONDS)

    def cancel(self, id: str) -> JobDescription:
        return describe_job(self._jobs.cancel(id))

    @cached_property
    def _jobs(self) -> "Jobs":
        from llmos.core.jobs.jobs import Jobs

        return Jobs(self._control.registry.database)
